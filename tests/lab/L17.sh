#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154,SC2016 # stage.sh and guestvm.sh set what is not set here; the machine expands the rest
# L17: a guest with a GPU starts again ten times, and its VM once: the GPU is there each time, and what the guest wrote to its disk.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"
# shellcheck source=guestvm.sh
. "$(dirname "$0")/guestvm.sh"

reboots=${L17_REBOOTS:-10}
guestvm_up L17

check "a VM" guestvm_create lab
stage_run 'vmctl stop --force lab'
vmctl gpu attach lab "$gpu"
is "that gets a GPU while it is off" "$status $(has lab)" "0 2 2 1 0"
stage_run ": >$log; vmctl start lab"
check "its guest is up" guestvm_wait
is "with both functions" "$(soon "$both")" "$both"
like "and an empty disk, or what it wrote before it was stopped" "$(data)" '^of [01] starts whole$'
starts=$(data | tr -dc 0-9)
scenario_time "guest up"

# A reset goes to the card through VFIO. The guest's answer to the first is what the next is about.
bad=0
for ((i = 1; i <= reboots; i++)); do
        stage_run ": >$log; virsh -q reset lab"
        guestvm_wait || bad=$((bad + 1))
        got="$(soon "$both"), $(has lab), $(data)"
        [ "$got" = "$both, 2 2 1 1, of $((starts + i)) starts whole" ] || { diag "reboot $i: $got"; bad=$((bad + 1)); }
        scenario_time "reboot $i"
done
is "the GPU and the data are there after each of $reboots reboots" "$bad" 0

says off
check "it shuts down" stage_wait 200 "shut off" 'virsh -q domstate lab'
check "the host has the GPU" stage_wait 60 nvidia "basename \"\$(readlink /sys/bus/pci/devices/$gpu/driver)\""
stage_run ": >$log; vmctl start lab"
check "it starts once more" guestvm_wait
is "with the GPU, and its data" "$(soon "$both"), $(has lab), $(data)" "$both, 2 2 1 1, of $((starts + reboots + 1)) starts whole"
check "all goes" stage_run 'vmctl delete --yes --force lab >/root/said 2>&1 || { cat /root/said; exit 1; }'
check "the host's driver has the GPU" stage_wait 60 nvidia "basename \"\$(readlink /sys/bus/pci/devices/$gpu/driver)\""
scenario_end
