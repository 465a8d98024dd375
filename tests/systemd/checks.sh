#!/usr/bin/env bash
# The checks of tests/systemd.sh, on the machine that it boots. Each writes a line of the table: ok or FAIL, its seconds, what
# it found.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR
source /root/systemd/help.sh
source /root/systemd/life.sh
source /root/systemd/faults.sh
source /root/systemd/instances.sh
source /root/systemd/sockets.sh

# A migration is slow on purpose. It goes on while the first ones are checked, which reload no units: with that, systemd
# forgets how much time it has given.
begin_migration

check "a boot while the service is down" boot_without_service
check "systemd knows when it is ready" ready_when_answered
check "its status shows each poll" status_of_polls
check "journal priorities" priorities
check "keys stay root's" credentials
check "key rotation" rotation
check "a migration longer than the start time-out" migration
check "a loop that is stopped is restarted" watchdog
check "kill -9 and restart" killed
check "a stop while the service hangs" stop_in_time
check "exit 78 without a restart loop" bad_configuration
check "a missing folder of keys" missing_keys
check "a clock that jumps" clock
check "the backup timer" backup_timer
check "a full disk" full_disk
check "ten restarts under load with the socket" restarts_under_load
check "a fault with the socket" fault_with_socket
check "two instances, each for itself" instances
