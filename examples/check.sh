#!/usr/bin/env bash
# A gate for any CI system, or for a terminal:
#
#     bash check.sh safe.onnx --baseline model.onnx --policy policy.yaml --data pairs.jsonl
#
# Runs `uwm-onnx check` with these arguments and leaves report.html, report.json, report.xml (JUnit) and report.md in the
# folder uwm-check. Ends with its exit code: 0 the model passes; 1 it does not; 2 to 4 something is wrong with options,
# files or runtime; 5 it cannot be told. Settings: UWM_ONNX, the program; UWM_REPORTS, the folder.
set -euo pipefail

program="${UWM_ONNX:-uwm-onnx}"
folder="${UWM_REPORTS:-uwm-check}"

# A report of an earlier run must not be taken for that of this one.
mkdir -p -- "$folder"
rm -f -- "$folder"/report.{html,json,xml,md}

code=0
"$program" check --force --report="$folder/report.html" --report="$folder/report.json" \
    --report="$folder/report.xml" --report="$folder/report.md" "$@" || code=$?

if [[ "$code" == 0 && ! -f "$folder/report.json" ]]; then
    echo "the check ended with exit code 0 and left no report: that is no yes" >&2
    code=4
fi
# What the report says: the code may make a pass or a failure of what is inconclusive.
verdict=""
[[ ! -f "$folder/report.json" ]] ||
    verdict="$(LC_ALL=C grep -oE '"verdict": ?"(pass|fail|inconclusive)"' "$folder/report.json" | cut -d '"' -f 4 |
        LC_ALL=C tr '[:lower:]' '[:upper:]' || true)"
case "$code" in
    0 | 1 | 5) echo "${verdict:-no verdict}: see $folder/report.html" ;;
    *) echo "the check went wrong (exit code $code)" ;;
esac >&2
exit "$code"
