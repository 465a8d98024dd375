#!/usr/bin/env bash
# Runs the program under a real systemd: boots Debian in qemu, without KVM, installs the program there as the README says,
# and puts it through what tests/systemd/checks.sh lists. Prints a table, and fails unless every check of it passed.
#
#   tests/systemd.sh BINARY [CACHE [DEB]]
#
# BINARY is the static one. CACHE is a folder that keeps Debian's root for the next run. DEB is the package that the README
# installs. Needs root, and Debian's mmdebstrap, qemu-system-x86, iproute2 and e2fsprogs.
set -euo pipefail

binary=$(realpath "$1")
deb=${3:+$(realpath "$3")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/debian.sh
source tests/debian.sh
needs mmdebstrap qemu-system-x86_64 mke2fs unshare ip

# Seconds. A run takes a third of that on two slow cores.
limit=900

root=$scratch/root
unpack_debian "${2:-$scratch}" "$root"

# On the machine, the binary, the package and the folder `packaging` are at hand, and whoever installs them is in their folder.
mkdir "$root/root/at-hand"
cp "$binary" "$root/root/at-hand/generic-connector"
cp -r packaging README.md "$root/root/at-hand/"
[[ -z $deb ]] || cp "$deb" "$root/root/at-hand/"
cp -r tests/systemd tests/layouts "$root/root/"
# The commands of the README's section, a line each, without those that look at the service that is not started yet.
awk '/^## Install on a VM/ { here = 1 } /^## Write/ { here = 0 } here && /^# / { print substr($0, 3) }' README.md |
    grep -v -e '^journalctl' -e ' status$' >"$root/root/commands"
echo "installing the program as the README says"
# In a network of its own, so that nothing of this machine is in the way.
unshare --net --pid --fork --mount-proc="$root/proc" sh -c 'ip link set lo up && exec chroot "$0" /root/systemd/install.sh' \
    "$root" >"$scratch/installed" 2>&1 || {
    cat "$scratch/installed"
    fail "the README's commands failed"
}

mv "$root"/boot/vmlinuz-* "$scratch/kernel"
mv "$root"/boot/initrd.img-* "$scratch/initrd"
mke2fs -q -t ext4 -d "$root" "$scratch/disk" 2G
rm -rf "$root"

echo "booting"
: >"$scratch/table"
# The results come over the second serial port.
timeout --kill-after=10 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
    -kernel "$scratch/kernel" -initrd "$scratch/initrd" \
    -append "root=/dev/vda rw console=ttyS0 quiet systemd.log_target=journal" \
    -drive "file=$scratch/disk,if=virtio,format=raw,cache=unsafe" -nic none -no-reboot -nodefaults -display none \
    -serial "file:$scratch/console" -serial "file:$scratch/table" ||
    echo "qemu ended with $?"

echo
tr -d '\r' <"$scratch/table"
echo
expected=$(grep -c '^check ' tests/systemd/checks.sh)
passed=$(grep -c '^ok ' "$scratch/table" || true)
if grep -q '^FAIL' "$scratch/table" || ((passed != expected)); then
    tail -n 50 "$scratch/console"
    fail "$passed of $expected checks passed"
fi
echo "all $expected checks passed"
