#!/usr/bin/env bash
# Kills an import ten times at random moments, then lets it end, and checks the file: each key once, seqs without a gap,
# accounts before what refers to them. Run by hand:
#
#   tests/bench/kill.sh BINARY DIR
#
# Needs jq.
set -euo pipefail
binary=$1 data=$2
place=$(mktemp -d)
"$binary" sandbox --listen 127.0.0.1:0 --data "$data" --latency 2ms >"$place/url" 2>"$place/sandbox.log" &
trap 'kill %1; rm -rf "$place"' EXIT
until [[ -s $place/url ]]; do sleep 0.1; done
cat >"$place/generic.json" <<END
{ "name": "bench", "endpoint": "$(cat "$place/url")", "apiKey": "sandbox", "batchRecords": 5000 }
END
chmod 600 "$place/generic.json"
lines=$place/state/changes.ndjson
for kill in {1..10}; do
    "$binary" poll --config "$place/generic.json" 2>>"$place/log" &
    poll=$!
    sleep "0.$((RANDOM % 70 + 10))"
    kill -9 "$poll" 2>/dev/null || true
    wait "$poll" 2>/dev/null || true
    echo "kill $kill: $(cat "$lines" 2>/dev/null | wc -l) lines"
done
"$binary" poll --config "$place/generic.json"
jq -r .stream "$lines" | sort | uniq -c
echo "keys twice: $(jq -r '.stream + " " + .id' "$lines" | sort | uniq -d | wc -l)"
echo "seqs out of place: $(jq -r .seq "$lines" | awk 'NR != $1 { bad++ } END { print bad + 0 }')"
echo "before their account: $(jq -r '
    if .stream == "accounts" then "is " + .id
    elif .stream == "balances" then "needs " + .id
    elif .stream == "transactions" then .record | .sourceAccountID, .destinationAccountID | "needs " + (. // "")
    else empty end' "$lines" |
    awk '$1 == "is" { known[$2] } $1 == "needs" && $2 ~ /^acc-/ && !($2 in known) { bad++ } END { print bad + 0 }')"
