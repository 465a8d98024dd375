#!/usr/bin/env bash
# Prints the date of the release, which is the one of the change log's top entry, in a format of date(1), %F if none is given:
#
#   packaging/release-date.sh [FORMAT]
set -euo pipefail

log=$(dirname "${BASH_SOURCE[0]}")/CHANGELOG.md
date=$(sed -n 's/^## \[.*\] - \([0-9-]*\)$/\1/p;T;q' "$log")
[[ -n $date ]] || {
    echo "release-date: $log has no entry with a date" >&2
    exit 1
}
LC_ALL=C date --utc --date="$date" "+${1:-%F}"
