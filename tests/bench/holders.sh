# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# Who uses a GPU, on a machine with many processes: the whole of a dry run, of which the look is the most.

# A machine with one GPU whose node nobody has open, and this machine's processes.
holders_machine() {
        local device=$1/sys/bus/pci/devices/0000:01:00.0

        mkdir -p "$device/drm/card0" "$device/graphics" "$1"/{proc,etc,run,sys/kernel/iommu_groups/1/devices/0000:01:00.0} "$1/sys/bus/pci/drivers"/{nouveau,vfio-pci}
        echo 0x10de >"$device/vendor"
        echo 0x2684 >"$device/device"
        echo 0x030000 >"$device/class"
        echo 226:99 >"$device/drm/card0/dev"
        ln -s ../../drivers/nouveau "$device/driver"
        ln -s ../../../../kernel/iommu_groups/1 "$device/iommu_group"
}

bench_holders() {
        local root=$work/holders n=2000 pids=() i there ms said

        holders_machine "$root"
        there=$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)
        for ((i = there; i < n; i++)); do
                sleep 600 >/dev/null 2>&1 &
                pids+=($!)
        done
        sleep 1
        # shellcheck disable=SC2016 # for the shell inside
        said=$(unshare -m bash -c 'mount --bind /proc "$1/proc" && shift && exec "$@"' bash "$root" \
                "$build/helpers/gpuvm-vfio" --root="$root" --dry-run attach 0000:01:00.0 2>&1 | head -c 200 | tr '|\n' '  ') || true
        # shellcheck disable=SC2016
        ms=$(export -f wall_ms && export work build root && unshare -m bash -c 'mount --bind /proc "$root/proc" &&
                wall_ms "" 20 "$build/helpers/gpuvm-vfio" --root="$root" --dry-run attach 0000:01:00.0') || ms=nan
        row "who uses a GPU, $n processes" "$ms" ms 50 "$said"
        row 'who uses a file, by fuser' "$(wall_ms '' 3 fuser /dev/zero)" ms -
        { kill "${pids[@]}" && wait "${pids[@]}"; } 2>/dev/null || true
        rm -rf "$root"
}
