#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines that ask for GPUs by number, under a real systemd, with two GPUs of a PCI bus that behaves and a real libvirtd, whose QEMU starts
# without them: choice.sh RELEASE FAKESYS FAKELIMIT
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=gpus.sh
. "$(dirname "$0")/gpus.sh"

container_require
release=${1:-trixie} fakesys=$2 fakelimit=$3
machine_new "$release" libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils libarchive13t64 libxml2
gpus_new "$fakesys" 2684 0000:01:00.0=12 0000:02:00.0=13
gpus_libvirt
gpus_for_qemu "$fakelimit"
ports='<controller type="pci" index="0" model="pcie-root"/>'
for n in 1 2 3; do ports+="<controller type=\"pci\" index=\"$n\" model=\"pcie-root-port\"/>"; done
# machine_of NAME GPUS: a guest that shuts down when it is asked to.
machine_of() {
        python3 "$(dirname "$0")/../mock/bootsector.py" polite "$machine/var/lib/libvirt/images/$1.raw"
        cat >"$shared/$1.xml" <<XML
<domain type="qemu"><name>$1</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian">$2</g:vm></metadata>
<memory unit="MiB">16</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features><devices>
<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/var/lib/libvirt/images/$1.raw"/><target dev="sda" bus="sata"/></disk>
$ports<memballoon model="none"/></devices></domain>
XML
}
for n in one two late; do machine_of $n '<g:wish gpus="1"/>'; done
machine_of pair '<g:wish gpus="2"/>'
machine_of three '<g:wish gpus="3"/>'
machine_of named '<g:gpu address="0000:01:00.0"/>'

# Until no job is left.
settle() {
        for _ in $(seq 300); do
                [ -n "$(systemctl list-jobs --no-legend 'gpuvm-*')" ] || break
                sleep 0.1
        done
}
# say WHAT NAME...: the state of each, and of the GPUs.
say() {
        local name what=$1

        shift
        settle
        for name; do what+=" $name=$(systemctl is-active "gpuvm-vm@$name")"; done
        for name in 1 2; do
                name=$(readlink "/sys/bus/pci/devices/0000:0$name:00.0/driver")
                what+=" ${name##*/}"
        done
        echo "$what"
}
why() {
        systemctl show --value -p StatusText "gpuvm-vm@$1"
}
# at_once NAME...
at_once() {
        local name

        for name; do systemctl start --no-block "gpuvm-vm@$name"; done
        settle
}
chooses() {
        local name loser

        systemctl is-system-running --wait >/dev/null
        for name in one two late pair three; do
                virsh -q -c qemu:///system define "/shared/$name.xml" >/dev/null
        done
        systemctl start gpuvm-vm@three 2>/dev/null
        say 'more than there are:' three
        why three | grep -o "No GPUs for 'three', which asks for 3"

        at_once one two; say 'two at once, one for each:' one two
        sort -u /shared/given | grep -c vfio
        systemctl start gpuvm-vm@late 2>/dev/null
        say 'none is left:' late
        why late | grep -oE "machine '(one|two)' has it" | sort
        # A definition that names one claims it as long as it is there, also off.
        virsh -q -c qemu:///system define /shared/named.xml >/dev/null
        systemctl start gpuvm-vm@named 2>/dev/null
        say 'nor by name:' named
        why named | grep -oE "GPU 0000:01:00.0 of 'named' is with '(one|two)', which is on" | sed -E 's/one|two/another/'
        virsh -q -c qemu:///system undefine named >/dev/null
        systemctl stop gpuvm-vm@one; settle
        echo "one goes: $(systemctl is-active gpuvm-vm@one gpuvm-vm@two | tr '\n' ' ')$(cat /sys/bus/pci/devices/*/driver_override | sort | tr '\n' ' ')"

        systemctl reset-failed
        at_once one late
        echo "two for one: $(systemctl is-active gpuvm-vm@one gpuvm-vm@late | sort | tr '\n' ' ')"
        loser=one
        [ "$(systemctl is-active gpuvm-vm@one)" != active ] || loser=late
        why $loser | grep -coE "machine '(one|two|late)'( has it|, or from it)"
        for name in one two late; do systemctl stop "gpuvm-vm@$name"; done
        systemctl reset-failed
        say 'all gone:' one two late

        systemctl start gpuvm-vm@pair; say 'two for one machine:' pair
        systemctl stop gpuvm-vm@pair; say 'and both back:' pair
        for name in one two late pair; do virsh -q -c qemu:///system dumpxml --inactive $name; done | grep -c hostdev
        find /run/gpuvm/vms -type f
}
# Its process says that it is to be started again; somebody stops its unit meanwhile.
keeps() {
        systemctl is-system-running --wait >/dev/null
        mkdir -p /run/gpuvm/vms/again
        : >/run/gpuvm/vms/again/0000:01:00.0
        systemctl start gpuvm-vfio@0000:01:00.0 gpuvm-vm@again
        systemctl kill --kill-whom=main gpuvm-vm@again
        for _ in $(seq 100); do
                [ "$(systemctl show --value -p NRestarts -p ActiveState gpuvm-vm@again | sort | tr -d '\n')" != 1active ] || break
                sleep 0.1
        done
        say 'started again:' again
        systemctl stop gpuvm-vm@again; say 'stopped:' again
}
mkdir -p "$machine/etc/systemd/system/gpuvm-vm@again.service.d"
cat >"$machine/etc/systemd/system/gpuvm-vm@again.service.d/stub.conf" <<'UNIT'
[Service]
NotifyAccess=all
ExecStart=
ExecStart=/bin/bash -c 'trap "exit 69" TERM; systemd-notify --ready; while :; do sleep 0.1; done'
UNIT
machine_boot chooses
is "$release: each gets its own, or is told who has it" "$output" "more than there are: three=failed nouveau nouveau
No GPUs for 'three', which asks for 3
two at once, one for each: one=active two=active vfio-pci vfio-pci
2
none is left: late=failed vfio-pci vfio-pci
machine 'one' has it
machine 'two' has it
nor by name: named=failed vfio-pci vfio-pci
GPU 0000:01:00.0 of 'named' is with 'another', which is on
one goes: inactive active (null) vfio-pci 
two for one: active failed 
1
all gone: one=inactive two=inactive late=inactive nouveau nouveau
two for one machine: pair=active vfio-pci vfio-pci
and both back: pair=inactive nouveau nouveau
0"
gpus_reset
machine_boot keeps
is "$release: who starts again keeps them, who is stopped does not" "$output" 'started again: again=active vfio-pci nouveau
stopped: again=failed nouveau nouveau'
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr")
$(machine_journal -o cat -u 'gpuvm-v*' | tail -n 80)"
done_testing
