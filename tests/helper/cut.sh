# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Kills a helper at a system call that changes something, takes the power from the file system in the same moment, and
# looks at what the machine has when it starts again. Source it after lib.sh.
#
#     cut_begin HELPERS GOINGDOWN     in a mount namespace; sets work, root and mnt, or skips
#     cut_learn NAME                  runs NAME once, uncut: which calls it makes, what it ends with
#     cut_sweep NAME FS MODE          cuts NAME on ext4 or xfs, with goingdown's mode
#     cut_everywhere EVERY NAME...    all of them on both, with and without what was not fsynced
#
# A case NAME is a directory $work/NAME, the machine to begin with, and a function run_NAME PREFIX... that runs the
# helper on $root. Whatever the moment, no file may be torn, a second run must end where one that was never cut does, and
# undo must bring back the beginning, right after the cut and after the second run. With the last cut, made when the
# helper has ended, everything it reported must be there. A case may have
#
#     look_NAME          says what else is wrong right after the cut, and fails; "$cut_at" is "end" where nothing was cut off
#     boot_NAME          what the start after the cut changes in $root
#     loose[NAME]        paths that may differ from run to run, as an extended regular expression
#     between[NAME]      paths that have states between the first and the last
#     keeps_no_ledger[NAME]=1    there is nothing to undo
#     room[NAME]         how big its file system is
#     calls[NAME]        the calls to cut at, in place of $cut_calls
#
# $GPUVM_LONG=1 cuts at every call, else at a sample that is another one for each file system and mode.

cut_calls='write,?pwrite64,?writev,fsync,?fdatasync,?ftruncate,renameat,?renameat2,linkat,unlinkat,mkdirat,fchmod'
cut_calls+=',?fchmodat,?fchmodat2,fchown,?fchownat,symlinkat,?rename,?unlink,?mkdir,?chmod'
declare -A loose between keeps_no_ledger room calls
# What a boot makes anew, what only tells a story, and the notes of stand-ins.
cut_pruned='^\./(run|proc|sys|dev|var/log|calls|environment|lost\+found|var/lib/gpuvm/phases|var/lib/dpkg/lock[^ ]*)(/| )'

cut_begin() {
        [ "$(id -u)" = 0 ] || skip_all 'needs root'
        command -v strace >/dev/null || skip_all 'no strace here'
        if [ -z "${GPUVM_UNSHARED-}" ]; then
                unshare -m true 2>/dev/null || skip_all 'no mount namespaces here'
                GPUVM_UNSHARED=1 exec unshare -m "$0" "$@"
        fi
        helpers=$(cd "$1" && pwd) goingdown=$(realpath "$2")
        # The leak checker cannot work under strace.
        export ASAN_OPTIONS=detect_leaks=0
        work=$(mktemp -d)
        mnt=$work/mnt root=$work/mnt/root
        mkdir "$mnt"
        at_exit rm -rf "$work"
        at_exit umount -q "$mnt"
        truncate -s 16M "$work/image"
        mkfs.ext4 -q "$work/image"
        cut_on || skip_all 'no loop mounts here'
        cut_off
}

cut_on() {
        mount -o loop "$work/image" "$mnt"
}

# A stand-in that outlived its parent may keep the file system for a moment.
cut_off() {
        for _ in {1..50}; do
                umount "$mnt" 2>/dev/null && return
                sleep 0.1
        done
        umount "$mnt"
}

# cut_mkfs NAME FS
cut_mkfs() {
        rm -f "$work/image"
        case $2 in
        ext4) truncate -s "${room[$1]-48M}" "$work/image" && mkfs.ext4 -q "$work/image" ;;
        xfs) truncate -s "${room[$1]-320M}" "$work/image" && mkfs.xfs -q "$work/image" ;;
        esac
}

cut_undo() {
        GPUVM_LIBVIRT_URI=test:///default "$helpers/gpuvm-undo" --root="$root" --all
}

# What lasts of the machine: cut_digest PATTERN, without the paths that it names.
cut_digest() {
        (cd "$root" && find . -printf '%p %y %m %l\n' && find . -type f -print0 | xargs -0 sha256sum | awk '{ print $2, $1 }') |
                grep -Ev "$cut_pruned" | grep -Ev "${1:-^\$}" | LC_ALL=C sort
}

cut_end_digest() {
        cut_digest "${loose[$1]-}"
}

# Undo forgets what it has taken back; its directories stay, and what started until the new ones have.
cut_start_digest() {
        cut_digest "^\./var/lib/gpuvm(/| )|\.gpuvm-old${loose[$1]:+|${loose[$1]}}"
}

# Runs it and sets status. The one that was killed says so in bash's own voice.
cut_run() {
        status=0
        { "run_$1" "${@:2}" >"$work/said"; } 2>"$work/err" || status=$?
}

cut_learn() {
        local root=$work/$1.whole

        cp -a "$work/$1" "$root"
        cut_start_digest "$1" >"$work/$1.start"
        cut_digest '' >"$work/$1.contents"
        cut_run "$1" strace -qq -o "$work/trace" -e trace="${calls[$1]-$cut_calls}" -e signal=none
        echo $status >"$work/$1.status"
        cut_end_digest "$1" >"$work/$1.end"
        cut_digest '' >>"$work/$1.contents"
        sed -n 's/^\([a-z0-9_]*\)(.*/\1/p' "$work/trace" | awk '{ print $1, ++n[$1] }' >"$work/$1.calls"
        echo 'end 0' >>"$work/$1.calls"
}

# Whatever lasts is as it was or as it becomes. What was being written has a name of its own.
cut_torn() {
        local file

        cut_end_digest "$1" | grep -Ev "${between[$1]:-^\$}" | grep -Ev "\.gpuvm-new(\.new)? " | grep -Ex '[^ ]+ [0-9a-f]{64}' |
                LC_ALL=C sort | LC_ALL=C comm -23 - <(LC_ALL=C sort -u "$work/$1.contents") | sed 's/ .*/ is neither old nor new/'
        find "$root" -name '*.json' -size 0 -printf '%P is empty\n'
        while read -r file; do
                python3 -m json.tool "$file" >/dev/null 2>&1 || echo "$file is torn"
        done < <(find "$root/var" "$root/run" -name '*.json' -size +0 2>/dev/null)
        "$helpers/gpuvm-undo" --root="$root" --list 2>&1 | grep 'no whole record' || true
}

# cut_undone NAME: takes everything back on the machine as it is.
cut_undone() {
        [ -z "${keeps_no_ledger[$1]-}" ] || return 0
        cut_undo >"$work/said" 2>&1 || { echo "undo fails: $(cat "$work/said")"; return; }
        diff "$work/$1.start" <(cut_start_digest "$1") | head -n 10
}

cut_undone_at_once() {
        local root=$mnt/copy

        cp -a "$mnt/root" "$root"
        cut_undone "$1"
        rm -rf "$root"
}

# Prints the first thing that is wrong. $2: the call; "end": nothing was cut off.
cut_wrong() {
        # shellcheck disable=SC2034 # for look_NAME
        local found cut_at=$2

        if declare -F "boot_$1" >/dev/null; then "boot_$1"; fi
        ! declare -F "look_$1" >/dev/null || found=$("look_$1") || { echo "$found"; return; }
        found=$(cut_torn "$1")
        [ -z "$found" ] || { echo "torn: $found"; return; }
        [ "$2" != end ] || found=$(diff "$work/$1.end" <(cut_end_digest "$1") | head -n 10) ||
                { echo "what was reported is not there: $found"; return; }
        found=$(cut_undone_at_once "$1")
        [ -z "$found" ] || { echo "taken back right after the cut: $found"; return; }
        cut_run "$1" env
        [ "$status" = "$(cat "$work/$1.status")" ] ||
                { echo "the next run ends with $status: $(cat "$work/err")"; return; }
        found=$(diff "$work/$1.end" <(cut_end_digest "$1") | head -n 10) ||
                { echo "the next run ends elsewhere: $found"; return; }
        found=$(cut_undone "$1")
        [ -z "$found" ] || echo "taken back after the next run: $found"
}

# cut_loader NAME CALL: what a boot loader finds on the disk $work/raw, which it reads without the journal: each of its
# files as it was or as it becomes; after the end as it becomes, custom.cfg too.
cut_loader() {
        local path sum

        while read -r path; do
                sum=$(debugfs -c -R "cat /root/${path#./}" "$work/raw" 2>/dev/null | sha256sum | cut -d' ' -f1)
                grep -qxF "$path $sum" "$([ "$2" = end ] && echo "$work/$1.end" || echo "$work/$1.contents")" ||
                        echo "a boot loader finds another $path"
        done < <(sed -n 's#^\(\./boot/grub/'"$([ "$2" = end ] && echo '[a-z]*' || echo grub)"'\.cfg\|\./boot/initrd\.img[^ ]*[0-9a-z]\) [0-9a-f]\{64\}$#\1#p' "$work/$1.end" |
                grep -v '\.gpuvm-' | sort -u)
}

# cut_one NAME CALL NTH MODE: on the file system whose image is $work/NAME.image.
cut_one() {
        local prefix=(strace -qq -o /dev/null -e trace="$2" -e inject="$2:signal=SIGKILL:when=$3")

        [ "$2" != end ] || prefix=(env)
        cp --sparse=always "$work/$1.image" "$work/image"
        cut_on
        cut_run "$1" "${prefix[@]}"
        "$goingdown" "$mnt" "$4"
        # Once it is unmounted Linux has written more.
        cp --sparse=always "$work/image" "$work/raw"
        cut_off
        cut_on
        why=$(cut_wrong "$1" "$2")
        [ -n "$why" ] || [ "$fs" != ext4 ] || why=$(cut_loader "$1" "$2")
        cut_off
}

# cut_sweep NAME FS MODE EVERY FIRST: all calls, or each EVERYth from FIRST on, and the end.
cut_sweep() {
        local call nth i=0 cuts=0 bad=0 fs=$2

        cut_mkfs "$1" "$2"
        cut_on
        cp -a "$work/$1" "$root"
        cut_off
        mv "$work/image" "$work/$1.image"
        while read -r call nth; do
                i=$((i + 1))
                [ -n "${GPUVM_LONG-}" ] || [ "$call" = end ] || [ $((i % $4)) = $(($5 % $4)) ] || continue
                cut_one "$1" "$call" "$nth" "$3"
                cuts=$((cuts + 1))
                [ -z "$why" ] || { bad=$((bad + 1)); diag "$1 cut at $call $nth: $why"; }
        done <"$work/$1.calls"
        is "$1 on $2, $3: $cuts cuts of $i, none does harm" "$bad" 0
}

cut_everywhere() {
        local every=$1 first=0 name fs mode

        for name in "${@:2}"; do
                cut_learn "$name"
        done
        for fs in ext4 xfs; do
                for mode in logflush nologflush; do
                        for name in "${@:2}"; do
                                cut_sweep "$name" $fs $mode "$every" $first
                        done
                        first=$((first + every / 4 + 1))
                done
        done
}
