#!/usr/bin/env bash
# Makes Debian's root for the tests that need one, as CACHE/root.tar, unless it is there:
#
#   tests/debian.sh CACHE
#
# It has systemd and a kernel. Needs root, and Debian's mmdebstrap.
set -euo pipefail

cache=$1
suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

[[ ! -f $cache/root.tar ]] || exit 0
mkdir -p "$cache"
echo "making Debian's root"
# A small initrd: what finds the disk, and nothing else.
mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools \
    --include=curl,procps,e2fsprogs,man-db,lz4,sqlite3 \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"' \
    --essential-hook='printf "MODULES=list\nCOMPRESS=lz4\nRESUME=none\n" >"$1/etc/initramfs-tools/conf.d/small"' \
    --essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/usr/share/initramfs-tools/modules.d/disk"' \
    "$suite" "$cache/part.tar" "$mirror"
mv "$cache/part.tar" "$cache/root.tar"
