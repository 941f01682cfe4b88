#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L4: no IOMMU in the machine: a refusal that sends the user to the firmware; nothing is changed, nothing restarts.

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

scenario_up L4 trixie intel_iommu=on --no-iommu
scenario_configure Vfio=yes
before=$(scenario_state)
scenario_bootstrap 600
is "the bootstrap refuses" "$scenario_result" failed
like "and names the firmware" "$(lab_ssh 'journalctl -b -o cat -u "gpuvm-*"' </dev/null)" '[Ff]irmware|BIOS|UEFI'
is "nothing is installed" "$(lab_ssh 'test -e /usr/bin/qemu-system-x86_64 && echo there' </dev/null || true)" ""
# Long enough for a reboot that was announced five seconds ahead.
sleep 30
lab_wait_boot 60
is "the machine does not restart" "$(lab_reboots)" 0
check "and will not: nothing is pending" lab_ssh 'test ! -e /var/lib/gpuvm/pending -a ! -e /run/systemd/shutdown/scheduled'
is "/etc, /boot and the drivers are as they were" "$(diff <(echo "$before") <(scenario_state) | head -n 20)" ""
scenario_bootstrap 600
is "a second start refuses as well" "$scenario_result" failed
is "and does not restart the machine" "$(lab_reboots)" 0
is "/etc, /boot and the drivers are still as they were" "$(diff <(echo "$before") <(scenario_state) | head -n 20)" ""
scenario_end
