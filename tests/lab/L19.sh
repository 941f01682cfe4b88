#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154,SC2016 # stage.sh and scenario.sh set what is not set here; the machine expands the rest
# L19: the kernel does not come back from a GPU: on the way out of VFIO, because of a user that came after the last look; on
# the way back to the host, because its driver is wedged in the probe; and on the way to VFIO, because the host's driver was
# so before anybody asked. L19.sh VFIOUSER
#
# Each time that GPU is given up in time and left alone, with the reason; another one changes hands meanwhile and
# afterwards; and once the kernel is back, the next run ends what was begun. L13 is about a driver that does not let go.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

vfiouser=$1
stage_up L19
bad=$stage_twin good=$stage_gpu audio=${stage_twin%0}1
unit=$(stage_unit $bad)
wedge=/sys/module/nvidia/parameters/wedged
lab_put "$vfiouser"
stage_patience $bad

bindings() {
        stage_run "cd /sys/bus/pci/devices && for d in $bad $audio; do
                echo \$d \$(readlink \$d/driver) \$(cat \$d/driver_override); done; find /run/gpuvm/vfio /run/gpuvm/poisoned -type f 2>/dev/null || true"
}

# How many processes are in one of these functions of the kernel: "a|b"
count_in() {
        echo "grep -lsE ' ($1)\\+' /proc/[0-9]*/stack | wc -l"
}

# One job of the GPU's unit, from here until the kernel does not come back. $1: verb, $2: the kernel's function
begin() {
        since=$(stage_run 'date +%s')
        stage_run "systemctl $1 --no-block $unit"
        check "its child is in the kernel" stage_wait 90 1 "$(count_in "$2")"
}

# It is given up in time, and all else goes on. $1: the unit's state meanwhile, $2: what it says, $3: the kernel's function
check_given_up() {
        local said child

        check "another GPU goes to VFIO meanwhile" stage_run "timeout 100 systemctl start $(stage_unit $good)"
        is "while this one is waited for" "$(stage_driver $good) $(stage_word $bad)" "vfio-pci $1"
        check "that ends in time" stage_wait 300 failed "systemctl show -P ActiveState $unit"
        said=$(stage_said $bad "$since")
        like "the unit says what hangs" "$said" "$bad hangs: the kernel did not come back from $2"
        like "and what helps" "$said" "End who has it open, and it comes free by itself"
        child=$(stage_run "sed -n '2s/ .*//p' /run/gpuvm/poisoned/$bad")
        like "a child is left behind that nothing ends" \
                "$(stage_run "sed 's/.*) \(.\) .*/\1/' /proc/$child/stat; cat /proc/$child/stack")" "^D.* ($3)\+"
        is "vmctl tells of it" "$(stage_run "timeout 60 vmctl gpu status $bad --json | jq -r '.[0].owner'")" stuck
        check "no lock is held" stage_run 'for lock in /run/gpuvm/lock/*; do flock --nonblock $lock true || exit 1; done'
        check "a second start is refused" stage_run "! timeout 60 systemctl start $unit"
        check "so is recovery" stage_run "! timeout 100 vmctl gpu recover $bad"
        is "and neither leaves one more behind" "$(stage_run 'pgrep -c -x gpuvm-vfio; pgrep -c -x gpuvm-reset')" $'1\n0'
        check "the other GPU goes back to the host" stage_run "timeout 100 systemctl stop $(stage_unit $good)"
        is "to its driver" "$(stage_driver $good)" nvidia
}

check_over() {
        check "then the kernel comes back" stage_wait 60 0 "pgrep -c -x gpuvm-vfio"
}

check_there_and_back() {
        check "it goes to VFIO" stage_run "timeout 200 systemctl start $unit"
        is "with both functions" "$(stage_driver $bad) $(stage_driver "$audio")" "vfio-pci vfio-pci"
        check "and back" stage_run "timeout 200 systemctl stop $unit"
        is "to all that was before" "$(bindings)" "$before"
}

before=$(bindings)
check "the GPU goes to VFIO" stage_run "systemctl start $unit"
user=$(stage_run "systemd-run --quiet --unit=lab-user /root/vfiouser \
        \$(basename \$(readlink /sys/bus/pci/devices/$bad/iommu_group)) $bad && systemctl show -P MainPID lab-user")
shown="ls -l /proc/$user/fd | grep -c vfio-device"
check "somebody opens it" stage_wait 60 1 "$shown"
since=$(stage_run 'date +%s')
stage_run "systemctl stop $unit || true"
like "as long as that is seen, it stays" "$(stage_said $bad "$since")" "in use: vfiouser \(pid $user, user root, lab-user.service\) has"
check "on VFIO" stage_wait 60 active "systemctl show -P ActiveState $unit"
is "with both functions" "$(stage_driver $bad) $(stage_driver "$audio")" "vfio-pci vfio-pci"
stage_run 'systemctl kill --signal=USR1 lab-user'
check "no process shows it" stage_wait 60 0 "$shown"
since=$(stage_run 'date +%s')
stage_run "systemctl stop $unit || true"
like "the kernel does" "$(stage_said $bad "$since")" "in use: its VFIO group is open in the kernel, and no process shows it"
check "it stays on VFIO" stage_wait 60 active "systemctl show -P ActiveState $unit"
is "with both" "$(stage_driver $bad) $(stage_driver "$audio")" "vfio-pci vfio-pci"
# Where the kernel is not asked, nobody is seen, as if the user came right after the last look.
stage_run "printf '[Service]\nInaccessiblePaths=-/dev/vfio\n' >/run/systemd/system/$unit.d/blind.conf && systemctl daemon-reload"
begin stop vfio_unregister_group_dev
stage_run 'systemctl kill --signal=USR1 lab-user'
check "now it is seen" stage_wait 60 1 "$shown"
check_given_up deactivating "unbinding it \(driver vfio-pci\).* vfiouser \(pid $user," vfio_unregister_group_dev
stage_run 'systemctl stop lab-user'
check_over
stage_run "rm /run/systemd/system/$unit.d/blind.conf && systemctl daemon-reload"
check "recovery ends what was begun" stage_run "timeout 200 vmctl gpu recover $bad"
is "all is as before" "$(bindings)" "$before"
check_there_and_back
scenario_time "a user that came late"

check "it goes to VFIO once more" stage_run "systemctl start $unit"
stage_run "echo $((0x${bad:5:2} << 8)) >$wedge"
begin stop nvidia_probe
check_given_up deactivating "giving it back to its driver \(driver nvidia\)" nvidia_probe
is "its other function is back" "$(stage_driver "$audio")" "$(stage_driver "${good%0}1")"
stage_run "echo 0 >$wedge"
check_over
is "with the driver" "$(stage_driver $bad)" nvidia
check_there_and_back
scenario_time "a driver wedged on the way back"

stage_run "echo $((0x${bad:5:2} << 8)) >$wedge
        systemd-run --quiet --unit=lab-prober sh -c 'cd /sys/bus/pci/drivers/nvidia; echo $bad >unbind; echo $bad >bind'"
check "a driver hangs before anybody asks" stage_wait 60 1 "$(count_in nvidia_probe)"
# Which write is the first that needs the device's lock depends on the kernel.
begin start "driver_override_[a-z]+|unbind_store"
check_given_up activating "[a-z_ ]+ \(driver nvidia\)" "driver_override_[a-z]+|unbind_store"
stage_run "echo 0 >$wedge"
check_over
check_there_and_back
scenario_time "a driver wedged before"
check "recovery has no more to do" stage_run "timeout 200 vmctl gpu recover $bad"
is "nothing failed" "$(stage_run 'systemctl list-units --no-legend --state=failed')" ""
scenario_end
