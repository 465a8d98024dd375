#!/usr/bin/env bash
# The proxies of packaging/examples in front of a real listener (Debian's packages nginx-light, caddy, haproxy, curl, openssl):
#
#     tests/proxies.sh BINARY
#
# Each runs with the file as it is shipped; only addresses, ports and paths are replaced. Through it, over TLS, go a list,
# an id with escaped slashes, a request without a key, a payout, and a second request on the same connection.
set -euo pipefail

binary=$(realpath "$1")
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")/../packaging/examples" && pwd)
scratch=$(mktemp -d)
started=()
stop() {
    [[ ${#started[@]} -eq 0 ]] || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap stop EXIT
# Caddy writes there.
export HOME=$scratch XDG_DATA_HOME=$scratch XDG_CONFIG_HOME=$scratch

fail() {
    echo "proxies: $*" >&2
    tail -n 20 "$scratch"/*.log >&2
    exit 1
}

# Waits until a command succeeds, while the process runs.
until_it_does() {
    local process=$1
    shift
    until "$@" >/dev/null 2>&1; do
        kill -0 "$process" 2>/dev/null || fail "a process ended"
        sleep 0.05
    done
}

# A port that is free now. Another process may take it before the proxy does, and then this run fails.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

cd "$scratch"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=connector.example.com \
    -addext subjectAltName=DNS:connector.example.com -keyout key.pem -out certificate.pem 2>/dev/null
cat certificate.pem key.pem >both.pem

# A service with one account more than the sample one has, whose id has slashes.
mkdir data
printf '%s\n' '{"id":"acc//1","accountName":"Slash","createdAt":"2024-01-01T00:00:00Z"}' \
    '{"id":"acc-2","accountName":"Other","createdAt":"2024-01-01T00:00:01Z"}' >data/accounts.ndjson
printf '%s\n' '{"id":"ben-1","accountName":"Landlord","createdAt":"2024-01-01T00:00:02Z"}' >data/beneficiaries.ndjson
printf '%s\n' '{"accountID":"acc//1","at":"2024-01-01T00:00:03Z","balances":[{"amount":"700","currency":"EUR/2"}]}' \
    >data/balances.ndjson
"$binary" sandbox --listen 127.0.0.1:0 --data data >url 2>sandbox.log &
started+=($!)
until_it_does "$!" grep -q http url

key=key-of-the-proxies-123456
printf '{ "name": "proxied", "endpoint": "%s", "apiKey": "sandbox", "listen": "127.0.0.1:0", "listenKey": "%s" }' \
    "$(cat url)" "$key" >generic.json
chmod 600 generic.json
"$binary" run --config generic.json 2>connector.log &
started+=($!)
until_it_does "$!" grep -q 'listening on' connector.log
listener=$(sed -n 's|.*listening on http://||p' connector.log)
until_it_does "$!" curl -sf "http://$listener/readyz"

# Asks the proxy at $port. The status is the last line.
ask() {
    curl -sS --max-time 20 --cacert certificate.pem --resolve "connector.example.com:$port:127.0.0.1" -w '\n%{http_code}\n' "$@"
}

expect() {
    local what=$1 pattern=$2 said
    shift 2
    said=$(ask "$@") || fail "$proxy: $what: no answer"
    [[ $said =~ $pattern ]] || fail "$proxy: $what: $said"
    echo "$proxy: $what"
}

through() {
    local url=https://connector.example.com:$port bearer="Authorization: Bearer $key" said
    expect "the listed accounts" '"acc//1".*200' -H "$bearer" "$url/accounts?pageSize=100"
    expect "an id with escaped slashes" '"700".*200' -H "$bearer" "$url/accounts/acc%2F%2F1/balances"
    expect "no key, no list" 'Unauthorized.*401' "$url/accounts"
    expect "a wrong key, no list" 'Unauthorized.*401' -H "Authorization: Bearer wrong" "$url/accounts"
    expect "a payout" '"id":.*201' -H "$bearer" -H "Content-Type: application/json" --data \
        "{\"idempotencyKey\":\"$proxy\",\"amount\":\"100\",\"currency\":\"EUR/2\",\"sourceAccountId\":\"acc//1\",\"destinationAccountId\":\"ben-1\"}" \
        "$url/payouts"
    said=$(ask -v -o /dev/null -o /dev/null -H "$bearer" "$url/accounts" "$url/beneficiaries" 2>&1)
    [[ $said =~ Re-using\ existing\ connection ]] || fail "$proxy: the connection was not kept: $said"
    echo "$proxy: two requests on one connection"
}

# Whether a text keeps idle connections for more than the 90 s of Formance's client.
keeps() {
    [[ $1 =~ $2 ]] || fail "$proxy: no time limit of idle connections"
    (("${BASH_REMATCH[1]}" > 90)) || fail "$proxy: idle connections are closed after ${BASH_REMATCH[1]} s"
    echo "$proxy: idle connections are kept for ${BASH_REMATCH[1]} s"
}

# Runs a proxy, and asks through it.
proxied() {
    proxy=$1
    shift
    "$@" >"$proxy.log" 2>&1 &
    local process=$!
    started+=("$process")
    until_it_does "$process" ask -f "https://connector.example.com:$port/healthz"
    through
    kill "$process"
    wait "$process" || true
}

# A file of the examples for this run.
for_here() {
    sed -e "s|127.0.0.1:8080|$listener|" -e "s|/etc/ssl/connector.example.com.both.pem|$scratch/both.pem|" \
        -e "s|/etc/ssl/connector.example.com.pem|$scratch/certificate.pem|" \
        -e "s|/etc/ssl/connector.example.com.key|$scratch/key.pem|" "$examples/$1"
}

proxy=nginx port=$(free_port)
for_here nginx.conf | sed "s|listen 443|listen 127.0.0.1:$port|" >server.conf
cat >nginx.conf <<EOF
daemon off;
pid $scratch/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    include $scratch/server.conf;
}
EOF
/usr/sbin/nginx -v
keeps "$(/usr/sbin/nginx -T -c "$scratch/nginx.conf" 2>/dev/null)" 'keepalive_timeout ([0-9]+)s'
proxied nginx /usr/sbin/nginx -c "$scratch/nginx.conf"

proxy=caddy port=$(free_port)
for_here Caddyfile | sed -e "s|^connector.example.com {|https://connector.example.com:$port {|" \
    -e '1,/^{$/ s|^{$|{\n\tadmin off\n\tauto_https disable_redirects|' >Caddyfile
echo "caddy $(caddy version)"
# In nanoseconds.
keeps "$(caddy adapt --config Caddyfile --adapter caddyfile 2>/dev/null)" '"idle_timeout":([0-9]+)000000000'
proxied caddy caddy run --config Caddyfile --adapter caddyfile

proxy=haproxy port=$(free_port)
for_here haproxy.cfg | sed "s|bind :443|bind 127.0.0.1:$port|" >haproxy.cfg
haproxy -v | sed -n 1p
haproxy -c -q -f haproxy.cfg
keeps "$(cat haproxy.cfg)" 'http-keep-alive ([0-9]+)s'
keeps "$(cat haproxy.cfg)" 'timeout client ([0-9]+)s'
proxied haproxy haproxy -db -f haproxy.cfg

echo "three proxies: all passed"
