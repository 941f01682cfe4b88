# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016 # what is quoted so is expanded in the machine
#
# Machines of the lab that go on from where saved.sh has saved one, in seconds: for scenarios that are about something
# else than to boot and to install. Source this; it sources scenario.sh.
#
#     stage_up NAME [KIND]   the machine that saved.sh makes of that kind ("installed", if not told), and what lab_begin gives
#     stage_run SCRIPT       runs it in the machine; the output
#     stage_driver ADDRESS   a function's driver, or nothing
#     stage_unit ADDRESS     a GPU's unit
#     stage_word ADDRESS     its ActiveState=
#     stage_said ADDRESS [TIME]   its journal, of this boot or since then
#     stage_wait SECONDS WANT SCRIPT   until the script prints that; 1 if it never does
#     stage_patience ADDRESS   its unit waits for the kernel twice as long: time enough for another GPU to change hands
#                              meanwhile, however slow this machine is
#
# All GPUs of the machine are of one kind, and so are the functions that go with them.

# shellcheck disable=SC2034
stage_gpu=0000:01:00.0 stage_twin=0000:03:00.0
# It cannot go: disk and network card are in its IOMMU group.
# shellcheck disable=SC2034
stage_shared=0000:05:01.0
stage_hardware=(--twin --shared)
export LAB_MEMORY=${LAB_MEMORY:-1536}

# shellcheck source=scenario.sh
. "$(dirname "${BASH_SOURCE[0]}")/scenario.sh"

stage_run() {
        lab_ssh "$1" </dev/null
}

stage_driver() {
        stage_run "basename \"\$(readlink /sys/bus/pci/devices/$1/driver)\""
}

stage_unit() {
        echo "gpuvm-vfio@$1.service"
}

stage_word() {
        stage_run "systemctl show -P ActiveState $(stage_unit "$1")"
}

stage_said() {
        stage_run "journalctl -b -o cat -u $(stage_unit "$1") ${2:+--since=@$2}"
}

stage_wait() {
        local deadline=$((SECONDS + $1)) got

        while got=$(stage_run "$3" || true) && [ "$got" != "$2" ]; do
                [ $SECONDS -lt $deadline ] || { diag "after $1 s it is still: $got"; return 1; }
                sleep 1
        done
}

stage_patience() {
        local unit

        unit=$(stage_unit "$1")
        stage_run "directory=/run/systemd/system/$unit.d
                mkdir -p \$directory && echo '[Service]' >\$directory/patience.conf
                for what in ExecStart ExecStop; do
                        command=\$(systemctl show -P \$what $unit | sed 's/.*argv\[\]=\([^;]*\) ;.*/\1/')
                        printf '%s=\n%s=%s --write-timeout=120\n' \$what \$what \"\$command\" >>\$directory/patience.conf
                done
                systemctl daemon-reload"
}

stage_up() {
        local directory

        [ "$(id -u)" = 0 ] || skip_all "needs root, to make a disk"
        command -v qemu-system-x86_64 >/dev/null || skip_all "no qemu-system-x86_64 here"
        scenario_since=$SECONDS
        directory=$("$scenario_here/saved.sh" "${2:-installed}")
        scenario_time "package, disk and saved machine"
        lab_begin "$1"
        lab_resume "$directory" "${stage_hardware[@]}"
        lab_wait_boot 200
        scenario_time "machine up"
}
