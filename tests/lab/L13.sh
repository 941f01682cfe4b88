#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # stage.sh and scenario.sh set what is not set here
# L13: the driver of one GPU hangs in the kernel. That GPU is given up in time and left alone; another one changes hands.
# When what the driver waits for has ended, the first one does as well.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

stage_up L13
bad=$stage_twin good=$stage_gpu
unit=$(stage_unit $bad)

# Somebody pulls the GPU from under a process, as tools do that do not look: the driver waits for that process, in a
# removal that no signal ends, and holds the device's lock meanwhile.
stage_run "node=\$(sed -n 's|^Device Minor:[ \t]*|/dev/nvidia|p' /proc/driver/nvidia/gpus/$bad/information)
        systemd-run --quiet --unit=lab-holder sh -c \"exec sleep infinity 3<\$node\"
        until test -e /proc/\$(systemctl show -P MainPID lab-holder)/fd/3; do sleep 0.2; done
        systemd-run --quiet --unit=lab-puller --property=TimeoutStopSec=2 \
                sh -c 'echo $bad >/sys/bus/pci/drivers/nvidia/unbind'"
check "a driver hangs" stage_wait 30 D "cut -d' ' -f3 /proc/\$(systemctl show -P MainPID lab-puller)/stat"

stage_patience $bad
stage_run "systemctl start --no-block $unit"
check "its GPU is asked for" stage_wait 60 activating "systemctl show -P ActiveState $unit"
check "another goes to VFIO meanwhile" stage_run "timeout 60 systemctl start $(stage_unit $good)"
is "with both functions" "$(stage_driver $good) $(stage_driver ${good%0}1)" "vfio-pci vfio-pci"
is "while the first one is still waited for" "$(stage_word $bad)" activating

check "that ends in time" stage_wait 300 failed "systemctl show -P ActiveState $unit"
said=$(stage_said $bad)
like "the unit says what hangs" "$said" "$bad hangs: the kernel did not come back from .*\(driver nvidia\)"
like "and who is waited for" "$said" "hangs: .*sleep \(pid $(stage_run 'systemctl show -P MainPID lab-holder')"
check "the GPU is marked" stage_run "test -s /run/gpuvm/poisoned/$bad"
children=$(stage_run 'grep -l "^State:.D" /proc/[0-9]*/status 2>/dev/null | wc -l')
check "a second start" stage_run "! timeout 30 systemctl start $unit"
is "leaves nothing more behind that hangs" \
        "$(stage_run 'grep -l "^State:.D" /proc/[0-9]*/status 2>/dev/null | wc -l')" "$children"
like "and says why" "$(stage_said $bad)" "left alone since its driver hangs"

check "the other one still changes hands" stage_run "timeout 60 systemctl stop $(stage_unit $good)"
is "to the host" "$(stage_driver $good)" nvidia
check "and back" stage_run "timeout 60 systemctl start $(stage_unit $good)"
is "to VFIO" "$(stage_driver $good)" vfio-pci
check "others can look at the machine" stage_run 'timeout 60 systemctl start gpuvm-preflight.service'

stage_run 'systemctl stop lab-holder'
check "that process ended, the driver comes back" stage_wait 60 inactive "systemctl show -P ActiveState lab-puller"
check "and the GPU goes to VFIO" stage_run "systemctl start $unit"
is "with both functions" "$(stage_driver $bad) $(stage_driver ${bad%0}1)" "vfio-pci vfio-pci"
check "without a mark" stage_run "test ! -e /run/gpuvm/poisoned/$bad"
scenario_time "hand-overs"
scenario_end
