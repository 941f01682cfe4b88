# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# vmctl gpu status beside lspci, which tells less: of a small machine, and of one with eight GPUs among 300 PCI devices.

# bench_gpu_copy HOST FROM ADDRESS GROUP: one more function, with what is in a recorded one's directory.
bench_gpu_copy() {
        local to=$1/sys/bus/pci/devices/$3 group=$1/sys/kernel/iommu_groups/$4/devices

        mkdir -p "$to" "$group"
        find "$2/" -maxdepth 1 -type f -exec cp -t "$to" {} +
        ln -s "../../../../kernel/iommu_groups/$4" "$to/iommu_group"
        ln -s "../../../../bus/pci/devices/$3" "$group/$3"
}

# bench_gpu_host HOST: each GPU with a group of its own, as everything else.
bench_gpu_host() {
        local from=$top/tests/hosts/nvswitch-board/sys/bus/pci/devices i address

        mkdir -p "$1"
        cp -a "$top/tests/hosts/nvswitch-board/etc" "$top/tests/hosts/nvswitch-board/proc" "$1/"
        for ((i = 0; i < 300; i++)); do
                printf -v address '0000:%02x:%02x.0' $((i / 8 + 1)) $((i % 8))
                if ((i % 37 == 36)); then
                        bench_gpu_copy "$1" "$from/0000:03:00.0" "$address" "$i"
                else
                        bench_gpu_copy "$1" "$from/0000:41:00.0" "$address" "$i"
                fi
        done
}

# bench_gpu_pair WHAT HOST GOAL
bench_gpu_pair() {
        local peer ours

        peer=$(wall_ms '' 100 lspci -O "sysfs.path=$2/sys/bus/pci" -nn)
        ours=$(wall_ms '' 100 "$build/helpers/vmctl" gpu status --root="$2")
        row "$1: lspci -nn" "$peer" ms -
        row "$1: vmctl gpu status" "$ours" ms "$3"
        row "$1: that divided by lspci" "$(ratio "$ours" "$peer")" '' 0.2
}

bench_gpu() {
        bench_gpu_pair 'GPUs of a small machine' "$top/tests/hosts/intel-one-gpu" 2
        bench_gpu_host "$work/eight"
        [ "$("$build/helpers/vmctl" gpu status --root="$work/eight" --json | grep -c '"iommu_group"')" -eq 8 ] || return
        bench_gpu_pair '8 GPUs among 300 PCI devices' "$work/eight" 15
}
