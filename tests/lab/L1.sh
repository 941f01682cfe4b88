#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L1: Debian 13 with the IOMMU switched off on the command line, and consent to override it: one reboot, by itself, into
# a trial that becomes the default.

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

scenario_up L1 "${1:-trixie}" intel_iommu=off
is "there is no IOMMU group at first" "$(scenario_groups)" 0
# As grub-install and update-grub leave it: the disk's own menu is written by hand.
check "GRUB makes its menu" lab_ssh 'grub-editenv /boot/grub/grubenv create && update-grub' </dev/null
scenario_configure OverrideIommuOff=yes Bridge=yes
scenario_bootstrap 3000
is "the machine restarted once" "$(lab_reboots)" 1
check "it came up with the trial" lab_ssh 'grep -q " panic=10 gpuvm.trial=" /proc/cmdline' </dev/null
check "which went well" lab_ssh 'grep -q "The trial start went well" /var/log/gpu-vm-bootstrap.log' </dev/null
check "and is the default now" lab_ssh 'grep -q "intel_iommu=on" /boot/grub/grub.cfg && ! grep -q "panic=\|intel_iommu=off" /boot/grub/grub.cfg' </dev/null
is "nothing is left of the trial" "$(lab_ssh 'ls /boot/grub/custom.cfg /boot/*gpuvm-trial /var/lib/gpuvm/trial 2>/dev/null; grub-editenv list' </dev/null)" ""
check "the network leaves by a bridge" lab_ssh 'ip route show default | grep -q " dev br0 " && ls /sys/class/net/br0/brif/en*' </dev/null
scenario_check_done
scenario_check_again
scenario_end
