#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L2: Debian 13 with the IOMMU on already: the same end without a reboot.

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

scenario_up L2 trixie intel_iommu=on
check "there are IOMMU groups at first" test "$(scenario_groups)" -gt 0
scenario_configure Vfio=yes
command_line=$(lab_ssh 'cat /boot/grub/grub.cfg /etc/default/grub' </dev/null)
scenario_bootstrap 2000
is "the machine did not restart" "$(lab_reboots)" 0
is "and its boot loader is as it was" "$(lab_ssh 'cat /boot/grub/grub.cfg /etc/default/grub' </dev/null)" "$command_line"
scenario_check_done
scenario_check_again
scenario_end
