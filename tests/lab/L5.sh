#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # stage.sh and scenario.sh set what is not set here
# L5: nouveau comes to the GPU first, the IOMMU is off: one reboot, and nouveau never touches it again.
#
# The lab's GPU is none: nouveau reads its registers, finds no chipset that it knows and lets go of it. In the kernel's log is
# that it was there.

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"
export LAB_MEMORY=${LAB_MEMORY:-1536}

[ "$(id -u)" = 0 ] || skip_all "needs root, to make a disk"
command -v qemu-system-x86_64 >/dev/null || skip_all "no qemu-system-x86_64 here"
# shellcheck disable=SC2034
scenario_since=$SECONDS
deb=${GPUVM_LAB_DEB:-}
[ -n "$deb" ] || deb=$("$scenario_top/tests/package/build.sh" bookworm amd64 | tail -n 1)
disk=$("$scenario_here/image.sh" --stocked --nouveau --cmdline intel_iommu=off)
scenario_time "package and disk"
lab_begin L5
lab_boot "$disk"
lab_wait_boot 500
scenario_time "first boot"
gpu=0000:01:00.0

in_machine() {
        lab_ssh "$1" </dev/null
}

touched() {
        in_machine "dmesg | grep -F 'nouveau $gpu' || true"
}

driver() {
        in_machine "basename \"\$(readlink /sys/bus/pci/devices/$gpu/driver)\""
}

like "nouveau has been at the GPU" "$(touched)" 'unknown chipset'
lab_put "$deb"
in_machine "dpkg -i ./$(basename "$deb")" >"$lab_directory/install.log" 2>&1
scenario_configure OverrideIommuOff=yes
scenario_bootstrap 2500
is "the machine restarted once" "$(lab_reboots)" 1
scenario_check_done
is "nouveau has not touched it" "$(touched)" ""
check "though nothing keeps nouveau from other cards" in_machine '! grep -rqs nouveau /etc/modprobe.d /run/modprobe.d && modprobe nouveau'
is "nor does it when it is loaded" "$(driver) $(touched)" "vfio-pci "
booted=$lab_boot_id
in_machine 'systemctl reboot' || true
lab_wait_boot 500 "$booted"
is "nor after another restart" "$(driver) $(touched)" "vfio-pci "
scenario_time "another restart"
scenario_end
