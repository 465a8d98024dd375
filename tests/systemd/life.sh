# The life of the service while all is well.

boot_without_service() {
    must_be ActiveState active
    must_be NRestarts 0
    within 60 status_has "failed, 0 new"
    within 10 test "$(code_of $listener/healthz)" = 200
    echo "active $(($(property $unit ActiveEnterTimestampMonotonic) / 1000000)) s after the kernel's start, $(property $unit StatusText | cut -c1-60)..."
}

ready_when_answered() {
    bank
    local code
    for _ in 1 2 3; do
        systemctl restart $unit
        # At once.
        code=$(code_of $listener/healthz)
        [[ $code == 200 ]] || {
            echo "after systemctl restart: $code"
            return 1
        }
    done
    echo "three restarts, each answered at once"
}

status_of_polls() {
    polls_again
    property $unit StatusText
}

priorities() {
    local errors infos wrong
    errors=$(journalctl -b -u $unit -p 3..3 -o cat | grep -c 'poll .* failed')
    infos=$(journalctl -b -u $unit -p 6..6 -o cat | grep -c 'poll .* complete')
    wrong=$(journalctl -b -u $unit -p warning -o cat | grep -c '^\[INFO\]' || true)
    echo "errors $errors, polls as info $infos, infos among the warnings $wrong"
    ((errors > 0 && infos > 0 && wrong == 0))
    ! journalctl -b -u $unit -o cat | grep '^<'
}

credentials() {
    local file=$folder/keys/apiKey
    [[ $(stat -c '%U %a' $file) == "root 600" ]]
    # Only the unit's own process has a copy.
    ! setpriv --reuid generic-connector --regid generic-connector --clear-groups cat $file
    ! setpriv --reuid nobody --clear-groups ls /run/credentials/$unit.service
    [[ $(code_of -H "Authorization: Bearer $listen_key" $listener/status) == 200 ]]
    [[ $(code_of -H "Authorization: Bearer wrong" $listener/status) == 401 ]]
    echo "root:root 0600, read by the unit alone"
}

rotation() {
    bank --api-key rotated
    within 30 status_has "401"
    echo rotated >$folder/keys/apiKey
    # Two keys of the listener, so that whoever sends the old one is still answered.
    printf 'the-next-key-of-the-listener\n%s\n' $listen_key >$folder/keys/listenKey
    systemctl restart $unit
    polls_again
    local key
    for key in $listen_key the-next-key-of-the-listener; do
        [[ $(code_of -H "Authorization: Bearer $key" $listener/status) == 200 ]]
    done
    echo "the service's key replaced, both of the listener's answered"
}

watchdog() {
    drop_in 'WatchdogSec=4\nTimeoutAbortSec=2\nRestartSec=1'
    systemctl restart $unit
    # As long as it turns, it is left alone.
    sleep 9
    must_be NRestarts 0
    local pid
    pid=$(property $unit MainPID)
    kill -STOP "$pid"
    within 30 restarted_from "$pid"
    journalctl -b -u $unit -o cat | grep 'Watchdog timeout'
    polls_again
    no_drop_in
    echo "quiet for 9 s, restarted after SIGSTOP"
}

restarted_from() {
    local pid
    pid=$(property $unit MainPID)
    [[ $pid != "$1" && $pid != 0 ]] && is ActiveState active
}

killed() {
    systemctl restart $unit
    polls_again
    local pid before
    before=$(records)
    pid=$(property $unit MainPID)
    kill -KILL "$pid"
    within 30 restarted_from "$pid"
    must_be NRestarts 1
    polls_again
    [[ $(records) -ge $before && $before -gt 0 ]]
    echo "back after RestartSec, $before records as before"
}

records() {
    generic-connector status --json | sed -n 's/.*"records": \([0-9]*\).*/\1/p' | paste -sd+ | bc_sum
}

# Adds up numbers with + between them.
bc_sum() {
    local sum
    read -r sum
    echo $((sum))
}

stop_in_time() {
    bank --latency 60s --api-key rotated
    systemctl restart $unit
    sleep 3
    local began took
    began=$(now)
    systemctl stop $unit
    took=$(bc_minus "$(now)" "$began")
    must_be Result success
    must_be ExecMainStatus 0
    ((${took%.*} < 8))
    bank --api-key rotated
    systemctl start $unit
    polls_again
    echo "stopped in $took s with a request in flight, exit code 0"
}
