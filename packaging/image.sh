#!/usr/bin/env bash
# Puts the folder together that packaging/Containerfile is built from:
#
#   packaging/image.sh BINARY DIR
set -euo pipefail

install -D -m 0755 "$1" "$2/generic-connector"
install -D -m 0644 "$(dirname "${BASH_SOURCE[0]}")/Containerfile" "$2/Containerfile"
# Whatever is in it would be in the image.
install -d -m 0700 "$2/data"
