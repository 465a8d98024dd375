# Instances of the template, and the upgrade of one.

# An instance with that name and port, against the service with that key.
instance() {
    local folder=$folder/instances/$1
    mkdir -p "$folder/keys"
    printf '{ "name": "%s", "endpoint": "http://127.0.0.1:8090", "listen": "127.0.0.1:%s", "pollingPeriod": "2s" }\n' \
        "$1" "$2" >"$folder/generic.json"
    (
        umask 0077
        cp "$folder/../../keys/apiKey" "$folder/keys/apiKey"
        echo "the-key-of-the-listener-of-$1" >"$folder/keys/listenKey"
    )
}

install_template() {
    cp -r /root/at-hand/packaging/generic-connector@.service* /etc/systemd/system/
    systemctl daemon-reload
}

# A command as the user of an instance, where its process is.
as_instance() {
    local pid user group
    pid=$(property "$unit@$1" MainPID)
    shift
    read -r _ user _ < <(grep '^Uid:' "/proc/$pid/status")
    read -r _ group _ < <(grep '^Gid:' "/proc/$pid/status")
    nsenter --target "$pid" --mount setpriv --reuid "$user" --regid "$group" --clear-groups "$@"
}

instances() {
    install_template
    local one
    for one in a:8081 b:8082; do
        instance "${one%:*}" "${one#*:}"
        systemctl start "$unit@${one%:*}"
    done
    for one in a b; do
        within 60 status_has " complete, " "$unit@$one"
    done
    [[ $(code_of -H "Authorization: Bearer the-key-of-the-listener-of-b" http://127.0.0.1:8082/status) == 200 ]]
    [[ $(code_of -H "Authorization: Bearer the-key-of-the-listener-of-a" http://127.0.0.1:8082/status) == 401 ]]
    local private=/var/lib/private/generic-connector/instances other
    as_instance a head -c 15 $private/a/state.sqlite3 | grep 'SQLite format 3'
    for other in $private/b $state/instances/b /run/credentials/$unit@b.service; do
        ! as_instance a ls $other/
        ! as_instance a cat $other/state.sqlite3
    done
    ! as_instance b cat $private/a/state.sqlite3
    generic-connector status --config $folder/instances/a/generic.json | grep 'connector  a at'
    systemctl stop $unit@a $unit@b
    echo "users $(property $unit@a User) and $(property $unit@b User), neither reads the other's"
}

# A state of the first layout with many rows, and a unit that is slow and has little time to start.
begin_migration() {
    install_template
    instance old 8083
    mkdir -p /run/systemd/system/$unit@old.service.d
    printf '[Service]\nTimeoutStartSec=20\nCPUQuota=15%%\nRestart=no\n' >/run/systemd/system/$unit@old.service.d/check.conf
    systemctl daemon-reload
    mkdir -p -m 0700 /var/lib/private/generic-connector/instances/old
    cp /root/old.sqlite3 /var/lib/private/generic-connector/instances/old/state.sqlite3
    systemctl start --no-block $unit@old
}

migration() {
    within 240 is_not ActiveState activating $unit@old
    is ActiveState active $unit@old || {
        journalctl -b -u $unit@old --no-pager
        return 1
    }
    must_be NRestarts 0 $unit@old
    local began ready seconds
    began=$(property $unit@old ExecMainStartTimestampMonotonic)
    ready=$(property $unit@old ActiveEnterTimestampMonotonic)
    seconds=$(((ready - began) / 1000000))
    ((seconds > 20))
    generic-connector status --config $folder/instances/old/generic.json | grep 'accounts'
    echo "ready after $seconds s, with a start time-out of 20 s"
}
