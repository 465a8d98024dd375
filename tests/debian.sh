# A Debian for the tests that need one, tests/systemd.sh and tests/package.sh: they source this from the project's folder.
# Makes the folder $scratch, which is removed at the end.

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "$(basename "$0" .sh): $*" >&2
    exit 1
}

# Checks that this is root, and that the tools are there.
needs() {
    [[ $EUID -eq 0 ]] || fail "run it as root: it makes a root file system"
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is missing"
    done
}

# Unpacks Debian's root, with systemd and a kernel, into a new folder. It is made as CACHE/root.tar unless it is there:
#
#   unpack_debian CACHE FOLDER
#
# $DEBIAN_SUITE names another Debian than bookworm, $DEBIAN_MIRROR another mirror.
unpack_debian() {
    local cache=$1 folder=$2
    if [[ ! -f $cache/root.tar ]]; then
        echo "making Debian's root"
        mkdir -p "$cache"
        # A small initrd: what finds the disk, and nothing else.
        mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools \
            --include=curl,procps,e2fsprogs,man-db,lz4,sqlite3 \
            --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"' \
            --essential-hook='printf "MODULES=list\nCOMPRESS=lz4\nRESUME=none\n" >"$1/etc/initramfs-tools/conf.d/small"' \
            --essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/usr/share/initramfs-tools/modules.d/disk"' \
            "${DEBIAN_SUITE:-bookworm}" "$cache/part.tar" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
        mv "$cache/part.tar" "$cache/root.tar"
    fi
    mkdir "$folder"
    tar --extract --file "$cache/root.tar" --directory "$folder"
}
