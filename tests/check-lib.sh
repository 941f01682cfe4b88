#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The shell TAP library itself: a script that dies half way has failed, and its output still is TAP.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)

# run_script BODY: sets output and status.
run_script() {
        status=0
        output=$(bash -c ". '$here/lib.sh'; $1" 2>/dev/null) || status=$?
}

run_script 'ok a; is b x x; like c abc b; check d true; check_fails e 1 false; skip f because; done_testing'
is 'six that pass: plan' "$(tail -n1 <<<"$output")" 1..6
is 'six that pass: status' "$status" 0
is 'none failed' "$(grep -c '^not ok' <<<"$output" || true)" 0
like 'a skip has its reason' "$output" 'ok 6 - f # SKIP because'

run_script 'is a x y; like b x y; check c false; check_fails d 0 false; check_fails e 2 false; not_ok f; done_testing'
is 'six that fail' "$(grep -c '^not ok' <<<"$output" || true)" 6
is 'six that fail: status' "$status" 1

run_script 'ok a; false; ok b; done_testing'
is 'dies half way: not ok' "$(grep -c '^not ok 2 - runs to its end' <<<"$output" || true)" 1
is 'dies half way: plan' "$(tail -n1 <<<"$output")" 1..2
is 'dies half way: status' "$status" 1

run_script 'ok a; exit 0'
is 'leaves early with status 0: status' "$status" 1

run_script 'cleanup() { echo "# cleaned"; }; at_exit echo "# first of two"; at_exit echo "# last in"; ok a; false'
is 'cleans up, last in first out' "$(grep '^# ' <<<"$output")" "# last in
# first of two
# cleaned"

run_script 'check a bash -c "echo one; echo two; exit 3"; done_testing'
is 'what a command said is commented' "$(grep -c '^# \(one\|two\)$' <<<"$output")" 2

run_script 'skip_all "no such machine"'
is 'skip_all' "$output/$status" "1..0 # SKIP no such machine/0"

# What counts them.
log=$(mktemp)
at_exit rm -f "$log"
cat >"$log" <<'EOF'
{"name": "a", "result": "FAIL", "stdout": "ok 1 - x\n# of x\nnot ok 2 - y\n# why y\nok 3 - z # SKIP no leave\n1..3\n"}
{"name": "b", "result": "TIMEOUT", "stdout": "ok 1 - x\n"}
{"name": "c", "result": "OK", "stdout": ""}
EOF
is 'count.py counts' "$(python3 "$here/count.py" s "$log" "$here/may-skip" 2>/dev/null)" '3 3 0'
is 'count.py says what failed, and why' "$(python3 "$here/count.py" s "$log" "$here/may-skip" 2>&1 >/dev/null)" \
        "FAILED s: a: y
  # why y
FAILED s: a: z: skipped (no leave), not in $here/may-skip
FAILED s: b: ended as TIMEOUT"

done_testing
