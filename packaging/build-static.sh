#!/usr/bin/env bash
# Builds the static binary. The last line of standard output is its path, a space, and its size in bytes.
set -euo pipefail

target=x86_64-unknown-linux-musl

# Cargo would take a relative path from the directory it runs in, which is not the caller's.
if [[ -n ${CARGO_TARGET_DIR:-} && $CARGO_TARGET_DIR != /* ]]; then
    export CARGO_TARGET_DIR="$PWD/$CARGO_TARGET_DIR"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v musl-gcc >/dev/null; then
    echo "build-static: musl-gcc is missing, and SQLite is C: install it with 'apt-get install musl-tools'" >&2
    exit 1
fi

# Asked of rustc, not of rustup, so that a distribution's Rust will do when it has the target.
if [[ ! -d $(rustc --print target-libdir --target "$target") ]]; then
    if ! command -v rustup >/dev/null; then
        echo "build-static: this Rust has no target $target, and there is no rustup to add it" >&2
        exit 1
    fi
    rustup target add "$target"
fi

cargo build --release --locked --target "$target"

# Cargo's own answer also covers a target directory that was set in its configuration.
target_dir=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
binary=$target_dir/$target/release/generic-connector

# readelf comes with musl-gcc. A static-pie binary has a dynamic section too: an interpreter or a needed library is
# what would tie it to the machine.
headers=$(readelf --wide --program-headers --dynamic "$binary")
if grep -E 'INTERP|\(NEEDED\)' <<<"$headers" >&2; then
    echo "build-static: $binary is not static" >&2
    exit 1
fi

echo "$binary $(stat --format=%s "$binary")"
