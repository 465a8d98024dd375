# What goes wrong on a machine.

# The unit must fail with that code, and stay so.
fails_with() {
    ! systemctl restart $unit
    must_be ActiveState failed
    must_be ExecMainStatus "$1"
    # Longer than RestartSec.
    sleep 12
    must_be ActiveState failed
    must_be NRestarts 0
}

bad_configuration() {
    systemctl stop $unit
    cp -p $folder/generic.json /root/generic.json
    sed -i 's/"endpoint"/"endpont"/' $folder/generic.json
    fails_with 78
    status_has '"endpont"'
    local text
    text=$(property $unit StatusText)
    cp -p /root/generic.json $folder/generic.json
    systemctl start $unit
    polls_again
    echo "failed at once, status: ${text:0:60}"
}

missing_keys() {
    systemctl stop $unit
    mv $folder/keys /root/keys
    fails_with 243
    mv /root/keys $folder/keys
    systemctl start $unit
    polls_again
    echo "243, no restart"
}

clock() {
    local pid before
    pid=$(property $unit MainPID)
    for jump in "26 hours" "26 hours ago" "3 days ago" "3 days"; do
        date --set "$jump" >/dev/null
        before=$(property $unit StatusText)
        # A poll begins and ends.
        within 20 status_differs "$before"
        polls_again
    done
    must_be MainPID "$pid"
    [[ $(code_of $listener/healthz) == 200 ]]
    echo "forward and back by 26 h, back by three days and forward: polls go on"
}

status_differs() {
    [[ $(property $unit StatusText) != "$1" ]]
}

backup_timer() {
    install -m 0644 /root/at-hand/packaging/generic-connector-backup.{service,timer} /etc/systemd/system/
    # Whenever the clock jumps, systemd picks another time within the delay.
    mkdir -p /run/systemd/system/generic-connector-backup.timer.d
    printf '[Timer]\nRandomizedDelaySec=0\n' >/run/systemd/system/generic-connector-backup.timer.d/check.conf
    systemctl daemon-reload
    systemctl enable --now generic-connector-backup.timer
    # The clock passes a midnight.
    date --set "26 hours" >/dev/null
    within 30 has_backup || {
        systemctl list-timers --all
        journalctl -b -u generic-connector-backup --no-pager
        return 1
    }
    must_be Result success generic-connector-backup.service
    basename "$(compgen -G "$state/backups/*")"
}

has_backup() {
    compgen -G "$state/backups/*" >/dev/null
}

full_disk() {
    systemctl stop $unit
    mount -t tmpfs -o size=24M,mode=0700 tmpfs $state
    bank --api-key rotated --live
    systemctl start $unit
    polls_again
    local pid
    pid=$(property $unit MainPID)
    dd if=/dev/zero of=$state/filler bs=64K status=none || true
    within 60 status_has "poll aborted"
    sleep 5
    must_be MainPID "$pid"
    must_be NRestarts 0
    local text
    text=$(property $unit StatusText)
    rm $state/filler
    polls_again
    must_be MainPID "$pid"
    systemctl stop $unit
    umount $state
    systemctl start $unit
    polls_again
    echo "$text" | cut -c1-110
}
