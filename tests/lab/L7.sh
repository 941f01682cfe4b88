#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L7: a GPU shares its IOMMU group with the machine's disk and its network card: refused, with the list; nothing changes.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

stage_up L7
gpu=$stage_shared disk=0000:05:02.0 net=0000:05:03.0
unit=$(stage_unit $gpu)

is "they are in one group" "$(stage_run "cd /sys/bus/pci/devices/$gpu/iommu_group/devices && echo *$disk* *$net*")" "$disk $net"
before=$(scenario_state)
since=$(stage_run 'date +%s')
check "it does not go" stage_run "! systemctl start $unit"
said=$(stage_said $gpu "$since")
like "the disk is named, and why" "$said" "${disk}[^;]*(disk|/boot|file system)"
like "and the network card" "$said" "${net}[^;]*(network|route|uplink)"
is "nothing was changed" "$(diff <(echo "$before") <(scenario_state))" ""

# Nobody may accept that.
stage_run "printf '[Gpu $gpu]\nMode=exclusive\nAcceptSiblings=$disk $net\n' >/etc/gpuvm.conf.d/shared.conf"
before=$(scenario_state)
since=$(stage_run 'date +%s')
check "nor does it as an exclusive one" stage_run '! systemctl start gpuvm-bootstrap.target'
like "the bootstrap says why" "$(stage_run "journalctl -b -o cat -u gpuvm-preflight.service --since=@$since")" \
        "in the way\\): $gpu: Cannot be given to a VM: .*$disk, the disk .*$net, the network card"
is "again nothing was changed" "$(diff <(echo "$before") <(scenario_state))" ""
is "and no rule is written" "$(stage_run 'ls /etc/udev/rules.d/*gpuvm* 2>/dev/null')" ""
is "another GPU is as it was" "$(stage_word $stage_gpu) $(stage_driver $stage_gpu)" "inactive nvidia"
check "the disk works" stage_run 'echo 1 >/var/lib/there && sync && rm /var/lib/there'
scenario_time "refusals"
scenario_end
