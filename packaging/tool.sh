#!/usr/bin/env bash
# Prints the folder that has a build tool, for PATH, and installs the tool there if it is missing:
#
#   packaging/tool.sh cargo-deb|cargo-deny|cargo-cyclonedx|zig
#
# The folder is below $GENERIC_CONNECTOR_TOOLS, or ~/.cache/generic-connector. Nothing outside of it is changed.
set -euo pipefail

tools=${GENERIC_CONNECTOR_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/generic-connector}

fail() {
    echo "tool: $*" >&2
    exit 1
}

# Compiled quickly rather than well: each runs for seconds.
from_crates() {
    local folder=$tools/$1-$2
    if [[ ! -x $folder/bin/$1 ]]; then
        echo "tool: compiling $1 $2" >&2
        # A build of its own. The settings of the program's builds are not meant for it.
        env -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS -u CARGO_BUILD_TARGET -u CARGO_TARGET_DIR \
            CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install --quiet --locked --root "$folder" "$1@$2" >&2
    fi
    echo "$folder/bin"
}

# Zig is a C compiler and linker for every target, and comes with musl. cargo-zigbuild lets Cargo use it.
from_python() {
    local folder=$tools/zig-$2-$1
    if [[ ! -x $folder/bin/cargo-zigbuild ]]; then
        command -v python3 >/dev/null || fail "python3 is missing, and Zig comes from PyPI: install python3-venv"
        python3 -c 'import ensurepip' 2>/dev/null ||
            fail "python3 cannot make an environment, and Zig comes from PyPI: install python3-venv"
        echo "tool: installing ziglang $2 and cargo-zigbuild $1" >&2
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check "ziglang==$2" "cargo-zigbuild==$1" >&2 || {
            rm -rf "$folder"
            fail "ziglang $2 and cargo-zigbuild $1 could not be installed"
        }
    fi
    echo "$folder/bin"
}

case ${1:-} in
    cargo-deb) from_crates cargo-deb 3.8.0 ;;
    cargo-deny) from_crates cargo-deny 0.20.2 ;;
    cargo-cyclonedx) from_crates cargo-cyclonedx 0.5.9 ;;
    zig) from_python 0.24.0 0.17.1 ;;
    *) fail "name a tool: cargo-deb, cargo-deny, cargo-cyclonedx or zig" ;;
esac
