#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two declared machines that hand a stand-in GPU over in a container, for bench.sh: nextvm.sh RELEASE FAKESYS RESULT
#
# RESULT gets a line "TOTAL UP DOWN" for each time, in milliseconds: from 'systemctl start' of the next machine to its guest being up; and what
# libvirt alone takes right after that to start such a guest, without a GPU, and to have it shut down.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../container/lib.sh
. "$(dirname "$0")/../container/lib.sh"
# shellcheck source=../container/gpus.sh
. "$(dirname "$0")/../container/gpus.sh"

container_require
release=$1 fakesys=$2 result=$3
machine_new "$release" libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils libarchive13t64 libxml2
gpus_new "$fakesys" 2684 0000:01:00.0=12
gpus_libvirt
mkdir -p "$machine/etc/gpuvm/vms"
for name in day night alone; do
        machine_guest polite "$name" "$([ "$name" = alone ] || echo '<g:gpu address="0000:01:00.0"/>')"
        # What it writes tells when it hears the power button.
        sed -i "s#<serial type=\"pty\"/>#<serial type=\"file\"><source path=\"/run/$name.console\"/></serial>#" "$shared/$name.xml"
        [ "$name" = alone ] || printf '[Vm]\nKind=debian\n[Gpu]\nGpu=01:00.0\n' >"$machine/etc/gpuvm/vms/$name.vm"
done

# until_true COMMAND...: for at most a minute.
until_true() {
        local end=$((SECONDS + 60))

        until "$@"; do
                [ $SECONDS -lt $end ] || { echo "never: $*" >&2; return 1; }
                sleep 0.02
        done
}
is_up() {
        grep -aqs 'guest:.* up' "/run/$1.console"
}
is_off() {
        [ "$(virsh -q -c qemu:///system domstate "$1" | head -n 1)" = 'shut off' ]
}
# ms COMMAND...: writes how long that took.
ms() {
        local start=$EPOCHREALTIME

        "$@" >/dev/null || return
        awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f ", (b - a) * 1000 }'
}
shut_down() {
        virsh -q -c qemu:///system shutdown --mode acpi "$1" && until_true is_off "$1"
}
# start NAME COMMAND...: the guest's own boot is over at the end.
start() {
        rm -f "/run/$1.console"
        "${@:2}" && until_true is_up "$1"
}
measure() {
        local name run

        systemctl is-system-running --wait >/dev/null
        for name in day night alone; do virsh -q -c qemu:///system define "/shared/$name.xml" >/dev/null; done
        systemctl start gpuvm-vm@night
        until_true is_up night
        run=$(systemctl show -P InvocationID gpuvm-vfio@0000:01:00.0)
        for name in day night day night day night day night day night; do
                ms start "$name" systemctl start "gpuvm-vm@$name"
                ms start alone virsh -q -c qemu:///system start alone
                ms shut_down alone
                echo
        done
        [ "$run" = "$(systemctl show -P InvocationID gpuvm-vfio@0000:01:00.0)" ] && echo kept
}
machine_boot measure
is 'the GPU stayed on VFIO' "$(tail -n 1 <<<"$output")" kept
is 'all of it was measured' "$(grep -cE '^([0-9.]+ ){3}$' <<<"$output")" 10
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr")
$(machine_journal -b -o cat -n 40)"
sed '$d' <<<"$output" >"$result"
done_testing
