#!/usr/bin/env bash
# The action's second step: runs `uwm-onnx check`, appends its Markdown to the summary of the job, sets the outputs, and
# only then ends, with the exit code of the check.
# In: UWM_BINARY and, as action.yml describes them, UWM_MODEL, UWM_BASELINE, UWM_POLICY, UWM_DATA, UWM_REPORT, UWM_ARGS,
# UWM_INCONCLUSIVE; all but the first two may be empty. Out: `verdict`, `exit-code`, `report`, `html`.
# It is written for the bash 3.2 of macOS, too.
set -euo pipefail
# shellcheck source=tools/action/output.sh
. "$GITHUB_ACTION_PATH/tools/action/output.sh"

# The members of a list: its lines if it has several, else its words.
members() {
    case "$1" in
        *$'\n'*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$1" | LC_ALL=C tr '[:blank:]' '[\n*]' ;;
    esac | LC_ALL=C tr -d '\r' | LC_ALL=C sed '/^[[:blank:]]*$/d'
}

# What a JSON report has under a name, one of some words; nothing if it cannot be told. Inside of texts each quote has a
# backslash before it, so that no name can look like this.
word_of() {
    local found
    found="$(LC_ALL=C grep -oE "\"$2\": ?\"($3)\"" "$1" | cut -d '"' -f 4 | sort -u || true)"
    case "$found" in
        *$'\n'*) ;;
        *) printf '%s' "$found" ;;
    esac
}

# Reports of its own: what lies where the others go may be from an earlier run.
own="$RUNNER_TEMP/uwm-check"
rm -rf -- "$own"
mkdir -- "$own"

# Values stand behind a `=`, and the model behind `--`, so that none is taken for an option.
arguments=(check --force "--report=$own/report.json" "--report=$own/report.md")
reports=""
while IFS= read -r path; do
    # Where that fails, the check itself says what is wrong.
    mkdir -p -- "$(dirname -- "$path")" || true
    arguments+=("--report=$path")
    reports+="$path"$'\n'
done < <(members "$UWM_REPORT")
[[ -z "$UWM_BASELINE" ]] || arguments+=("--baseline=$UWM_BASELINE")
[[ -z "$UWM_POLICY" ]] || arguments+=("--policy=$UWM_POLICY")
[[ -z "$UWM_DATA" ]] || arguments+=("--data=$UWM_DATA")
[[ -z "$UWM_INCONCLUSIVE" ]] || arguments+=("--inconclusive=$UWM_INCONCLUSIVE")
while IFS= read -r argument; do
    arguments+=("$argument")
done < <(members "$UWM_ARGS")

# What is printed holds names from files, which a runner would obey if they looked like `::set-output ..`.
resume="$(unguessable)"
code=0
printf '::stop-commands::%s\n' "$resume"
"$UWM_BINARY" "${arguments[@]}" -- "$UWM_MODEL" 2>&1 || code=$?
printf '\n::%s::\n' "$resume"

verdict="" taken=""
if [[ -f "$own/report.json" ]]; then
    verdict="$(word_of "$own/report.json" verdict 'pass|fail|inconclusive')"
    taken="$(word_of "$own/report.json" when_inconclusive 'tell|pass|fail')"
fi
# A yes counts only if the report says so too.
case "$code $verdict $taken" in
    "0 pass "* | "0 inconclusive pass") ;;
    "0 "*)
        echo "the check ended with exit code 0, and its report does not say that the model passes (verdict: ${verdict:-none})" >&2
        code=4
        ;;
esac

written="" html=""
if [[ -f "$own/report.json" ]]; then
    while IFS= read -r path; do
        [[ -f "$path" ]] || continue
        written+="${written:+$'\n'}$path"
        [[ -n "$html" || "$path" != *.html ]] || html="$path"
    done < <(printf '%s' "$reports")
fi
if [[ -f "$own/report.md" ]]; then
    cat -- "$own/report.md" >>"$GITHUB_STEP_SUMMARY"
else
    printf '**uwm-onnx check** ended with exit code %s and left no report. The log of the step says why.\n' "$code" \
        >>"$GITHUB_STEP_SUMMARY"
fi
output verdict "$verdict"
output exit-code "$code"
output report "$written"
output html "$html"
echo "verdict: ${verdict:-none}, exit code $code"
exit "$code"
