#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-iommu and gpuvm-undo killed at a system call that changes something, and the power gone in the same moment:
# boot-cut.sh DIRECTORY-OF-HELPERS GOINGDOWN
#
# After each cut the machine must start as it is, the ledger must hold whole records only, a second run must reach the
# same end as one that was never cut, and undo must bring /etc and /boot back byte for byte. On ext4 and xfs, with and
# without what was not fsynced. $GPUVM_LONG=1 cuts at every call, else at a sample that differs from one file system
# and mode to the next.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"

[ "$(id -u)" = 0 ] || skip_all 'needs root'
command -v strace >/dev/null || skip_all 'no strace here'
if [ -z "${GPUVM_UNSHARED-}" ]; then
        unshare -m true 2>/dev/null || skip_all 'no mount namespaces here'
        GPUVM_UNSHARED=1 exec unshare -m "$0" "$@"
fi
helpers=$(cd "$1" && pwd) goingdown=$(realpath "$2")
calls=write,fsync,renameat,linkat,unlinkat,mkdirat,fchmod,symlinkat
# The leak checker cannot work under strace.
export ASAN_OPTIONS=detect_leaks=0
work=$(mktemp -d)
mnt=$work/mnt root=$work/mnt/root
mkdir "$mnt"

cleanup() {
        umount "$mnt" 2>/dev/null
        rm -rf "$work"
}

on() {
        mount -o loop "$work/image" "$mnt"
}

# A stand-in that outlived its parent may keep the file system for a moment.
off() {
        for _ in {1..50}; do
                umount "$mnt" 2>/dev/null && return
                sleep 0.1
        done
        umount "$mnt"
}

iommu() {
        "$@" "$helpers/gpuvm-iommu" --root="$root"
}

undo() {
        "$@" "$helpers/gpuvm-undo" --root="$root" --all
}

make_fs() {
        rm -f "$work/image"
        case $1 in
        ext4) truncate -s 48M "$work/image" && mkfs.ext4 -q "$work/image" ;;
        xfs) truncate -s 320M "$work/image" && mkfs.xfs -q "$work/image" ;;
        esac
}

# Each "CALL N" that the command makes, in order, and the state it ends in.
list_calls() {
        cp -a "$work/$1" "$root"
        "$1" strace -qq -o "$work/trace" -e trace="$calls" -e signal=none >/dev/null 2>&1
        sed -n 's/^\([a-z]*\)(.*/\1/p' "$work/trace" | awk '{ print $1, ++n[$1] }'
}

# Sets why if something is wrong.
look_after_cut() {
        local command=$1

        why=$(starts "$root") || return 0
        why=$("$helpers/gpuvm-undo" --root="$root" --list 2>&1 | grep 'no whole record') && return 0
        why=
        if ! "$command" env >"$work/said" 2>&1; then
                why="the next run fails: $(cat "$work/said")"
        elif [ "$(boot_digest "$root")" != "$(cat "$work/$command.digest")" ]; then
                why="the next run ends elsewhere: $(diff <(boot_digest "$root") "$work/$command.digest")"
        elif ! undo env >"$work/said" 2>&1; then
                why="undo fails: $(cat "$work/said")"
        elif [ "$(boot_digest "$root")" != "$(cat "$work/undo.digest")" ]; then
                why="undo leaves something: $(diff <(boot_digest "$root") "$work/undo.digest")"
        fi
}

# cut COMMAND CALL N MODE
cut() {
        on
        rm -rf "$root"
        cp -a "$work/$1" "$root"
        sync -f "$mnt"
        "$1" strace -qq -o /dev/null -e trace="$2" -e inject="$2:signal=SIGKILL:when=$3" >/dev/null 2>&1 || true
        "$goingdown" "$mnt" "$4"
        off
        on
        look_after_cut "$1"
        off
}

# sweep COMMAND FS MODE EVERY FIRST: all calls, or each EVERYth from FIRST on.
sweep() {
        local call nth i=0 cuts=0 bad=0

        while read -r call nth; do
                i=$((i + 1))
                [ -n "${GPUVM_LONG-}" ] || [ $((i % $4)) = "$5" ] || continue
                cut "$1" "$call" "$nth" "$3"
                cuts=$((cuts + 1))
                [ -z "$why" ] || { bad=$((bad + 1)); diag "$1 cut at $call $nth: $why"; }
        done <"$work/$1.calls"
        is "gpuvm-$1 on $2, $3: $cuts cuts of ${i}, none does harm" "$bad" 0
        check "gpuvm-$1 on $2, $3: there was something to cut" test "$cuts" -ge 4
}

# The two machines to begin with: "iommu" has everything to do, "undo" everything to take back.
make_machine "$work/iommu"
boot_digest "$work/iommu" >"$work/undo.digest"
make_fs ext4
on || skip_all 'no loop mounts here'
list_calls iommu >"$work/iommu.calls"
boot_digest "$root" >"$work/iommu.digest"
cp -a "$root" "$work/undo"
rm -rf "$root"
list_calls undo >"$work/undo.calls"
is 'undo brings all back' "$(boot_digest "$root")" "$(cat "$work/undo.digest")"
off

first=0
for fs in ext4 xfs; do
        make_fs $fs
        for mode in logflush nologflush; do
                sweep iommu $fs $mode 12 $first
                sweep undo $fs $mode 10 $first
                first=$((first + 3))
        done
done
done_testing
