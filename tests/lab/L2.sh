#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L2: Debian 13 with the IOMMU on already: the same end without a reboot, and all of it by install.sh, as on a host.

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

scenario_machine L2 trixie intel_iommu=on
check "there are IOMMU groups at first" test "$(scenario_groups)" -gt 0
scenario_configure Vfio=yes
command_line=$(lab_ssh 'cat /boot/grub/grub.cfg /etc/default/grub' </dev/null)
scenario_install 2400
like "install.sh shows the plan first" "$(sed -n '/What the bootstrap would do/,/Running the bootstrap/p' "$lab_directory/install.log")" \
        'install qemu-system-x86'
is "the machine did not restart" "$(lab_reboots)" 0
is "and its boot loader is as it was" "$(lab_ssh 'cat /boot/grub/grub.cfg /etc/default/grub' </dev/null)" "$command_line"
scenario_check_done
scenario_check_again
scenario_end
