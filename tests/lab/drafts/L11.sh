#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # stage.sh and scenario.sh set what is not set here
# L11: QEMU killed at random moments of the bootstrap (Debian 13, the IOMMU switched off on its command line): L11.sh
# [KILLS [SEED]]. 20, unless told otherwise. Each time the machine comes up again, and in the end it is bootstrapped.
#
# The disk's cache is the host's: what the machine has flushed is there, as on a disk that keeps its word.
#
# shellcheck disable=SC2016 # what is quoted so is expanded in the machine

# shellcheck source=../scenario.sh
. "$(dirname "$0")/../scenario.sh"

kills=${1:-20}
seed=${2:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$seed
# Of an emulated machine's bootstrap with a trial, from its start to its end; the reboot included.
span=${3:-240}
export LAB_DISK_CACHE=writeback

# in_machine SCRIPT
in_machine() {
        lab_ssh "$1" </dev/null
}

# A fresh machine with the package, its bootstrap not begun; kept so, to begin from again.
new_machine() {
        if [ ! -e "$lab_directory/fresh.qcow2" ]; then
                lab_boot "$disk"
                lab_wait_boot 1500
                lab_put "$deb"
                in_machine "dpkg -i ./$(basename "$deb") && rm ./*.deb && grub-editenv /boot/grub/grubenv create && update-grub" \
                        >"$lab_directory/install.log" 2>&1 || { lab_fail "the machine cannot be prepared"; exit 1; }
                scenario_configure OverrideIommuOff=yes
                in_machine 'systemctl poweroff' || true
                wait "$lab_pid" || true
                lab_end
                mv "$lab_directory/disk.qcow2" "$lab_directory/fresh.qcow2"
        fi
        cp "$lab_directory/fresh.qcow2" "$lab_directory/disk.qcow2"
        restarts=0
        lab_boot "$disk"
}

# QEMU dies with the one that watches over it.
pull_the_plug() {
        kill -KILL "$lab_pid"
        wait "$lab_pid" 2>/dev/null || true
        lab_pid=
        lab_forget_connection
        restarts=$((restarts + $(lab_reboots)))
        rm -f "$lab_directory/events"
}

# come_up: the machine after a start; what is wrong with it. Goes on by itself only where a restart was under way.
come_up() {
        lab_wait_boot 1500 || { echo "it does not come up"; return; }
        in_machine 'for i in /var/lib/gpuvm/*.json /var/lib/gpuvm/phases/*.json; do
                        [ ! -e "$i" ] || [ "$(tail -c 2 "$i" | head -c 1)" = "}" ] || echo "$i is torn"
                done
                grub-script-check /boot/grub/grub.cfg || echo "grub.cfg is torn"
                gpuvm-undo --list 2>&1 | grep "no whole record"
                [ -e /var/lib/gpuvm/pending ] || systemctl start --no-block gpuvm-bootstrap.target' || true
}

[ "$(id -u)" = 0 ] || skip_all "needs root, to make a disk"
command -v qemu-system-x86_64 >/dev/null || skip_all "no qemu-system-x86_64 here"
diag "seed $seed"
scenario_since=$SECONDS
deb=${GPUVM_LAB_DEB:-}
[ -n "$deb" ] || deb=$("$scenario_top/tests/package/build.sh" bookworm amd64 | tail -n 1)
disk=$("$scenario_here/image.sh" --stocked --cmdline intel_iommu=off)
lab_begin L11
new_machine
for ((kill = 1; kill <= kills; kill++)); do
        wrong=$(come_up)
        is "start $kill: the machine is well" "$wrong" ""
        [ "$wrong" != "it does not come up" ] || { scenario_end; exit; }
        if in_machine 'grep -q "\"ready\": *true" /var/lib/gpuvm/report.json' 2>/dev/null; then
                check "it was bootstrapped, with $restarts restarts" test "$restarts" -le 2
                lab_end
                new_machine
                wrong=$(come_up)
                is "start $kill: the new machine is well" "$wrong" ""
        fi
        at=$((RANDOM % span))
        sleep $at
        pull_the_plug
        diag "kill $kill after $at s"
        lab_boot "$disk"
done
is "the last start: the machine is well" "$(come_up)" ""
lab_wait_boot 60
scenario_bootstrap 2400
is "the bootstrap is done" "$scenario_result" "done"
check "with two restarts of its own at most" test $((restarts + $(lab_reboots))) -le 2
is "the GPU is on vfio-pci" "$(in_machine 'basename $(readlink /sys/bus/pci/devices/0000:01:00.0/driver)')" vfio-pci
scenario_end
