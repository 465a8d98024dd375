#!/usr/bin/env bash
# Makes all files of a release from the last commit:
#
#   packaging/release.sh [DIR]
#
# DIR is dist unless given, and must not exist. Everything is built twice, in two folders, and both must be the same, byte
# for byte. As root, the packages, the image and the program for ARM are tested as well. Needs what packaging/build-static.sh
# and packaging/build-deb.sh need. On two cores it takes about a quarter of an hour.
set -euo pipefail

out=$(realpath --canonicalize-missing "${1:-dist}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset CARGO_TARGET_DIR

fail() {
    echo "release: $*" >&2
    exit 1
}

step() {
    echo "== $*"
}

[[ ! -e $out ]] || fail "$out exists"
[[ -z $(git status --porcelain) ]] || fail "there are changes that are not committed"
version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

build() {
    git clone --quiet . "$1"
    mkdir "$1/made"
    local target built deb
    for target in "${targets[@]}"; do
        built=$("$1/packaging/build-deb.sh" "$target")
        deb=${built##*$'\n'}
        cp "${deb% *}" "$1/made/"
        cp "$1/target/$target/release/generic-connector" "$1/made/generic-connector-$version-${target%%-*}-linux"
    done
}

# Both build with the same tools. Two builds at once may not install them.
for tool in cargo-deb cargo-cyclonedx zig; do
    packaging/tool.sh $tool >/dev/null
done

# Two folders whose paths have neither a name nor a length in common. At once: each build ends with minutes on one core.
folders=("$scratch/a" "$scratch/another/and-longer/path")
builds=()
for folder in "${folders[@]}"; do
    step "build in $folder"
    build "$folder" >"$scratch/log-${#builds[@]}" 2>&1 &
    builds+=($!)
done
for number in "${!builds[@]}"; do
    wait "${builds[$number]}" || {
        tail -n 20 "$scratch/log-$number"
        fail "the build in ${folders[$number]} failed"
    }
done

step "compare"
for file in "${folders[0]}"/made/*; do
    name=$(basename "$file")
    cmp "$file" "${folders[1]}/made/$name" || fail "$name differs between the two builds"
    echo "the same twice: $name, $(stat --format=%s "$file") bytes"
done

step "list what is in it"
# In a folder of the sources: the tool writes beside the manifest, and names it with its path.
cyclonedx=$(packaging/tool.sh cargo-cyclonedx)
for target in "${targets[@]}"; do
    (
        cd "${folders[0]}"
        SOURCE_DATE_EPOCH=$(packaging/release-date.sh %s)
        export SOURCE_DATE_EPOCH
        name=generic-connector-$version-${target%%-*}-linux.cdx
        "$cyclonedx/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --no-build-deps \
            --override-filename "$name"
        sed "s|$PWD|/generic-connector|g" "$name.json" >"made/$name.json"
    )
done

step "collect"
mkdir -p "$out"
cp "${folders[0]}"/made/* packaging/CHANGELOG.md "$out/"
packaging/image.sh "$out/generic-connector-$version-x86_64-linux" "$scratch/image"
archive() {
    tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime="$(packaging/release-date.sh)" "$@"
}
archive --file "$out/generic-connector-$version-man.tar.gz" --directory packaging man
archive --file "$out/generic-connector-$version-completions.tar.gz" --directory packaging completions
archive --file "$out/generic-connector-$version-image.tar.gz" --directory "$scratch" image
(
    cd "$out"
    sha256sum ./* | sed 's|  \./|  |' >"$scratch/sums"
    mv "$scratch/sums" SHA256SUMS
    sha256sum --check --quiet SHA256SUMS
)

if [[ $EUID -eq 0 ]]; then
    step "test the packages"
    lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$out"/*_arm64.deb
    tests/package.sh "$out"/*_amd64.deb
    step "test the image"
    tests/image.sh "$out/generic-connector-$version-x86_64-linux"
    step "test the program for ARM"
    tests/aarch64.sh "$out/generic-connector-$version-aarch64-linux"
else
    echo "skipped: the tests of the packages, of the image and of the program for ARM need root"
fi

step "done"
ls -l "$out"
cat "$out/SHA256SUMS"
