#!/usr/bin/env bash
# Checks what Prometheus gets, and what it makes of it, with Prometheus's own tool (Debian's package prometheus):
#
#     tests/promtool.sh BINARY
#
# GET /metrics of a connector that has just started, of one that works and of one that fails; the alarms of
# packaging/prometheus, and their tests.
set -euo pipefail

binary=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
started=()
stop() {
    [[ ${#started[@]} -eq 0 ]] || kill "${started[@]}" || true
    rm -rf "$scratch"
}
trap stop EXIT

key=key-of-promtool-1234

# Waits until a file has a line with the text, while the process runs.
until_said() {
    until grep -q "$2" "$1"; do
        kill -0 "$3" || { cat "$1"; echo "promtool: the process ended" >&2; exit 1; }
        sleep 0.1
    done
}

# Runs a connector of that name with those keys of the configuration.
connector() {
    mkdir "$scratch/$1"
    touch "$scratch/$1/log"
    printf '{ "name": "%s", "observe": "127.0.0.1:0", "observeKey": "%s", %s }' "$1" "$key" "$2" >"$scratch/$1/generic.json"
    chmod 600 "$scratch/$1/generic.json"
    "$binary" run --config "$scratch/$1/generic.json" 2>"$scratch/$1/log" &
    started+=($!)
    until_said "$scratch/$1/log" 'observed on' "$!"
}

# Checks the metrics of that connector.
check() {
    local address
    address=$(sed -n 's|.*observed on http://||p' "$scratch/$1/log")
    exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
    printf 'GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n' "$key" >&3
    # The head ends at the first empty line.
    sed '1,/^\r$/d' <&3 >"$scratch/$1/metrics"
    exec 3<&-
    echo "$1: $(grep -vc '^#' "$scratch/$1/metrics") series"
    promtool check metrics <"$scratch/$1/metrics"
}

"$binary" sandbox --listen 127.0.0.1:0 >"$scratch/url" 2>"$scratch/sandbox" &
started+=($!)
until_said "$scratch/url" http "$!"
service="\"endpoint\": \"$(cat "$scratch/url")\""
listen='"listen": "127.0.0.1:0", "listenKey": "another-key-of-promtool"'
file='"publish": [{ "type": "ndjson", "path": "changes.ndjson" }]'
nowhere='"publish": [{ "type": "http", "name": "a \"name\" with \\", "url": "http://127.0.0.1:9/" }]'

connector fresh "\"endpoint\": \"http://127.0.0.1:9\", \"apiKey\": \"sandbox\", $listen"
check fresh
connector busy "$service, \"apiKey\": \"sandbox\", $listen, $file"
until_said "$scratch/busy/log" 'poll 1 complete' "${started[-1]}"
check busy
connector failing "$service, \"apiKey\": \"wrong\", $nowhere"
until_said "$scratch/failing/log" 'poll 1 failed' "${started[-1]}"
check failing

cd "$here/packaging/prometheus"
promtool check rules rules.yml
promtool test rules rules_test.yml
