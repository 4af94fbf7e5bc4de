#!/usr/bin/env bash
# Fuzzes: `bash fuzz/run.sh SECONDS [TARGET...]`, each target for that long, one after the other; all of them if none is
# named. Needs a stable toolchain, a C++ compiler and `cargo install cargo-fuzz`. What is found is said in fuzz/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?"bash fuzz/run.sh SECONDS [TARGET...]"}
shift
targets=("$@")
[[ $# -gt 0 ]] || targets=(config external image manifest model patch preparation report)

# As long as inputs of the surface usefully are.
declare -A longest=(
    [config]=4096 [external]=1024 [image]=4096 [manifest]=16384
    [model]=49152 [patch]=4096 [preparation]=8192 [report]=32768
)

# Files that are written for each input cost least in memory.
memory=/dev/shm
[[ -w $memory ]] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d -p "$memory")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# A tokenizer's panic is caught in the thread that it is in.
export TOKENIZERS_PARALLELISM=false

for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    mkdir -p "fuzz/found/$target" "fuzz/regressions/$target"
    words=()
    [[ -f fuzz/words/$target ]] && words=("-dict=fuzz/words/$target")
    # Sanitizers are for nightly toolchains; of unsafe code this crate has one line.
    cargo fuzz run --sanitizer none "$target" "fuzz/found/$target" "fuzz/corpus/$target" "fuzz/regressions/$target" -- \
        -max_total_time="$seconds" -max_len="${longest[$target]}" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 "${words[@]}"
done
