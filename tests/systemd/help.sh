# What the checks share.

unit=generic-connector
folder=/etc/generic-connector
state=/var/lib/generic-connector
listener=http://127.0.0.1:8080
listen_key=the-key-of-the-listener

# Seconds since the boot, whatever the clock says.
now() {
    cut -d' ' -f1 /proc/uptime
}

# Writes the line of a check. What the check prints last is what it found.
check() {
    local began
    began=$(now)
    (
        set -e
        "$2"
    ) >/root/found 2>&1
    local code=$? verdict=ok
    [[ $code -eq 0 ]] || verdict=FAIL
    printf '%-4s %5.1f s  %-44s %s\n' "$verdict" "$(bc_minus "$(now)" "$began")" "$1" "$(tail -n 1 /root/found)"
    if [[ $code -ne 0 ]]; then
        sed 's/^/        /' /root/found
        journalctl -b -n 25 -o short-monotonic --no-pager | cut -c1-300 | sed 's/^/        /'
    fi
}

# A difference of seconds with two digits behind the point.
bc_minus() {
    local a=${1/./} b=${2/./}
    local difference=$((10#$a - 10#$b))
    printf '%d.%02d' $((difference / 100)) $((difference % 100))
}

# Waits up to that many seconds until a command succeeds.
within() {
    local seconds=$1 began
    shift
    began=$(now)
    until "$@"; do
        if (($(printf '%.0f' "$(bc_minus "$(now)" "$began")") >= seconds)); then
            echo "not within $seconds s: $*"
            return 1
        fi
        sleep 0.2
    done
}

property() {
    systemctl show --property="$2" --value "$1"
}

status_has() {
    [[ $(property "${2:-$unit}" StatusText) == *"$1"* ]]
}

is() {
    [[ $(property "${3:-$unit}" "$1") == "$2" ]]
}

is_not() {
    ! is "$@"
}

must_be() {
    is "$@" || {
        echo "$1 is $(property "${3:-$unit}" "$1"), not $2"
        return 1
    }
}

# The Integration Service, with more options.
bank() {
    systemctl stop bank 2>/dev/null || true
    systemctl reset-failed bank 2>/dev/null || true
    systemd-run --quiet --unit bank generic-connector sandbox --listen 127.0.0.1:8090 "$@"
    within 20 listens 8090
}

# Whether something listens at that port, however late its answers are.
listens() {
    (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The answer's status; 000 without an answer.
code_of() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 20 "$@" || true
}

# A drop-in of the unit, for the check.
drop_in() {
    local directory=/run/systemd/system/${2:-$unit}.service.d
    mkdir -p "$directory"
    printf '[Service]\n%b\n' "$1" >"$directory/check.conf"
    systemctl daemon-reload
}

no_drop_in() {
    rm -r "/run/systemd/system/${1:-$unit}.service.d"
    systemctl daemon-reload
}

polls_again() {
    within 60 status_has " complete, "
}
