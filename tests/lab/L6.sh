#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # stage.sh and scenario.sh set what is not set here
# L6: twins, one exclusive, one left to the host: L6.sh [BOOTS]; with GPUVM_LONG=1 20
#
# The exclusive one is touched by no host driver, in none of the boots; the other one works with the host's. A restart
# with both on VFIO hands nothing back.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

boots=${1:-$([ -n "${GPUVM_LONG-}" ] && echo 20 || echo 1)}
stage_up L6 bootstrapped
ours=$stage_gpu theirs=$stage_twin

# The kernel tells each driver that it tries on a device, and each that a device is bound to: drivers/base/dd.c. That
# goes to its log, from the first driver on.
stage_run "sed -i \"/^[[:space:]]*linux /s/\\\$/ 'dyndbg=file dd.c +p' log_buf_len=8M/\" /boot/grub/grub.cfg
        echo 'file dd.c +p' >/proc/dynamic_debug/control; dmesg -n 8"

# What was tried on a function, or bound to it; a driver a line, in the words of Debian 13's kernel.
tried() {
        stage_run "dmesg | sed -n 's/.* ${1//./\\.}: bus: .* probing driver \([^ ]*\) with device\$/\1/p'"
}

bound() {
        stage_run "dmesg | sed -n \"s/.* ${1//./\\.}: driver: '\([^']*\)': driver_bound: bound to device\$/\1/p\""
}

# restart: and until all has started
restart() {
        local booted=$lab_boot_id

        stage_run 'systemctl reboot' || true
        lab_wait_boot 600 "$booted"
        stage_run 'systemctl is-system-running --wait' >/dev/null || true
}

check "the flexible twin goes to VFIO as well" stage_run "systemctl start $(stage_unit $theirs)"
is "both are there" "$(stage_driver $ours) $(stage_driver $theirs)" "vfio-pci vfio-pci"
stage_run 'echo "the restart begins" >/dev/kmsg'
restart
scenario_time "restart"
shutdown=$(sed '1,/the restart begins/d; /Linux version/,$d' "$lab_directory/serial.log")
is "the shutdown tried no driver on either" "$(grep -E ' 0000:0[13]:00.*(probing driver|bound to)' <<<"$shutdown" || true)" ""
is "and stopped no unit of a GPU" \
        "$(stage_run "journalctl -b -1 -o cat -u 'gpuvm-vfio@*' | grep -iE 'stopp|back' || true")" ""

for ((boot = 1; boot <= boots; boot++)); do
        [ $boot = 1 ] || restart
        for function in $ours ${ours%0}1; do
                is "boot $boot: vfio-pci alone was tried on $function" "$(tried "$function")" vfio-pci
                is "and was bound once: it was never unbound" "$(bound "$function") $(stage_driver "$function")" \
                        "vfio-pci vfio-pci"
        done
        is "its unit is active" "$(stage_word $ours)" active
        is "the twin is the host's" "$(stage_driver $theirs) $(stage_word $theirs)" "nvidia inactive"
        is "on which vfio-pci was never tried" "$(tried $theirs)" nvidia
        check "and it works" stage_run ": </dev/nvidia\$(sed -n 's/^Device Minor:[ \t]*//p' \
                /proc/driver/nvidia/gpus/$theirs/information)"
        is "nothing failed" "$(stage_run 'systemctl list-units --no-legend --state=failed')" ""
        scenario_time "boot $boot"
done
check "the twin goes to VFIO after all" stage_run "systemctl start $(stage_unit $theirs)"
is "without the other" "$(stage_driver $theirs)" vfio-pci
check "and comes back" stage_run "systemctl stop $(stage_unit $theirs)"
is "to its driver" "$(stage_driver $theirs) $(stage_driver $ours)" "nvidia vfio-pci"
scenario_end
