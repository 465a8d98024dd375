#!/usr/bin/env bash
# Kills an import at random moments. Whenever ten kills or its end are reached, it is let go on to its end, and what was
# delivered is checked: each key once, seqs without a gap, accounts before what refers to them, as many lines as records.
# Run by hand, on a directory of records or, without one, on the sandbox's invented bank:
#
#   tests/bench/kill.sh BINARY [DIR [KILLS]]
#
# Needs jq.
set -euo pipefail
binary=$1 data=${2:-} kills=${3:-200}
place=$(mktemp -d)
"$binary" sandbox --listen 127.0.0.1:0 ${data:+--data "$data"} --latency 2ms >"$place/url" 2>"$place/sandbox.log" &
trap 'kill %1; rm -rf "$place"' EXIT
until [[ -s $place/url ]]; do sleep 0.1; done
cat >"$place/generic.json" <<END_OF_CONFIG
{ "name": "bench", "endpoint": "$(cat "$place/url")", "apiKey": "sandbox", "batchRecords": 5000 }
END_OF_CONFIG
chmod 600 "$place/generic.json"
lines=$place/state/changes.ndjson

check() {
    "$binary" poll --config "$place/generic.json" 2>>"$place/log"
    [[ -z $(jq -r '.stream + " " + .id' "$lines" | sort | uniq -d) ]] || { echo "a key is there twice"; exit 1; }
    jq -r .seq "$lines" | awk 'NR != $1 { exit 1 }' || { echo "a seq is out of place"; exit 1; }
    jq -r '
        if .stream == "accounts" then "is " + .id
        elif .stream == "balances" then "needs " + .id
        elif .stream == "transactions" then .record | .sourceAccountID, .destinationAccountID | "needs " + (. // "")
        else empty end' "$lines" |
        awk '$1 == "is" { known[$2] } $1 == "needs" && $2 ~ /^acc-/ && !($2 in known) { exit 1 }' ||
        { echo "something comes before its account"; exit 1; }
    wc -l <"$lines"
}

expected=
killed=0
while ((killed < kills)); do
    rm -rf "$place/state"
    round=0
    while ((round < 10 && killed < kills)); do
        "$binary" poll --config "$place/generic.json" 2>>"$place/log" &
        poll=$!
        sleep "0.$((RANDOM % 70 + 10))"
        kill -9 "$poll" 2>/dev/null || break
        wait "$poll" 2>/dev/null || true
        round=$((round + 1)) killed=$((killed + 1))
    done
    delivered=$(check)
    expected=${expected:-$delivered}
    echo "$killed kills: $delivered lines"
    [[ $delivered == "$expected" ]] || { echo "not $expected lines"; exit 1; }
done
