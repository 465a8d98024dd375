#!/usr/bin/env bash
# Imports a directory of NDJSON files from the sandbox and says what it cost. Run by hand:
#
#   tests/bench/import.sh BINARY DIR [WORKERS [LATENCY]]
#
# Two polls are made: the import, and one that finds nothing new. Service and connector share the machine, so read
# ratios. Needs GNU time and jq.
set -euo pipefail
binary=$1 data=$2 workers=${3:-16} latency=${4:-0ms}
place=$(mktemp -d)
"$binary" sandbox --listen 127.0.0.1:0 --data "$data" --latency "$latency" >"$place/url" 2>"$place/sandbox.log" &
trap 'kill %1; rm -rf "$place"' EXIT
until [[ -s $place/url ]]; do sleep 0.1; done
cat >"$place/generic.json" <<END
{ "name": "bench", "endpoint": "$(cat "$place/url")", "apiKey": "sandbox", "workers": $workers }
END
chmod 600 "$place/generic.json"
for poll in import "nothing new"; do
    /usr/bin/time -f "$poll: %e s, user %U s, system %S s, peak memory %M KiB" \
        "$binary" poll --config "$place/generic.json"
done
echo "lines of each stream, and keys that are there twice:"
jq -r .stream "$place/state/changes.ndjson" | sort | uniq -c
jq -r '.stream + " " + .id' "$place/state/changes.ndjson" | sort | uniq -d | wc -l
