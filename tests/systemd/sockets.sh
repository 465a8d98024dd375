# The socket unit: the port stays open over restarts.

# Asks as Formance does, each time on a connection of its own. The number behind # makes many requests of one process.
client() {
    while [[ ! -e /run/load-ends ]]; do
        curl --silent --output /dev/null --max-time 60 --write-out '%{http_code} %{exitcode}\n' \
            --header "Authorization: Bearer $listen_key" --header 'Connection: close' \
            "$listener/accounts?page=1&pageSize=100&sort=createdAt:asc#[1-20]"
    done >>"/run/load-$1"
}

restarts_under_load() {
    systemctl stop $unit
    install -m 0644 /root/at-hand/packaging/generic-connector.socket /etc/systemd/system/
    systemctl daemon-reload
    systemctl enable --now generic-connector.socket
    systemctl start $unit
    local number
    for number in 1 2 3; do
        client $number &
    done
    for _ in $(seq 10); do
        systemctl restart $unit
        sleep 0.5
    done
    touch /run/load-ends
    wait
    local answered refused others
    answered=$(cat /run/load-? | grep -c '^200 0$')
    refused=$(cat /run/load-? | grep -c ' 7$' || true)
    others=$(cat /run/load-? | grep -vc -e '^200 0$' -e ' 7$' || true)
    echo "$answered answered, $refused refused, $others unanswered over ten restarts"
    ((answered > 50 && refused == 0 && others == 0))
}

fault_with_socket() {
    cp -p $folder/generic.json /root/generic.json
    sed -i 's/"endpoint"/"endpont"/' $folder/generic.json
    systemctl restart $unit
    sleep 5
    must_be ActiveState active
    must_be NRestarts 0
    [[ $(code_of $listener/accounts) == 503 ]]
    curl --silent $listener/accounts | grep endpont
    status_has '"endpont"'
    local text
    text=$(property $unit StatusText)
    cp -p /root/generic.json $folder/generic.json
    systemctl restart $unit
    polls_again
    [[ $(code_of $listener/healthz) == 200 ]]
    # Without the socket again.
    systemctl disable --now generic-connector.socket
    systemctl restart $unit
    echo "503, status: ${text:0:70}"
}
