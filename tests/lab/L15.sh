#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154,SC2016 # stage.sh and scenario.sh set what is not set here; the machine expands the rest
# L15: vmctl makes a VM with a GPU of a machine that was bootstrapped: the guest's kernel sees both its functions, nobody
# gets it meanwhile, and it goes back to its host driver with the VM.
#
# The GPU is a flexible one, on the host's driver before: with an exclusive one vmctl has less to do.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

guest=$("$scenario_here/guest.sh")
stage_up L15 bootstrapped
gpu=$stage_twin
log=/var/log/libvirt/qemu/lab.console
LAB_TIMEOUT=600
lab_put "$guest"
stage_run "install -m 644 /root/$(basename "$guest") /var/lib/libvirt/images/guest.qcow2 && rm /root/*.qcow2"
# QEMU's SVM is not made for it: Debian 12's ends at the first guest (tcg_handle_interrupt: assertion failed).
stage_run 'modprobe -r kvm_amd'
ledger=$(stage_run 'gpuvm-undo --list && echo read' | sed 's/^[^ ]* [^ ]* //')
is "the host's driver has the GPU" "$(stage_driver "$gpu")" nvidia

check "vmctl makes a VM with it" stage_run "vmctl create debian --name lab --image /var/lib/libvirt/images/guest.qcow2 \
        --gpu $gpu --cpus 1 --memory 200 --disk 10 --ssh-key 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada' \
        >/root/said 2>&1 || { cat /root/said; exit 1; }"
scenario_time "vmctl create"
diag "$(stage_run 'cat /root/said')"
is "VFIO has both functions" "$(stage_driver "$gpu") $(stage_driver "${gpu%0}1")" "vfio-pci vfio-pci"
is "its unit is active" "$(stage_word "$gpu")" active
is "list shows it, and whose GPU it is" "$(stage_run 'vmctl list --json' | python3 -c 'import json, sys
for m in json.load(sys.stdin):
    print(m["name"], m["state"], *m["gpus"])')" "lab running $gpu"

check "the guest is up" stage_wait 900 yes "grep -q 'guest: up' $log && echo yes"
scenario_time "guest up"
seen=$(stage_run "tr -d '\r' <$log | sed -n 's/^guest: pci [^ ]* //p' | sort")
like "its kernel sees an NVIDIA GPU" "$seen" $'(^|\n)10de:2684 030000'
like "and its audio function" "$seen" $'(^|\n)10de:22ba 040300'
is "and no function of another one" "$(grep -c ^10de <<<"$seen")" 2

check "nobody gets the GPU meanwhile" stage_run "! timeout 200 /usr/lib/gpuvm/gpuvm-vfio detach $gpu >/root/refused 2>&1"
like "and is told who has it" "$(stage_run 'cat /root/refused')" 'qemu-system'
is "who keeps it" "$(stage_driver "$gpu") $(stage_driver "${gpu%0}1")" "vfio-pci vfio-pci"

check "vmctl ends it" stage_run 'vmctl delete --yes --force lab >/root/said 2>&1 || { cat /root/said; exit 1; }'
check "the host's driver gets the GPU back" stage_wait 60 nvidia "basename \"\$(readlink /sys/bus/pci/devices/$gpu/driver)\""
is "no VM is left" "$(stage_run 'virsh -q list --all --name && ls /var/lib/libvirt/images/gpuvm && echo read')" read
is "nor anything in the ledger" "$(stage_run 'gpuvm-undo --list && echo read' | sed 's/^[^ ]* [^ ]* //')" "$ledger"
is "nothing failed" "$(stage_run 'systemctl list-units --no-legend --state=failed && echo read')" read
scenario_time "delete"
scenario_end
