# The life of the package on a machine.

installs() {
    apt install ./root/at-hand/new.deb
    [[ $(stat -c '%U %a' $folder $folder/keys | xargs) == "root 755 root 700" ]]
    getent passwd generic-connector
    # The configuration is the operator's: dpkg would ask about it at every upgrade.
    [[ -z $(dpkg-query --show --showformat '${Conffiles}' generic-connector) ]]
    [[ ! -e $folder/generic.json ]]
    for name in generic-connector.service generic-connector.socket generic-connector-backup.timer; do
        must_exit 1 systemctl is-enabled $name
    done
    generic-connector --version | xargs
}

documents() {
    # To their ends: who stops reading ends zcat with an error.
    zcat /usr/share/man/man8/generic-connector.8.gz >/root/page
    grep -q '^.TH GENERIC' /root/page
    zcat /usr/share/man/man5/generic-connector.json.5.gz >/root/page
    grep -q '^.TH GENERIC' /root/page
    bash -c 'source /usr/share/bash-completion/completions/generic-connector && complete -p generic-connector'
    local shared=/usr/share/doc/generic-connector
    local version
    version=$(generic-connector -V)
    zcat $shared/changelog.gz >/root/changes
    grep -qF "## [${version##* }]" /root/changes
    zcat $shared/changelog.Debian.gz >/root/changes
    [[ $(head -n 1 /root/changes) == *"(${version##* }-1)"* ]]
    zcat $shared/third-party-licenses.gz >/root/licenses
    grep -q '^==== rustls ' /root/licenses
    ls $shared/examples/{generic.json,logrotate,prometheus/rules.yml,grafana/generic-connector.json}
    echo "$(grep -c '^==== ' /root/licenses) licences, $(dpkg -L generic-connector | grep -c .) files and folders"
}

configures() {
    printf '%s\n' acme-bank http://127.0.0.1:8090 sandbox | generic-connector init
    sed -i 's|^{|{ "listen": "127.0.0.1:8080",|' $folder/generic.json
    install -m 0600 /dev/null $folder/keys/listenKey
    echo the-key-of-the-listener >$folder/keys/listenKey
    CREDENTIALS_DIRECTORY=$folder/keys generic-connector check --offline
    echo "the configuration is good, $(stat -c '%U %a' $folder/generic.json $folder/keys/apiKey | xargs)"
}

serves() {
    local command
    command=$(sed -n 's/^ExecStart=//p' $unit)
    # shellcheck disable=SC2086
    as_unit $command >/root/log 2>&1 &
    within 20 grep -q 'poll 1 complete' /root/log || {
        cat /root/log
        return 1
    }
    curl --fail --silent $listener/healthz
    curl --fail --silent --output /root/accounts --header 'Authorization: Bearer the-key-of-the-listener' "$listener/accounts?pageSize=100"
    generic-connector status
    pkill --uid generic-connector generic-conn
    wait $!
    # What root did beside it must not lock it out.
    [[ $(find $state ! -user generic-connector | wc -l) == 0 ]]
    grep 'poll 1 complete' /root/log
    echo "$(versions) versions, $(stat -c '%U %a' $state)"
}

# The state of a version that is not there yet.
newer_state() {
    cp -a $state /root/state
    sqlite3 $state/state.sqlite3 'PRAGMA user_version = 999'
    must_exit 65 as_unit generic-connector poll 2>/root/log
    # Nothing was changed.
    [[ $(sqlite3 $state/state.sqlite3 'PRAGMA user_version') == 999 ]]
    rm -r $state
    mv /root/state $state
    cat /root/log
    grep -q 'newer version' /root/log
}

removes() {
    apt remove generic-connector
    [[ ! -e /usr/bin/generic-connector && ! -e $unit ]]
    [[ -s $folder/generic.json && -s $folder/keys/apiKey && -s $state/state.sqlite3 ]]
    echo "$(versions) versions are still there"
}

purge_keeps() {
    apt purge generic-connector 2>&1 | tee /root/purged
    [[ -s $state/state.sqlite3 && -s $folder/keys/apiKey ]]
    grep -F "$state is not empty" /root/purged
}

purge_removes() {
    apt install ./root/at-hand/new.deb
    rm -rf $state $folder/generic.json $folder/keys/* $logs
    # As systemd makes them.
    install -d -m 0700 -o generic-connector -g generic-connector $state $logs
    apt purge generic-connector
    find / -xdev -path /root -prune -o -name '*generic-connector*' -print | tee /root/left
    [[ ! -s /root/left ]]
    echo "no file is left"
}

before() {
    apt install ./root/at-hand/old.deb
    [[ $(dpkg-query --show --showformat '${Version}' generic-connector) == 0.1.0-1 ]]
    install -m 0644 /dev/stdin $folder/generic.json <<END
{ "name": "acme-bank", "endpoint": "http://127.0.0.1:8090", "stateDir": "$state",
  "publish": [{ "type": "ndjson", "path": "$state/changes.ndjson" }] }
END
    install -d -m 0700 $folder/keys
    echo sandbox >$folder/keys/apiKey
    chmod 600 $folder/keys/apiKey
    if [[ -e $at_hand/previous ]]; then
        as_unit generic-connector poll --config $folder/generic.json
    else
        as_unit sqlite3 $state/state.sqlite3 </root/layouts/1.sql
        local json='{"id":"of-old","createdAt":"2024-01-01T00:00:00Z","ownerName":"n"}'
        as_unit sqlite3 $state/state.sqlite3 <<END
DELETE FROM state;
INSERT INTO state VALUES ('state_id', 'an-id'), ('name', 'acme-bank'), ('endpoint', 'http://127.0.0.1:8090');
INSERT INTO version (stream, id, number, timestamp, hash, observed_at, poll, json)
VALUES ('beneficiaries', 'of-old', 1, '2024-01-01T00:00:00.000000000Z', x'$(printf %s "$json" | sha256sum | cut -c1-32)',
        '2024-03-01T00:00:00Z', 1, '$json');
INSERT INTO record (stream, id, seq) SELECT stream, id, seq FROM version;
END
    fi
    versions >/root/before
    ((10#$(cat /root/before) > 0))
    sqlite3 $state/state.sqlite3 'SELECT * FROM version ORDER BY seq' | sha256sum >/root/before.sum
    echo "$(cat /root/before) versions, layout $(sqlite3 $state/state.sqlite3 'PRAGMA user_version'), $(generic-connector --version | sed -n 1p)"
}

upgrades() {
    apt install ./root/at-hand/new.deb
    as_unit generic-connector poll
    local copies=("$state"/state.sqlite3.layout-*)
    # The copy has what was there before.
    [[ $(sqlite3 "${copies[0]}" 'SELECT * FROM version ORDER BY seq' | sha256sum) == "$(cat /root/before.sum)" ]]
    (($(versions) >= $(cat /root/before)))
    as_unit generic-connector verify
    echo "$(versions) versions, layout $(sqlite3 $state/state.sqlite3 'PRAGMA user_version'), a copy in $(basename "${copies[0]}")"
}

downgrades() {
    local layout
    layout=$(sqlite3 $state/state.sqlite3 'PRAGMA user_version')
    apt install --allow-downgrades ./root/at-hand/old.deb
    if [[ -e $at_hand/previous ]]; then
        local code=0
        as_unit generic-connector poll --config $folder/generic.json >/root/log 2>&1 || code=$?
        cat /root/log
        ((code != 0))
        # The way back is an empty state.
        mv $state /root/newer
        as_unit generic-connector poll --config $folder/generic.json
        rm -r $state
        mv /root/newer $state
    fi
    [[ $(sqlite3 $state/state.sqlite3 'PRAGMA user_version') == "$layout" ]]
    echo "layout $layout as before"
}
