#!/usr/bin/env bash
# Builds the static binary:
#
#   packaging/build-static.sh [TARGET]
#
# TARGET is x86_64-unknown-linux-musl, which needs Debian's musl-tools, or aarch64-unknown-linux-musl, for which Zig is
# installed by packaging/tool.sh. The last line of standard output is the path of the binary, a space, and its size in bytes.
#
# The same sources, Rust and C compiler give the same bytes in every folder: no path of this machine is in the binary.
set -euo pipefail

target=${1:-x86_64-unknown-linux-musl}

fail() {
    echo "build-static: $*" >&2
    exit 1
}

# Cargo would take a relative path from the directory it runs in, which is not the caller's.
if [[ -n ${CARGO_TARGET_DIR:-} && $CARGO_TARGET_DIR != /* ]]; then
    export CARGO_TARGET_DIR="$PWD/$CARGO_TARGET_DIR"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v readelf >/dev/null || fail "readelf is missing: install it with 'apt-get install binutils'"
case $target in
    x86_64-unknown-linux-musl)
        command -v musl-gcc >/dev/null ||
            fail "musl-gcc is missing, and SQLite is C: install it with 'apt-get install musl-tools'"
        build=(cargo build)
        ;;
    aarch64-unknown-linux-musl)
        zig=$(packaging/tool.sh zig)
        PATH=$zig:$PATH
        build=(cargo-zigbuild zigbuild)
        ;;
    *) fail "the target $target is unknown: name x86_64-unknown-linux-musl or aarch64-unknown-linux-musl" ;;
esac

# Asked of rustc, not of rustup, so that a distribution's Rust will do when it has the target.
if [[ ! -d $(rustc --print target-libdir --target "$target") ]]; then
    command -v rustup >/dev/null || fail "this Rust has no target $target, and there is no rustup to add it"
    rustup target add "$target"
fi

# Cargo's own answer also covers a target directory that was set in its configuration.
target_dir=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
binary=$target_dir/$target/release/generic-connector

# The sources of the dependencies must be there before their folders can be named.
cargo fetch --quiet --locked --target "$target"
# Where the sources are here, and what the binary says instead. The last one that matches counts.
prefixes=("$PWD=/generic-connector" "$target_dir=/target")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    prefixes+=("$registry=/registry")
done
prefixes+=("$(rustc --print sysroot)=/rust")
rust_flags=()
c_flags=()
for prefix in "${prefixes[@]}"; do
    rust_flags+=("--remap-path-prefix=$prefix")
    # As in a shell: a path may have spaces.
    c_flags+=("$(printf %q "-ffile-prefix-map=$prefix")")
done
# Between flags that may have spaces, Cargo wants this character.
CARGO_ENCODED_RUSTFLAGS=$(
    IFS=$'\x1f'
    echo "${rust_flags[*]}"
)
export CARGO_ENCODED_RUSTFLAGS
export "CFLAGS_${target//-/_}=${c_flags[*]}" CC_SHELL_ESCAPED_FLAGS=1
# The date of the release, not the clock, for every tool that writes a date.
SOURCE_DATE_EPOCH=$(packaging/release-date.sh %s)
export SOURCE_DATE_EPOCH

"${build[@]}" --release --locked --target "$target"

# A static-pie binary has a dynamic section too: an interpreter or a needed library is what would tie it to the machine.
headers=$(readelf --wide --program-headers --dynamic "$binary")
if grep -E 'INTERP|\(NEEDED\)' <<<"$headers" >&2; then
    fail "$binary is not static"
fi
if strings "$binary" | grep -F -e "$HOME/" -e "$PWD/" -e "$target_dir/" -e /registry/src/ -e /.rustup/ >&2; then
    fail "$binary has paths of this machine"
fi

echo "$binary $(stat --format=%s "$binary")"
