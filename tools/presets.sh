#!/usr/bin/env bash
# The bundled model with each preset, side by side, on the evaluation split: what it brings and what it costs, with its
# controls. Prints the first table of the README. Builds the tool; needs a Rust toolchain and Python 3, nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked --quiet
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
for preset in paper contrast aimed steer; do
    target/release/uwm-onnx rewrite models/emoji-clip/model.onnx -o "$folder/$preset.onnx" --preset "$preset" \
        --backend tract --format json >"$folder/$preset.json"
done
python3 - "$folder" <<'PY'
import json
import pathlib
import sys

NAMES = ["paper", "contrast", "aimed", "steer"]
reports = {name: json.loads((pathlib.Path(sys.argv[1]) / f"{name}.json").read_text()) for name in NAMES}


def side(report, side):
    ground, retrieval = report["safeground"], report["retrieval"][side]
    rows = {name: ground[side][name] for name in ("GS", "PU", "PS")}
    rows |= {f"GS, {style} scenes": both[side]["GS"] for style, both in ground["by_style"].items()}
    rows |= {name: retrieval[name] for name in ("Tu-V unsafe@1", "Vu-T unsafe@1")}
    rows |= {f"{name} R@1": retrieval[name]["R@1"] for name in ("Ts-Vs", "Vs-Ts")}
    return rows | {"zero-shot top-1": report["zero_shot"][side]["top1"]}


def control(report, kind, metric):
    found = [c for c in report["controls"] if c["kind"] == kind]
    values = [c["zero_shot"]["top1"] if metric == "top1" else c["safeground"][metric] for c in found]
    return sum(values) / len(values) if values else None


def line(name, values):
    print(f"{name:<30}" + "".join(f"{'-' if v is None else v if isinstance(v, str) else f'{v:.1f}':>10}" for v in values))


line("percent", ["original", *NAMES])
columns = [side(reports["paper"], "before")] + [side(reports[name], "after") for name in NAMES]
for name in columns[0]:
    line(name, [column[name] for column in columns])
for title, kind, metric in [
    ("GS, random elements", "random", "GS"),
    ("GS, roles swapped", "swapped", "GS"),
    ("GS, random direction", "direction", "GS"),
    ("zero-shot, random elements", "random", "top1"),
]:
    line(title, [None] + [control(reports[name], kind, metric) for name in NAMES])
edits = [reports[name]["edit"] for name in NAMES]
towers = ["+".join(sorted({layer["tower"] for layer in edit["layers"]})).replace("text+vision", "both") for edit in edits]
line("tower", ["", *towers])
line("elements changed", ["0", *(str(edit["selected"]) for edit in edits)])
line("what changes", ["", *("values" if edit["alpha"] is None else "signs" for edit in edits)])
PY
