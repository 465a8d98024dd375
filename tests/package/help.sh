# What the checks share.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
# There is no systemd to talk to.
export SYSTEMD_OFFLINE=1

at_hand=/root/at-hand
folder=/etc/generic-connector
state=/var/lib/generic-connector
logs=/var/log/generic-connector
listener=http://127.0.0.1:8080
unit=/usr/lib/systemd/system/generic-connector.service

# Writes the line of a check. What the check prints last is what it found.
check() {
    local began=$EPOCHREALTIME
    (
        set -e
        "$2"
    ) >/root/found 2>&1
    local code=$? verdict=ok
    [[ $code -eq 0 ]] || verdict=FAIL
    local tenths=$(((${EPOCHREALTIME/./} - ${began/./}) / 100000))
    printf '%-4s %3d.%d s  %-46s %s\n' $verdict $((tenths / 10)) $((tenths % 10)) "$1" "$(tail -n 1 /root/found)" |
        tee -a /root/table
    [[ $code -eq 0 ]] || sed 's/^/        /' /root/found
}

# Waits up to that many seconds until a command succeeds.
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < until)) || {
            echo "not in time: $*"
            return 1
        }
        sleep 0.1
    done
}

apt() {
    apt-get --quiet --yes "$@"
}

# Runs a command as the unit does: its user, its folders, its keys.
as_unit() {
    for made in $state $logs; do
        install -d -m 0700 -o generic-connector -g generic-connector $made
    done
    # systemd reads the keys as root and passes copies.
    rm -rf /run/keys
    cp -r $folder/keys /run/keys
    chown -R generic-connector: /run/keys
    setpriv --reuid generic-connector --regid generic-connector --clear-groups \
        env STATE_DIRECTORY=$state LOGS_DIRECTORY=$logs CREDENTIALS_DIRECTORY=/run/keys "$@"
}

# How many versions the state has.
versions() {
    sqlite3 $state/state.sqlite3 'SELECT count(*) FROM version'
}

# The exit code of a command must be that.
must_exit() {
    local code=0
    "${@:2}" || code=$?
    [[ $code == "$1" ]] || {
        echo "exit code $code, not $1: ${*:2}"
        return 1
    }
}
