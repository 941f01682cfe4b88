#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # stage.sh and scenario.sh set what is not set here
# L10: a GPU is put into a machine that runs, and pulled out of it, with and without a word.
#
# All GPUs of this machine are exclusive that its configuration does not name: so are cards that it has never seen.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

stage_up L10 bootstrapped
stage_run "echo 'file dd.c +p' >/proc/dynamic_debug/control"

# The GPU that was not there before. Sets gpu.
put_in() {
        local before

        before=$(stage_run 'ls /sys/bus/pci/devices')
        lab_machine plug "$1" "$2"
        gpu=
        for ((i = 0; i < 30 && ${#gpu} == 0; i++)); do
                gpu=$(comm -13 <(echo "$before") <(stage_run 'ls /sys/bus/pci/devices') | grep -m1 '\.0$' || true)
                [ -n "$gpu" ] || sleep 1
        done
}

# The GPU is on VFIO, as a whole. $1: name, $2: the drivers that were tried on it
check_active() {
        check "$1 becomes an active unit" stage_wait 90 active "systemctl show -P ActiveState $(stage_unit "$gpu")"
        is "on vfio-pci, with both functions" "$(stage_driver "$gpu") $(stage_driver "${gpu%0}1")" "vfio-pci vfio-pci"
        is "that were tried on it: $2" "$(stage_run "dmesg |
                sed -n 's/.* ${gpu%0}[01]: bus: .* probing driver \([^ ]*\) with device\$/\1/p' | sort -u | paste -sd' '")" "$2"
}

# Its unit has ended as one that was stopped, and left nothing. $1: name
check_gone() {
        check "the unit of $1 ends" stage_wait 90 "inactive success" \
                "systemctl show -P ActiveState -P Result $(stage_unit "$gpu") | sort | paste -sd' '"
        check "the card is gone" stage_run "test ! -e /sys/bus/pci/devices/$gpu"
        is "nothing failed" "$(stage_run 'systemctl list-units --no-legend --state=failed')" ""
        is "no word of an error" "$(stage_run "journalctl -b -o cat -p warning -u 'gpuvm-*' --since=@$since")" ""
        is "nothing is left of it" "$(stage_run "ls -A /run/gpuvm/poisoned 2>/dev/null; ls /run/gpuvm/vfio 2>/dev/null | grep -F $gpu || true")" ""
}

since=$(stage_run 'date +%s')
put_in slot2 first
check "the machine sees a card" test -n "$gpu"
# The kernel tries a driver that is loaded as soon as it has told udev of the card.
check_active "a card" "nvidia snd_hda_intel vfio-pci"
# From the kernel's first word of it. What an emulated machine takes for this, a real one takes as much less for as it
# takes less for units that do nothing.
event=$(stage_run "dmesg | sed -n 's/^\[ *\([0-9.]*\)\] pci $gpu: \[10de:2684\].*/\1/p' | tail -n 1")
active=$(stage_run "systemctl show -P ActiveEnterTimestampMonotonic $(stage_unit "$gpu")")
idle=$(scenario_idle_units)
diag "from the event to the active unit: $(awk "BEGIN { print $active / 1e6 - $event }") s, emulated; eight idle units: $idle s"
check "that is less than 2 s of a real machine" awk -v e="$event" -v a="$active" -v idle="$idle" \
        'BEGIN { t = a / 1e6 - e; exit !(e > 0 && t > 0 && idle > 0 && t / idle * 8 * 0.021 < 2) }'
scenario_time "a card in"

unit=$(stage_unit "$gpu")
before=$(stage_run "systemctl show -P InvocationID -P ActiveState $unit")
stage_run "for i in \$(seq 100); do echo add >/sys/bus/pci/devices/$gpu/uevent; [ \$i != 50 ] || systemctl daemon-reload; done
        udevadm settle"
is "a hundred more of its events, and a daemon-reload in between, are none" \
        "$(stage_run "systemctl show -P InvocationID -P ActiveState $unit")" "$before"
scenario_time "a hundred events"

lab_machine tear slot2 first
check_gone "a card that was torn out"
scenario_time "a card torn out"

# Nothing loads one for a card that is exclusive.
check "the host's drivers can go" stage_run "systemctl start $(stage_unit $stage_twin) && rmmod nvidia snd_hda_intel"
since=$(stage_run 'date +%s')
put_in slot5 second
check_active "another card, in another slot," vfio-pci
lab_machine unplug second
check_gone "a card that was asked for"
check "the twin goes back" stage_run "systemctl stop $(stage_unit $stage_twin)"
is "the other GPUs are as they were" "$(stage_driver $stage_gpu) $(stage_word $stage_gpu) $(stage_driver $stage_twin)" \
        "vfio-pci active nvidia"
scenario_time "another in and out"
scenario_end
