#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# LF: a flexible GPU that the host's driver has goes to VFIO and comes back; never from under a process that has it open.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

stage_up LF
gpu=$stage_twin audio=${stage_twin%0}1
unit=$(stage_unit $gpu)

# Sets node, holder.
hold() {
        node=$(stage_run "sed -n 's|^Device Minor:[ \t]*|/dev/nvidia|p' /proc/driver/nvidia/gpus/$gpu/information")
        stage_run "systemd-run --quiet --unit=lab-holder sh -c 'exec sleep infinity 3<$node'"
        holder=$(stage_run "until test -e /proc/\$(systemctl show -P MainPID lab-holder)/fd/3; do sleep 0.2; done
                systemctl show -P MainPID lab-holder")
}

# What a hand-over changes.
bindings() {
        stage_run "cd /sys/bus/pci/devices && for d in $gpu $audio; do
                echo \$d \$(readlink \$d/driver) \$(cat \$d/driver_override); done; ls /run/gpuvm/vfio 2>/dev/null || true"
}

before=$(bindings)
is "the host's driver has it" "$(stage_driver $gpu)" nvidia
is "and its unit is not active" "$(stage_word $gpu)" inactive

check "idle, it goes" stage_run "systemctl start $unit"
is "to vfio-pci" "$(stage_driver $gpu)" vfio-pci
is "with its other function" "$(stage_driver "$audio")" vfio-pci
check "a VMM finds its group" stage_run "test -c /dev/vfio/\$(basename \$(readlink /sys/bus/pci/devices/$gpu/iommu_group))"
check "stopping the unit gives it back" stage_run "systemctl stop $unit"
is "and all is as before" "$(bindings)" "$before"
hold
check "the host can use it" test -n "$holder"

since=$(stage_run 'date +%s')
check "in use, it does not go" stage_run "! systemctl start $unit"
like "who uses it is named by command, process, unit and node" "$(stage_said $gpu "$since")" \
        "sleep \(pid $holder, user root, lab-holder.service\) has $node open"
is "nothing was changed" "$(bindings)" "$before"
check "and the process goes on" stage_run "test \$(systemctl show -P MainPID lab-holder) = $holder"

stage_run "printf '[Gpu]\nIdleWaitSec=300\n' >/etc/gpuvm.conf.d/wait.conf; systemctl start --no-block $unit"
check "told to wait, it waits" stage_wait 60 1 "systemctl show -P StatusText $unit | grep -c 'sleep\|[Ww]ait'"
is "as long as it is in use" "$(stage_word $gpu) $(stage_driver $gpu)" "activating nvidia"
stage_run 'systemctl stop lab-holder'
check "and goes when that has ended" stage_wait 60 active "systemctl show -P ActiveState $unit"
is "to vfio-pci again" "$(stage_driver $gpu)" vfio-pci
stage_run 'rm /etc/gpuvm.conf.d/wait.conf'

stage_run "systemd-run --quiet --unit=lab-vmm qemu-system-x86_64 -nodefaults -display none -S -machine q35 \
        -accel tcg -m 64 -device vfio-pci,host=$gpu"
check "a VMM opens it" stage_wait 90 vfio-device "ls -l /proc/\$(systemctl show -P MainPID lab-vmm)/fd | grep -o vfio-device"
since=$(stage_run 'date +%s')
stage_run "systemctl stop $unit || true"
is "then it does not come back" "$(stage_driver $gpu) $(stage_driver "$audio")" "vfio-pci vfio-pci"
like "for the sake of the VMM" "$(stage_said $gpu "$since")" 'qemu-system-x86 \(pid [0-9]+, user root, lab-vmm.service\)'
check "and the unit says so" stage_wait 60 active "systemctl show -P ActiveState $unit"
stage_run 'systemctl stop lab-vmm'
check "afterwards it does" stage_run "systemctl start $unit && systemctl stop $unit"
is "and all is as before once more" "$(bindings)" "$before"
is "no driver hung" "$(stage_run 'ls -A /run/gpuvm/poisoned 2>/dev/null || true')" ""
scenario_time "hand-overs"
scenario_end
