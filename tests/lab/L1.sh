#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L1: Debian 13 with the IOMMU switched off on the command line, and consent to override it: one reboot, by itself.

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

scenario_up L1 "${1:-trixie}" intel_iommu=off
is "there is no IOMMU group at first" "$(scenario_groups)" 0
scenario_configure OverrideIommuOff=yes
scenario_bootstrap 3000
is "the machine restarted once" "$(lab_reboots)" 1
scenario_check_done
scenario_check_again
scenario_end
