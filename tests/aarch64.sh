#!/usr/bin/env bash
# Runs the program for 64-bit ARM on this machine, under qemu: it polls the sample service over TLS.
#
#   tests/aarch64.sh BINARY
#
# Needs root, for a network without anybody else, and Debian's qemu-user-static, socat, openssl and iproute2.
set -euo pipefail

if [[ $$ -ne 1 ]]; then
    exec unshare --net --pid --fork --kill-child "${BASH_SOURCE[0]}" "$(realpath "$1")"
fi
binary=$1
ip link set lo up

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "aarch64: $*" >&2
    exit 1
}

program() {
    qemu-aarch64-static "$binary" "$@"
}

[[ $(file --brief "$binary") == *aarch64*static* ]] || fail "$binary is not a static one for aarch64"
program --version

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$scratch/key.pem" -out "$scratch/certificate.pem" 2>/dev/null
program sandbox --listen 127.0.0.1:8090 >"$scratch/url" 2>"$scratch/sandbox" &
socat "OPENSSL-LISTEN:8443,bind=127.0.0.1,reuseaddr,fork,verify=0,cert=$scratch/certificate.pem,key=$scratch/key.pem" \
    TCP:127.0.0.1:8090 2>"$scratch/socat" &
for _ in $(seq 300); do
    if [[ -s $scratch/url ]] && (exec 3<>/dev/tcp/127.0.0.1/8443) 2>/dev/null; then
        break
    fi
    sleep 0.1
done

configuration() {
    install -m 0600 /dev/stdin "$scratch/generic.json" <<END
{ "name": "arm", "endpoint": "https://127.0.0.1:8443", "apiKey": "sandbox", "stateDir": "state"$1,
  "publish": [{ "type": "ndjson", "path": "changes.ndjson" }] }
END
}

# The certificate is not one of the public authorities'.
configuration ''
code=0
program poll --config "$scratch/generic.json" 2>"$scratch/log" || code=$?
[[ $code -ne 0 ]] || fail "a certificate that nobody vouches for was taken"
grep -m 1 -i certificate "$scratch/log"

configuration ', "caFile": "certificate.pem"'
program poll --config "$scratch/generic.json"
program status --config "$scratch/generic.json"
lines=$(wc -l <"$scratch/changes.ndjson")
((lines > 100)) || fail "only $lines changes were delivered"
echo "$lines changes were delivered over TLS"
