#!/usr/bin/env bash
# Imports a directory of NDJSON files from the sandbox and says what a record costs. Run by hand:
#
#   tests/bench/import.sh BINARY DIR [WORKERS [LATENCY]]
#
# Two polls are made: the import, and one that finds nothing new. `listen` is configured so that no file of changes is
# written beside the state. What is written is what the kernel counts as this process's. Service and connector share the
# machine, so read ratios. records.py makes a DIR of any size. Needs GNU time and jq.
set -euo pipefail
binary=$1 data=$2 workers=${3:-16} latency=${4:-0ms}
place=$(mktemp -d)
"$binary" sandbox --listen 127.0.0.1:0 --data "$data" --latency "$latency" >"$place/url" 2>"$place/sandbox.log" &
trap 'kill %1; rm -rf "$place"' EXIT
until [[ -s $place/url ]]; do sleep 0.1; done
cat >"$place/generic.json" <<END
{ "name": "bench", "endpoint": "$(cat "$place/url")", "apiKey": "sandbox", "workers": $workers,
  "listen": "127.0.0.1:0", "listenKey": "0123456789abcdef0123456789abcdef" }
END
chmod 600 "$place/generic.json"
for poll in import "nothing new"; do
    /usr/bin/time -o "$place/cost" -f "%e %U %S %M %O" "$binary" poll --config "$place/generic.json" 2>"$place/log"
    "$binary" status --json --config "$place/generic.json" >"$place/status"
    records=$(jq '[.streams[].records] | add' "$place/status")
    # %O counts blocks of 512 bytes.
    awk -v poll="$poll" -v records="$records" '{
        printf "%s: %d records in %.2f s (%d a second); a record: %.1f µs of CPU, %.2f KB written; peak memory %d KiB\n",
            poll, records, $1, records / $1, ($2 + $3) * 1e6 / records, $5 * 512 / 1000 / records, $4
    }' "$place/cost"
done
echo "the state has $(($(stat --format=%s "$place/state/state.sqlite3") / records)) bytes a record"
echo "records and versions of each stream; an import gives each once:"
jq -r '.streams[] | "\(.stream) \(.records) \(.versions)"' "$place/status"
