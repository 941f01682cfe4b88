#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every program answers the same way: check-help.sh VERSION PROGRAM...

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

version=$1
shift
work=$(mktemp -d)
at_exit rm -rf "$work"

# run PROGRAM ARGUMENT...: sets status; what was said is in $work/out and $work/err.
run() {
        status=0
        GPUVM_ROOT=/nonexistent "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

for program; do
        name=${program##*/}

        run "$program" --help
        cp "$work/out" "$work/help"
        is "$name --help: exit status" "$status" 0
        is "$name --help: nothing on standard error" "$(<"$work/err")" ''
        like "$name --help: usage line" "$(head -n1 "$work/out")" "^$name( |\$)"
        is "$name --help: at most 80 columns" "$(awk 'length > 80' "$work/out")" ''
        run "$program" -h
        is "$name -h: exit status" "$status" 0
        check "$name -h says what --help says" cmp "$work/help" "$work/out"

        run "$program" --version
        is "$name --version" "$status:$(<"$work/out"):$(<"$work/err")" "0:$name $version:"

        run "$program" --no-such-option
        is "$name with an unknown option: exit status" "$status" 2
        is "$name with an unknown option: nothing on standard output" "$(<"$work/out")" ''
        like "$name with an unknown option: says which" "$(<"$work/err")" no-such-option
        # The generator is told its root by the option only, and never fails because of a configuration.
        if [ "$name" != gpuvm-generator ] && grep -q -- --root= "$work/help"; then
                run "$program" --dry-run
                like "$name with a root that is not there: names it" "$status:$(<"$work/err")" '^2:.*/nonexistent'
        fi
done
done_testing
