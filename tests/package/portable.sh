#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The programs of a built package on a userland that need not have systemd running: portable.sh DEB
#
# Unpacks the package beside the system, and asks each program for its help, its version and, for each recorded
# machine, for its plan. Needs bash, dpkg-deb and the libraries that the package depends on; no root.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

hosts=$(cd "$(dirname "$0")/../hosts" && pwd)
deb=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
check 'the package unpacks' dpkg-deb -x "$deb" "$work/root"
version=$(dpkg-deb -f "$deb" Version)

mapfile -t programs < <(find "$work/root/usr/bin" "$work/root/usr/lib/gpuvm" -type f -perm -u+x 2>/dev/null | sort)
check 'the package has programs' test "${#programs[@]}" -gt 0

# run COMMAND...: sets status; what was said is in $work/out and $work/err. Nothing may take longer than ten seconds.
run() {
        status=0
        timeout 10 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

hash_of() {
        (cd "$1" && find . -printf '%P %y %m %l\n' -type f -exec sha256sum {} + | sort | sha256sum)
}

for program in "${programs[@]}"; do
        name=${program##*/}
        run "$program" --version
        is "$name --version" "$status:$(<"$work/out")" "0:$name $version"
        run "$program" --help
        like "$name --help" "$status:$(head -n1 "$work/out")" "^0:$name"
done

for host in "$hosts"/*/; do
        [ -d "$host" ] || continue
        host=${host%/}
        before=$(hash_of "$host")
        for program in "${programs[@]}"; do
                name=${program##*/}
                # Those without a plan of their own: the front end asks the others, and a GPU or a machine has to be named.
                case $name in gpu-vm-bootstrap | gpuvm-generator | gpuvm-reset | gpuvm-route | gpuvm-undo | gpuvm-vm | vmctl) continue ;; esac
                run "$program" --dry-run --root="$host"
                case $status in
                0 | 1 | 75 | 77) ok "$name --dry-run on ${host##*/}: exit status $status" ;;
                *) not_ok "$name --dry-run on ${host##*/}" "exit status $status: $(<"$work/err")" ;;
                esac
                # What is refused must be told.
                [ "$status" -ne 1 ] || like "$name refuses ${host##*/} with a sentence" "$(<"$work/err")" '[a-z]{3}'
        done
        is "${host##*/} is as it was" "$(hash_of "$host")" "$before"
done
done_testing
