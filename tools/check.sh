#!/usr/bin/env bash
# Everything that must hold before a change lands: format, lints, licences, tests. Sets up what it needs under target/;
# on a fresh machine a Rust toolchain and Python 3 are enough. CI runs just this.
set -euo pipefail
cd "$(dirname "$0")/.."

DENY_VERSION=0.20.2
ONNX_VERSION=1.23.2
ORT_VERSION=1.32.0
SELENIUM_VERSION=4.51.0
JSONSCHEMA_VERSION=4.26.0

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --check

step "build and tests"
# Python's onnx.checker and ONNX Runtime judge our outputs, jsonschema the JSON of `check`, and a browser its page. Tests
# that need them fail where they are missing.
versions="from importlib.metadata import version; print(*map(version, 'onnx onnxruntime selenium jsonschema'.split()))"
wanted="$ONNX_VERSION $ORT_VERSION $SELENIUM_VERSION $JSONSCHEMA_VERSION"
if [[ "$(target/python/bin/python -c "$versions" 2>/dev/null)" != "$wanted" ]]; then
    python3 -m venv target/python
    target/python/bin/python -m pip install --quiet --disable-pip-version-check \
        "onnx==$ONNX_VERSION" "onnxruntime==$ORT_VERSION" "selenium==$SELENIUM_VERSION" \
        "jsonschema==$JSONSCHEMA_VERSION"
fi
has() { command -v "$1" >/dev/null; }
if ! { has "${UWM_TEST_CHROMIUM:-chromium}" || has chromium-browser || has google-chrome; } || ! has chromedriver; then
    root=()
    [[ $EUID -eq 0 ]] || root=(sudo -n)
    if has apt-get && "${root[@]}" true 2>/dev/null; then
        "${root[@]}" apt-get update -qq
        "${root[@]}" apt-get install -qq -y --no-install-recommends chromium chromium-driver
    fi
fi
export UWM_TEST_PYTHON="$PWD/target/python/bin/python"
cargo build --release --locked
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --release --locked --no-fail-fast
else
    cargo test --release --locked --lib --bins --tests --no-fail-fast
fi

cargo test --release --locked --doc

step "lints"
cargo clippy --release --locked --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --quiet

step "licences and sources of dependencies"
PATH="$PWD/target/tools/bin:$PATH"
if ! cargo deny --version 2>/dev/null | grep -qF "$DENY_VERSION"; then
    cargo install cargo-deny --version "$DENY_VERSION" --locked --quiet --root target/tools --target-dir target/tools/build
fi
cargo deny --locked check bans licenses sources

step "all green"
