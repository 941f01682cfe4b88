#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Configurations in, trees out: run.sh GENERATOR SOURCE UNITDIR
#
# Each directory here is the root of a machine. Beside it lie the settings and the tree that must come out of it
# ("expected") and what is told about it ("problems"). GPUVM_UPDATE=1 writes those two: read the diff.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

generator=$1 source=$2 unitdir=$3
here=$source/tests/generator
phases=(preflight packages nvidia kvm iommu reboot vfio bridge storage verify resume bootfile)
work=$(mktemp -d)
at_exit rm -rf "$work"
export GPUVM_LOG_LEVEL=debug
unset SYSTEMD_IN_INITRD SYSTEMD_SCOPE

# A directory as the generator's --dry-run shows it.
dump() {
        (
                cd "$1"
                find . -mindepth 1 ! -type d -printf '%P\n' | LC_ALL=C sort | while read -r path; do
                        if [ -L "$path" ]; then
                                printf '%s -> %s\n' "$path" "$(readlink "$path")"
                        else
                                printf '%s:\n' "$path"
                                sed 's/^\(.\)/        \1/' "$path"
                        fi
                done
        )
}

# same NAME GOT-FILE WANT-FILE
same() {
        local said

        if said=$(diff -u "$3" "$2" 2>&1); then
                ok "$1"
        else
                not_ok "$1" "$said"
        fi
}

# The packaged units, with programs that exist; a plain one stands in for a unit that has no text yet.
prepare_units() {
        local template name

        mkdir -p "$work/units" "$work/libexec"
        for name in "${phases[@]}"; do
                printf '[Unit]\nDescription=%s\n[Service]\nType=oneshot\nExecStart=/bin/true\n' "$name" \
                        >"$work/units/gpuvm-$name.service"
        done
        printf '[Unit]\nDescription=target\n' >"$work/units/gpuvm-bootstrap.target"
        for template in "$source"/units/*.in; do
                name=${template##*/}
                sed -e "s|@LIBEXECDIR@|$work/libexec|g; s|@BINDIR@|$work/libexec|g; s|@UNITDIR@|$work/units|g" \
                        "$template" >"$work/units/${name%.in}"
        done
        sed -n "s|^Exec[A-Za-z]*=[-+!:@]*\($work/libexec/[^ ]*\).*|\1|p" "$work"/units/* | sort -u |
                while read -r name; do
                        ln -sf /bin/true "$name"
                done
}

# What systemd thinks of the tree: not the exit status, which is 0 for an unknown key, but what it says.
verify() {
        local units=(gpuvm-bootstrap.target) machine

        [ ! -e "$1/multi-user.target.wants/gpuvm-resume.service" ] || units+=(gpuvm-resume.service gpuvm-bootfile.service)
        while read -r machine; do
                units+=("$machine")
        done < <(cd "$1" && find . -maxdepth 1 -name 'gpuvm-vm@*.d' | sed 's|^\./||; s|\.d$||')
        SYSTEMD_UNIT_PATH="$1:$work/units:" systemd-analyze verify --man=no "${units[@]}" 2>&1 | sed "s|$work/||g"
}

golden() {
        local name=$1 root=$here/$1 out=$work/out/$1 status=0

        mkdir -p "$out"/{a,early,late,b}
        "$generator" --root="$root" --dry-run >"$out/shown" 2>"$out/problems" || status=$?
        is "$name: --dry-run succeeds" "$status" 0
        sed -i "s|$unitdir/|@UNITDIR@/|" "$out/shown"
        if [ -n "${GPUVM_UPDATE-}" ]; then
                cp "$out/shown" "$root/expected"
                cp "$out/problems" "$root/problems"
        fi
        same "$name: settings and tree" "$out/shown" "$root/expected"
        same "$name: what is told" "$out/problems" "$root/problems"

        status=0
        "$generator" --root="$root" "$out/a" "$out/early" "$out/late" 2>/dev/null || status=$?
        is "$name: exit status" "$status" 0
        is "$name: what is written is what was shown" "$(dump "$out/a" | sed "s|$unitdir/|@UNITDIR@/|")" \
                "$(sed '1,/^# Links and drop-ins/d' "$out/shown")"
        is "$name: nothing early, nothing late" "$(find "$out/early" "$out/late" -mindepth 1)" ''
        "$generator" --root="$root" "$out/b" 2>/dev/null || true
        check "$name: again the same" diff -r --no-dereference "$out/a" "$out/b"
        is "$name: systemd has nothing to say" "$(verify "$out/a")" ''
}

limited() {
        timeout 60 "$generator" --root="$work/root" "$work/hostile" 2>"$work/err"
}

# hostile NAME: the tree is in $work/root; nothing may take long, crash, or end the boot's generator in failure.
hostile() {
        local status=0 took TIMEFORMAT='%U %S'

        rm -rf "$work/hostile"
        mkdir "$work/hostile"
        # Time of the processor, which a busy machine does not stretch.
        took=$({ time limited || echo $? >"$work/status"; } 2>&1)
        [ ! -e "$work/status" ] || { status=$(<"$work/status"); rm "$work/status"; }
        took=$(awk '{ printf "%d", ($1 + $2) * 1000 }' <<<"$took")
        is "$1: exit status" "$status" 0
        # A build with sanitizers is given ten times of what is promised.
        check "$1: $took ms" test "$took" -lt 500
        check "$1: told in at most 21 lines" test "$(wc -l <"$work/err")" -le 21
        is "$1: systemd has nothing to say" "$(verify "$work/hostile")" ''
}

fresh_root() {
        rm -rf "$work/root"
        mkdir -p "$work/root/etc/gpuvm.conf.d" "$work/root/proc"
}

hostile_inputs() {
        local conf=$work/root/etc/gpuvm.conf

        fresh_root
        seq -f 'Enabled=%.0f' 10000 >"$conf"
        hostile '10000 lines outside of a section'
        like 'the rest is counted' "$(tail -n1 "$work/err")" '9980 more problems'

        fresh_root
        mkdir -p "$work/root/etc/gpuvm/vms"
        { printf '[Vm]\nKind=debian\n'; seq -f 'Kidn=%.0f' 10000; } >"$work/root/etc/gpuvm/vms/a.vm"
        hostile '10000 unknown keys of a machine'

        fresh_root
        mkdir -p "$work/root/etc/gpuvm/vms"
        for i in {1..100}; do
                printf '[Vm]\nKind=debian\n[Gpu]\nGpu=01:00.0\n[Install]\nWantedBy=multi-user.target\n' >"$work/root/etc/gpuvm/vms/m$i.vm"
        done
        hostile '100 machines that want one GPU'

        fresh_root
        { echo '[Bootstrap]'; seq -f 'Enabeld=%.0f' 10000; } >"$conf"
        hostile '10000 unknown keys'

        fresh_root
        { echo '[Bootstrap]'; seq -f 'Reboot=%.0f' 10000; echo 'Kvm=no'; } >"$conf"
        hostile '10000 bad values'
        check 'what is good behind them counts' test ! -e "$work/hostile/gpuvm-kvm.service.d"

        fresh_root
        seq -f '[Gpu 0000:%02.0f:00.0]' 10000 >"$conf"
        hostile '10000 sections'

        fresh_root
        { echo '[Bootstrap]'; head -c 1048576 /dev/zero | tr '\0' x; echo; echo Kvm=no; } >"$conf"
        hostile 'a line of 1 MiB'
        check 'the line behind it counts' test ! -e "$work/hostile/gpuvm-kvm.service.d"

        fresh_root
        head -c 1048576 /dev/zero >"$conf"
        hostile '1 MiB of NUL'
        head -c 262144 /dev/urandom >"$conf"
        hostile 'random bytes'
        head -c 5242880 /dev/zero | tr '\0' '\n' >"$conf"
        hostile '5 MiB of nothing'

        fresh_root
        mkfifo "$conf" "$work/root/etc/gpuvm.conf.d/a.conf"
        hostile 'FIFOs'
        like 'a FIFO is named' "$(<"$work/err")" '/etc/gpuvm.conf: Not a regular file'

        fresh_root
        mknod "$conf" c 1 5 2>/dev/null || mkdir "$conf"
        hostile 'a device that never ends'

        fresh_root
        ln -s gpuvm.conf "$conf"
        mkfifo "$work/root/proc/cmdline.fifo"
        ln -s cmdline.fifo "$work/root/proc/cmdline"
        hostile 'a link to itself, and a FIFO for a command line'
        like 'the command line is named' "$(<"$work/err")" 'Kernel command line: Cannot be read'

        fresh_root
        echo 'Kvm=no' >"$conf"
        chmod 0 "$conf"
        if [ "$(id -u)" = 0 ]; then
                chmod 755 "$work" "$work/root" "$work/root/etc"
                cp "$generator" "$work/generator"
                like 'an unreadable file is named' \
                        "$(setpriv --reuid=65534 --regid=65534 --clear-groups "$work/generator" --root="$work/root" \
                                --dry-run 2>&1 >/dev/null)" '/etc/gpuvm.conf: Cannot be read: Permission denied'
        else
                like 'an unreadable file is named' "$("$generator" --root="$work/root" --dry-run 2>&1 >/dev/null)" \
                        '/etc/gpuvm.conf: Cannot be read: Permission denied'
        fi
}

usage() {
        local empty=$work/empty

        mkdir -p "$empty" "$work/root"
        check 'nothing at all in an initrd' env SYSTEMD_IN_INITRD=1 "$generator" --root="$work/root" "$empty"
        check 'nothing for a manager of a user' env SYSTEMD_SCOPE=user "$generator" --root="$work/root" "$empty"
        is 'nothing was written' "$(find "$empty" -mindepth 1)" ''
        check 'a container is a machine too' env SYSTEMD_IN_INITRD=0 SYSTEMD_VIRTUALIZATION=container:systemd-nspawn \
                "$generator" --root="$here/01-nothing" "$empty"
        check 'its tree is there' test -L "$empty/gpuvm-bootstrap.target.requires/gpuvm-verify.service"
        # What the kernel command line puts into the environment of PID 1 must not lead to another configuration.
        like 'no root from the environment' "$(GPUVM_ROOT=$work/none "$generator" --dry-run 2>&1)" '^# Settings'
        check_fails 'what is there already is not replaced' 1 "$generator" --root="$here/01-nothing" "$empty"
        check_fails 'a directory that is not there' 1 "$generator" --root="$here/01-nothing" "$work/none"
        check_fails 'no directory' 2 "$generator" --root="$here/01-nothing"
        check_fails 'two directories' 2 "$generator" --root="$here/01-nothing" "$empty" "$empty"
        check_fails 'an unknown option' 2 "$generator" --frobnicate "$empty"
        check_fails 'no such root' 2 "$generator" --root="$work/none" "$empty"
}

command -v systemd-analyze >/dev/null || skip_all 'no systemd-analyze here'
prepare_units
for root in "$here"/[0-9]*; do
        golden "${root##*/}"
done
hostile_inputs
usage
done_testing
