# shellcheck shell=bash
# To be sourced by the action's other scripts.

# Something that nobody who makes names for files can know.
unguessable() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

# Sets an output of the step; the value may have several lines, and hold anything.
output() {
    local end
    end="$(unguessable)"
    printf '%s<<%s\n%s\n%s\n' "$1" "$end" "$2" "$end" >>"$GITHUB_OUTPUT"
}
