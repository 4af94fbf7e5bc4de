#!/usr/bin/env bash
# The action's first step: says where uwm-onnx is; builds it from the action's source if none is given.
# In: UWM_BINARY, which may be empty. Out: `path`.
set -euo pipefail
# shellcheck source=tools/action/output.sh
. "$GITHUB_ACTION_PATH/tools/action/output.sh"

if [[ -z "$UWM_BINARY" ]]; then
    if ! command -v cargo >/dev/null; then
        echo "there is no cargo to build uwm-onnx with: install Rust before this step, or give a binary" >&2
        exit 4
    fi
    # The folder is said, since the workflow's own settings may name another.
    target="$GITHUB_ACTION_PATH/target"
    cargo build --release --locked --manifest-path "$GITHUB_ACTION_PATH/Cargo.toml" --target-dir "$target" --bin uwm-onnx
    UWM_BINARY="$target/release/uwm-onnx"
fi
if ! path="$(type -P -- "$UWM_BINARY")"; then
    printf 'there is no program %q\n' "$UWM_BINARY" >&2
    exit 2
fi
output path "$path"
