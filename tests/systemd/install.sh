#!/usr/bin/env bash
# In a root without systemd running: installs the program with the README's commands, against a service that is there for
# that long.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
# There is no systemd to talk to: units are enabled, and start with the machine.
export SYSTEMD_OFFLINE=1

# There is a loopback interface and no network.
grep -q lo: /proc/net/dev
cd /root/at-hand
./generic-connector sandbox >/run/url &
sandbox=$!
until [[ -s /run/url ]]; do sleep 0.1; done
answers=(acme-bank "$(cat /run/url)" sandbox)
while IFS= read -r command; do
    echo "# $command"
    case $command in
        "generic-connector init")
            printf '%s\n' "${answers[@]}" | bash -c "$command"
            # As the section "Connect to Formance" says. Polls follow each other so that the checks need not wait.
            sed -i 's|^{|{ "listen": "127.0.0.1:8080", "pollingPeriod": "2s",|' /etc/generic-connector/generic.json
            install -m 0600 /dev/null /etc/generic-connector/keys/listenKey
            echo the-key-of-the-listener >/etc/generic-connector/keys/listenKey
            ;;
        *) bash -c "${command/ --now/}" </dev/null ;;
    esac
done </root/commands
kill "$sandbox"

# What the checks need.
install -m 0644 /root/systemd/live-checks.service /etc/systemd/system/
systemctl enable live-checks.service
# A state that the first version left behind, for an upgrade.
sqlite3 /root/old.sqlite3 </root/layouts/1.sql
sqlite3 /root/old.sqlite3 <<'END'
PRAGMA journal_mode = DELETE;
DELETE FROM state;
INSERT INTO state VALUES ('state_id', 'an-id'), ('name', 'old'), ('endpoint', 'http://127.0.0.1:8090');
BEGIN;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
INSERT INTO version (seq, stream, id, number, timestamp, hash, observed_at, poll, json)
SELECT i, 'accounts', 'old-' || i, 1, '2024-01-01T00:00:00.000000000Z', x'00112233445566778899aabbccddeeff',
       '2024-03-01T00:00:00Z', 1, json_object('id', 'old-' || i, 'accountName', 'n', 'createdAt', '2024-01-01T00:00:00Z')
FROM n;
INSERT INTO record (stream, id, seq) SELECT stream, id, seq FROM version;
COMMIT;
END
