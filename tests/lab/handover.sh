#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # stage.sh and scenario.sh set what is not set here
# What it takes to hand an idle GPU over, and driverctl for the same functions in the same run: handover.sh RESULT
#
# RESULT gets one "NAME VALUE" a line: milliseconds (an emulated machine's: ratios count), and system calls that touch
# sysfs for one function.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

# The kernel counts cards that gave no sound, and takes no more of them than 32 (azx_probe() of snd_hda_intel): three of
# the machine, and three a round.
result=$1 rounds=7
stage_up handover installed

# The kernel's own part: the same writes in the same order, and nothing else.
cat >"$lab_directory/handover" <<'END'
#!/bin/bash
set -eEu
exec 3>&2
trap 'echo "$who-$what: $BASH_COMMAND failed: $(tail -n 2 /root/said)" >&3' ERR
rounds=$1 gpu=$2 who=nobody what=nothing
functions=("$gpu" "${gpu%0}1")
vfio=$(systemctl show -P ExecStart "gpuvm-vfio@$gpu.service" | sed -n 's/.*path=\([^ ;]*\).*/\1/p')
modprobe vfio-pci
cd /sys/bus/pci

kernel_attach() {
        local d

        for d in "${functions[@]}"; do
                echo vfio-pci >"devices/$d/driver_override"
                [ ! -e "devices/$d/driver" ] || echo "$d" >"devices/$d/driver/unbind"
                echo "$d" >drivers_probe
        done
}
kernel_detach() {
        local d

        for d in "${functions[@]}"; do
                echo >"devices/$d/driver_override"
                echo "$d" >"devices/$d/driver/unbind"
                echo "$d" >drivers_probe
        done
}
driverctl_attach() { for d in "${functions[@]}"; do driverctl set-override "$d" vfio-pci; done; }
driverctl_detach() { for d in "${functions[@]}"; do driverctl unset-override "$d"; done; }
gpuvm_attach() { "$vfio" attach "$gpu"; }
gpuvm_detach() { "$vfio" detach "$gpu"; }

# $1: the driver that has to have the GPU afterwards
expect() {
        [ "$(basename "$(readlink "devices/$gpu/driver")")" = "$1" ] || { echo "$2 left the GPU with $(readlink "devices/$gpu/driver")" >&2; exit 1; }
}

for ((i = 0; i < rounds; i++)); do
        for who in kernel driverctl gpuvm; do
                for what in attach detach; do
                        # What the one before has left udev to do is not this one's.
                        udevadm settle
                        t=$EPOCHREALTIME
                        "${who}_$what" >/root/said 2>&1
                        echo "$who-$what $(((${EPOCHREALTIME/./} - ${t/./}) / 10))e-2"
                        expect "$([ $what = attach ] && echo vfio-pci || echo nvidia)" "$who"
                done
        done
done

# Paths and descriptors are shown with their names, and so is where one stands. What a program tells its own child of them
# is no call that touches them.
cd /
calls() {
        local name=$1

        shift
        udevadm settle
        strace -f -y -qq -e signal=none -o /run/trace "$@" >/dev/null 2>&1
        echo "$name-calls $(grep -vE ' (send|recv)(msg|to|from)\(|<... recvfrom ' /run/trace | grep -c '/sys/')"
        echo "$name-processes $(grep -cE ' (clone3?|v?fork)\(' /run/trace || true)"
}
calls driverctl-attach driverctl set-override "$gpu" vfio-pci
driverctl set-override "${gpu%0}1" vfio-pci
calls driverctl-detach driverctl unset-override "$gpu"
driverctl unset-override "${gpu%0}1"
calls gpuvm-attach "$vfio" attach "$gpu"
calls gpuvm-detach "$vfio" detach "$gpu"
END
lab_put "$lab_directory/handover"
check "hand-overs by gpuvm, driverctl and bare hands" \
        lab_ssh "bash /root/handover $rounds $stage_twin >/root/figures 2>/root/errors || { cat /root/errors; exit 1; }"
stage_run 'cat /root/figures' >"$lab_directory/figures"
# driverctl was asked for one function, gpuvm for both.
awk '/^gpuvm-.*-calls/ { $2 /= 2 } { print }' "$lab_directory/figures" >"$result"
check "there are figures" grep -q '^gpuvm-detach-calls [1-9]' "$result"
scenario_end
