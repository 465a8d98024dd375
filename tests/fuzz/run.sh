#!/usr/bin/env bash
# run.sh [SECONDS [TARGET...]] runs every fuzz target, or those named, for 180 seconds unless told otherwise, one after
# the other, and says what came of each. A target ends at its first finding; then the exit code is 1.
# Needs cargo-fuzz (cargo install cargo-fuzz --locked) and a C++ compiler.
set -euo pipefail

seconds=${1:-180}
targets=("${@:2}")
fuzz=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
logs=$(mktemp -d)
cp "$fuzz/../../Cargo.lock" "$fuzz/Cargo.lock"
# The configuration falls back on these, and nothing but the fuzzer's input may decide.
unset CREDENTIALS_DIRECTORY STATE_DIRECTORY

# Without a sanitizer, stable Rust will do, and there is no unsafe code here that one could watch.
options=(--fuzz-dir "$fuzz" --sanitizer none)
cargo fuzz build "${options[@]}"

statistic() {
    sed -n "s/^stat::$1: *//p" "$2" | tail -n 1
}

printf '%-12s %12s %12s %10s\n' target executions "a second" findings
findings=0
if [[ ${#targets[@]} -eq 0 ]]; then
    mapfile -t targets < <(cargo fuzz list --fuzz-dir "$fuzz")
fi
for target in "${targets[@]}"; do
    mkdir -p "$fuzz/corpus/$target" "$fuzz/artifacts/$target"
    dictionary=$fuzz/dictionaries/$target.dict
    arguments=(-max_total_time="$seconds" -timeout=10 -print_final_stats=1)
    if [[ -e $dictionary ]]; then
        arguments+=(-dict="$dictionary")
    fi
    log=$logs/$target
    found=0
    cargo fuzz run "${options[@]}" "$target" "$fuzz/corpus/$target" "$fuzz/seeds/$target" -- "${arguments[@]}" \
        >"$log" 2>&1 || found=1
    printf '%-12s %12s %12s %10s\n' "$target" "$(statistic number_of_executed_units "$log")" \
        "$(statistic average_exec_per_sec "$log")" "$found"
    if [[ $found -ne 0 ]]; then
        findings=1
        # The assertion, and the command that repeats it.
        grep -A 3 -E 'panicked at|ERROR: libFuzzer|^error|Reproduce with' "$log" | sed 's/^/    /' || true
        echo "    all of it: $log"
    fi
done
exit "$findings"
