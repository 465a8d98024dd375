#!/usr/bin/env bash
# Installs the Debian package in a Debian without a network, runs the program there, upgrades, removes and purges it, and
# looks at the package with lintian. Prints a table, and fails unless every check passed.
#
#   tests/package.sh DEB [CACHE] [PREVIOUS]
#
# CACHE is the folder in which tests/systemd.sh keeps Debian's root. PREVIOUS is the binary of an older release, which then
# makes the state to upgrade; without it, the state is one of tests/layouts. Needs root, and Debian's mmdebstrap, lintian and
# iproute2.
set -euo pipefail

deb=$(realpath "$1")
previous=${3:+$(realpath "$3")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/debian.sh
source tests/debian.sh
needs mmdebstrap lintian dpkg-deb unshare ip

echo "lintian"
# Its other tags are advice; the ones that are not followed are in the overrides, with the reason.
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$deb"

version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
packaged=$(dpkg-deb --field "$deb" Version)
[[ $packaged == "$version-1" ]] || fail "the package is $packaged, not $version-1"

root=$scratch/root
unpack_debian "${2:-$scratch}" "$root"
mkdir "$root/root/at-hand"
cp "$deb" "$root/root/at-hand/new.deb"
cp -r tests/package tests/layouts "$root/root/"

# The release before, as a package: with its binary, or with today's and a state of its time.
dpkg-deb --raw-extract "$deb" "$scratch/old"
sed -i 's/^Version: .*/Version: 0.1.0-1/' "$scratch/old/DEBIAN/control"
if [[ -n $previous ]]; then
    install -m 0755 "$previous" "$scratch/old/usr/bin/generic-connector"
    touch "$root/root/at-hand/previous"
fi
# The sums are those of the new one.
rm -f "$scratch/old/DEBIAN/md5sums"
dpkg-deb --root-owner-group --build "$scratch/old" "$root/root/at-hand/old.deb" >/dev/null

# In a network of its own, so that nothing of this machine is in the way.
code=0
unshare --net --pid --fork --mount-proc="$root/proc" sh -c 'ip link set lo up && exec chroot "$0" /root/package/checks.sh' \
    "$root" || code=$?
expected=$(grep -c '^check ' tests/package/checks.sh)
passed=$(grep -cs "^ok " "$root/root/table" || true)
((code == 0 && passed == expected)) || fail "$passed of $expected checks passed"
echo "all $expected checks passed; the package has $(stat --format=%s "$deb") bytes"
