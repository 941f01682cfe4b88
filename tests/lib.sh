# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# TAP for shell tests. Source it first, call done_testing last:
#
#     . "$(dirname "$0")/../lib.sh"
#     check 'the file is there' test -e "$file"
#     is 'the driver' "$(cat driver)" vfio-pci
#     done_testing
#
# A script that ends before done_testing, whatever its exit status, has failed: the EXIT trap says so. To clean up,
# define a function `cleanup` (or call at_exit COMMAND...) instead of setting a trap of your own.

set -euo pipefail

# The distribution's own programs, as users have them: pyenv and the like put slow wrappers before them.
export PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
# libvirt's libraries bring thread-local storage with them, and LeakSanitizer looks for some of it where there is none:
# sometimes, as the memory happens to lie.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}intercept_tls_get_addr=0

tap_count=0
tap_failed=0
tap_done=
tap_exit=()

# ok NAME: one more that passed.
ok() {
        tap_count=$((tap_count + 1))
        printf 'ok %d - %s\n' "$tap_count" "$1"
}

# not_ok NAME [WHY]: one more that failed. The script goes on.
not_ok() {
        tap_count=$((tap_count + 1))
        tap_failed=$((tap_failed + 1))
        printf 'not ok %d - %s\n' "$tap_count" "$1"
        [ $# -lt 2 ] || diag "$2"
}

# skip NAME REASON: could not be run here. tests/may-skip has to know it, or the whole run fails.
skip() {
        tap_count=$((tap_count + 1))
        printf 'ok %d - %s # SKIP %s\n' "$tap_count" "$1" "$2"
}

# skip_all REASON: nothing in this script can be run here.
skip_all() {
        printf '1..0 # SKIP %s\n' "$1"
        tap_done=1
        exit 0
}

# diag TEXT: shown beside the results; every line becomes a comment.
diag() {
        printf '%s\n' "$1" | sed 's/^/# /'
}

# is NAME GOT WANT: equal strings.
is() {
        if [ "$2" = "$3" ]; then
                ok "$1"
        else
                not_ok "$1" "got:  $2
want: $3"
        fi
}

# like NAME GOT PATTERN: an extended regular expression is found in the string.
like() {
        if [[ $2 =~ $3 ]]; then
                ok "$1"
        else
                not_ok "$1" "got:     $2
pattern: $3"
        fi
}

# check NAME COMMAND...: exit status 0; what the command said is shown when it is another.
check() {
        local name=$1 said status=0

        shift
        said=$("$@" 2>&1) || status=$?
        if [ "$status" -eq 0 ]; then
                ok "$name"
        else
                not_ok "$name" "exit status $status: $*
$said"
        fi
}

# check_fails NAME STATUS COMMAND...: exactly this exit status.
check_fails() {
        local name=$1 want=$2 said status=0

        shift 2
        said=$("$@" 2>&1) || status=$?
        if [ "$status" -eq "$want" ]; then
                ok "$name"
        else
                not_ok "$name" "exit status $status, not $want: $*
$said"
        fi
}

# at_exit COMMAND...: run at the end, last in first out, whatever happened.
at_exit() {
        tap_exit=("$(printf '%q ' "$@")" "${tap_exit[@]}")
}

# uevents_alone: the kernel tells its events to every udevd, so only one test at a time may make them.
uevents_alone() {
        exec {tap_uevents}>/tmp/gpuvm-test-uevents.lock
        flock "$tap_uevents"
}

# done_testing: the plan, and the exit status of the script.
done_testing() {
        printf '1..%d\n' "$tap_count"
        tap_done=1
        [ "$tap_failed" -eq 0 ]
}

tap_on_exit() {
        local status=$? command

        set +e
        for command in "${tap_exit[@]}"; do
                eval "$command"
        done
        if declare -F cleanup >/dev/null; then
                cleanup
        fi
        if [ -z "$tap_done" ]; then
                not_ok "runs to its end (left early with exit status $status)"
                done_testing
                status=1
        fi
        exit "$status"
}

trap tap_on_exit EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
