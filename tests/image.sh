#!/usr/bin/env bash
# Runs the program as packaging/Containerfile does, without a container engine: in a root that has nothing but the image's
# files, as its user, who can write to /data alone, with its environment and a network without anybody else:
#
#   tests/image.sh BINARY
#
# Needs root, and Debian's iproute2.
set -euo pipefail

if [[ $$ -ne 1 ]]; then
    exec unshare --net --pid --fork --kill-child "${BASH_SOURCE[0]}" "$(realpath "$1")"
fi
binary=$1
chroot=$(command -v chroot)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ip link set lo up

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    tail -n 20 "$scratch/sandbox" "$scratch/log" >&2 || true
    echo "image: $*" >&2
    exit 1
}

touch "$scratch/sandbox" "$scratch/log"
packaging/image.sh "$binary" "$scratch/root"
root=$scratch/root
chmod 755 "$scratch" "$root"
user=$(sed -n 's/^USER //p' packaging/Containerfile)
mapfile -t environment < <(sed -n 's/^ENV //p' packaging/Containerfile)
chown -R "$user" "$root/data"
# What an operator mounts. The user reads it as one of its group.
keys=$root/etc/generic-connector/keys
install -d -m 0755 "$root/etc/generic-connector" "$keys"
install -m 0640 -g "${user#*:}" /dev/stdin "$keys/apiKey" <<<sandbox
install -m 0640 -g "${user#*:}" /dev/stdin "$keys/listenKey" <<<key-of-the-image-1234
install -m 0644 /dev/stdin "$root/etc/generic-connector/generic.json" <<'END'
{ "name": "image", "endpoint": "http://127.0.0.1:8090", "listen": "127.0.0.1:8080", "pollingPeriod": "2s" }
END

program=(env -i "${environment[@]}" "$chroot" --userspec="$user" "$root" /generic-connector)

# Waits until a command succeeds.
until_so() {
    for _ in $(seq 300); do
        "$@" && return
        sleep 0.1
    done
    fail "not in time: $*"
}

"${program[@]}" sandbox --listen 127.0.0.1:8090 >"$scratch/url" 2>"$scratch/sandbox" &
until_so test -s "$scratch/url"
echo "poll"
"${program[@]}" poll
echo "run, and its health check"
"${program[@]}" run 2>"$scratch/log" &
running=$!
until_so grep -q 'poll [0-9]* complete' "$scratch/log"
"${program[@]}" healthcheck
kill "$running"
wait "$running" || fail "run ended with $?"
echo "demo"
"${program[@]}" demo --for 5s >"$scratch/demo" 2>&1 || {
    cat "$scratch/demo"
    fail "the demo failed"
}
grep '^Arrived: ' "$scratch/demo"

others=$(find "$root" -xdev ! -path "$root/data*" -newer "$keys/listenKey" -type f ! -name generic.json)
[[ -z $others ]] || fail "it wrote elsewhere: $others"
find "$root/data" -type f -printf '%m %u %s %P\n'
