#!/usr/bin/env bash
# Builds the Debian package of the static binary:
#
#   packaging/build-deb.sh [TARGET]
#
# TARGET is as for packaging/build-static.sh. cargo-deb is installed by packaging/tool.sh. The last line of standard output is
# the path of the package, a space, and its size in bytes.
set -euo pipefail

target=${1:-x86_64-unknown-linux-musl}

if [[ -n ${CARGO_TARGET_DIR:-} && $CARGO_TARGET_DIR != /* ]]; then
    export CARGO_TARGET_DIR="$PWD/$CARGO_TARGET_DIR"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

built=$(packaging/build-static.sh "$target")
binary=${built##*$'\n'}
binary=${binary% *}
release=$(dirname "$binary")

# Debian's form of the change log: one line says what a version is, the rest is in the other file.
mkdir -p "$release/package"
sed -n 's/^## \[\(.*\)\] - \(.*\)$/\1 \2/p' packaging/CHANGELOG.md | while read -r version date; do
    printf 'generic-connector (%s-1) stable; urgency=medium\n\n  * Version %s: see changelog.gz.\n\n' "$version" "$version"
    printf ' -- %s  %s\n\n' "$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)" \
        "$(LC_ALL=C date --utc --date="$date" '+%a, %d %b %Y 00:00:00 +0000')"
done | gzip --best --no-name >"$release/package/changelog.Debian.gz"
gzip --best --no-name --stdout packaging/CHANGELOG.md >"$release/package/changelog.gz"

# The licences of all that is linked into the binary, which each of them asks for.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
licenses=$release/package/third-party-licenses
cat >"$licenses" <<'END'
The program is linked with SQLite, which is in the public domain; with Rust's standard library, Copyright (c) The Rust
Project contributors, under the MIT licence; with musl, Copyright (c) 2005-2020 Rich Felker, et al., under the MIT licence;
and with the libraries below. The text of the MIT licence is in the file copyright.
END
cargo tree --locked --target "$target" --edges normal,no-proc-macro --prefix none --no-dedupe --format '{p} {l}' |
    sed 1d | LC_ALL=C sort --unique >"$release/package/libraries"
while read -r name version license; do
    printf '\n==== %s %s (%s)\n\n' "$name" "${version#v}" "$license" >>"$licenses"
    mapfile -t texts < <(find "$registry"/*/"$name-${version#v}" -maxdepth 1 -type f \
        \( -iname 'license*' -o -iname 'copying*' -o -iname 'notice*' \) | LC_ALL=C sort)
    [[ ${#texts[@]} -gt 0 ]] || {
        echo "build-deb: $name ${version#v} comes without the text of its licence" >&2
        exit 1
    }
    cat "${texts[@]}" >>"$licenses"
done <"$release/package/libraries"
gzip --best --no-name --force "$licenses"

tool=$(packaging/tool.sh cargo-deb)
SOURCE_DATE_EPOCH=$(packaging/release-date.sh %s)
export SOURCE_DATE_EPOCH
deb=$("$tool/cargo-deb" deb --quiet --locked --no-build --no-strip --target "$target")
deb=${deb##*$'\n'}

echo "$deb $(stat --format=%s "$deb")"
