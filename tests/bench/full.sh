#!/usr/bin/env bash
# Fills the disk under an import, in two ways, and checks that it says so, goes on by itself when there is room, and has
# then delivered everything once. Run by hand, as root, because it mounts a small tmpfs:
#
#   tests/bench/full.sh BINARY
#
# Needs jq.
set -euo pipefail
binary=$1
place=$(mktemp -d)
for number in $(seq -w 0 19999); do
    printf '{"id":"tx-%s","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T%02d:%02d:%02dZ","amount":"1","currency":"EUR/2","type":"PAYIN","status":"PENDING"}\n' \
        "$number" $((10#$number / 3600)) $((10#$number / 60 % 60)) $((10#$number % 60))
done >"$place/transactions.ndjson"
"$binary" sandbox --listen 127.0.0.1:0 --data "$place" >"$place/url" 2>"$place/sandbox.log" &
trap 'kill %1; umount "$place/state" 2>/dev/null || true; rm -rf "$place"' EXIT
until [[ -s $place/url ]]; do sleep 0.1; done
cat >"$place/generic.json" <<END_OF_CONFIG
{ "name": "full", "endpoint": "$(cat "$place/url")", "apiKey": "sandbox", "batchRecords": 1000, "pollingPeriod": "1s",
  "publish": [ { "type": "ndjson", "path": "changes.ndjson" } ] }
END_OF_CONFIG
chmod 600 "$place/generic.json"

# Everything is there, each key once, seqs without a gap.
check() {
    jq -r .idempotencyKey "$1" | sort -u | wc -l | grep -x 20000
    jq -r .seq "$1" | awk 'NR != $1 { exit 1 } END { exit NR != 20000 }'
}

echo "a tmpfs of 6 MB:"
mkdir "$place/state"
mount -t tmpfs -o size=6m tmpfs "$place/state"
"$binary" run --config "$place/generic.json" 2>"$place/log" &
until grep -q "disk is full" "$place/log"; do sleep 0.1; done
grep -m 1 "disk is full" "$place/log"
sleep 3
echo "enlarged, it goes on by itself:"
mount -o remount,size=200m "$place/state"
until [[ $(wc -l <"$place/changes.ndjson") -ge 20000 ]]; do sleep 0.1; done
kill %2
wait %2
check "$place/changes.ndjson"
tail -n 1 "$place/log"

echo "a limit of 2 MB on the size of files:"
umount "$place/state"
rm -r "$place/state" "$place/changes.ndjson"
(ulimit -f 2048; "$binary" poll --config "$place/generic.json" 2>&1 || echo "exit code $?") | tail -n 2
"$binary" poll --config "$place/generic.json" 2>&1 | tail -n 1
check "$place/changes.ndjson"
echo "complete, each once"
