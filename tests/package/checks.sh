#!/usr/bin/env bash
# The checks of tests/package.sh, in the root that it makes. Each adds a line to the table: ok or FAIL, its seconds, what it
# found. A check goes on where the one before ended.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR
source /root/package/help.sh
source /root/package/life.sh

# The service is the one that the program brings along.
dpkg-deb --extract "$at_hand/new.deb" "$at_hand/unpacked"
"$at_hand/unpacked/usr/bin/generic-connector" sandbox --listen 127.0.0.1:8090 >/root/url 2>/root/sandbox &
sandbox=$!
trap 'kill $sandbox' EXIT
within 10 test -s /root/url || exit 1

check "apt installs it, and starts nothing" installs
check "manual, completions, examples" documents
check "init, and check --offline" configures
check "the unit's command serves, as its user" serves
check "a newer state is refused, with the way out" newer_state
check "remove leaves configuration and state" removes
check "purge keeps a state that is not empty" purge_keeps
check "purge removes what is empty" purge_removes
check "the release before has a state" before
check "an upgrade takes its state along" upgrades
check "a downgrade leaves the newer state alone" downgrades

! grep -q '^FAIL' /root/table
