# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Machines with a PCI bus that can be written to, for tests with the fakesys preload. Source it after lib.sh, with $work
# (a directory) and $fakesys (the library) set.

machine_n=0
log=${work:?}/log

# machine: an empty one; $root is where it is.
machine() {
        root=$work/m$((machine_n += 1))
        mkdir -p "$root"/{etc,proc/self,run,sys/bus/pci/devices,sys/bus/pci/drivers/vfio-pci,sys/kernel/iommu_groups}
        printf 'vfio_pci 16384 0 - Live 0x0\n' >"$root/proc/modules"
        : >"$root/proc/self/mountinfo"
        : >"$root/sys/bus/pci/drivers_probe"
        add_driver vfio-pci
}

add_driver() {
        mkdir -p "$root/sys/bus/pci/drivers/$1"
        : >"$root/sys/bus/pci/drivers/$1/bind"
        : >"$root/sys/bus/pci/drivers/$1/unbind"
}

# card ADDRESS VENDOR DEVICE CLASS GROUP DRIVER: a function, bound to the driver ('' for none).
card() {
        local dev=$root/sys/devices/pci0000:00/$1

        mkdir -p "$dev" "$root/sys/kernel/iommu_groups/$5/devices"
        printf '0x%s\n' "$2" >"$dev/vendor"
        printf '0x%s\n' "$3" >"$dev/device"
        printf '0x%s\n' "$4" >"$dev/class"
        printf '0x1458\n' | tee "$dev/subsystem_vendor" >"$dev/subsystem_device"
        printf '(null)\n' >"$dev/driver_override"
        printf 'pci:v0000%sd0000%ssv00001458sd00001458bc%ssc%si%s\n' "${2^^}" "${3^^}" "${4:0:2}" "${4:2:2}" "${4:4:2}" >"$dev/modalias"
        ln -s "../../../devices/pci0000:00/$1" "$root/sys/bus/pci/devices/$1"
        ln -s "../../../kernel/iommu_groups/$5" "$dev/iommu_group"
        ln -s "../../../../devices/pci0000:00/$1" "$root/sys/kernel/iommu_groups/$5/devices/$1"
        on_driver "$1" "$6"
}

# on_driver ADDRESS DRIVER: bound to it, and claimed by it from now on.
on_driver() {
        printf 'PCI_CLASS=30000\n' >"$root/sys/bus/pci/devices/$1/uevent"
        [ -n "$2" ] || return 0
        printf 'DRIVER=%s\nPCI_CLASS=30000\n' "$2" >"$root/sys/bus/pci/devices/$1/uevent"
        add_driver "$2"
        ln -sfn "/sys/bus/pci/drivers/$2" "$root/sys/bus/pci/devices/$1/driver"
        ln -sfn "/sys/bus/pci/devices/$1" "$root/sys/bus/pci/drivers/$2/$1"
        [ "$2" = vfio-pci ] || printf '%s\n' "$2" >"$root/sys/bus/pci/devices/$1/fake_drivers"
}

# replay HOST: a recorded machine, made writable. Its links to drivers and back are what the kernel would have.
replay() {
        local device address driver

        root=$work/m$((machine_n += 1))
        cp -a "$1" "$root"
        mkdir -p "$root"/{etc,run,proc} "$root/sys/bus/pci/drivers"
        printf 'vfio_pci 16384 0 - Live 0x0\n' >>"$root/proc/modules"
        : >"$root/sys/bus/pci/drivers_probe"
        add_driver vfio-pci
        for device in "$root"/sys/bus/pci/devices/*; do
                address=${device##*/}
                [ -e "$device/driver_override" ] || printf '(null)\n' >"$device/driver_override"
                [ -L "$device/driver" ] || continue
                driver=$(readlink "$device/driver")
                on_driver "$address" "${driver##*/}"
        done
}

# variant PATTERN DRIVER: this kernel has a VFIO driver of its own for functions with such modaliases: the index of aliases,
# with one node that has all of the pattern and one value.
variant() {
        local release=6.8.0-1-test

        mkdir -p "$root/proc/sys/kernel" "$root/lib/modules/$release"
        echo "$release" >"$root/proc/sys/kernel/osrelease"
        printf '\xb0\x07\xf4\x57\0\x02\0\x01\xc0\0\0\x0c%s\0\0\0\0\x01\0\0\0\0%s\0' "vfio_pci:$1" "$2" \
                >"$root/lib/modules/$release/modules.alias.bin"
        printf '%s 16384 0 - Live 0x0\n' "$2" >>"$root/proc/modules"
        add_driver "$2"
}

# driver ADDRESS: what it is bound to, or "none".
driver() {
        local link

        link=$(readlink "$root/sys/bus/pci/devices/$1/driver") || link=none
        printf '%s' "${link##*/}"
}

override() {
        cat "$root/sys/bus/pci/devices/$1/driver_override"
}

# state: all that can be seen of the bus.
state() (
        cd "$root/sys" || exit
        find . \( -type l -printf '%p -> %l\n' \) -o \( -type d -printf '%p\n' \) | sort
        find . \( -name driver_override -o -name d3cold_allowed \) -exec grep -H '' {} + | sort
)

# fake COMMAND...: with the bus behaving. said tells its output (also after check, which has a shell of its own), $log the
# changes that it made.
fake() {
        : >"$log"
        # The sanitizer wants to be the first library; it works behind another as well.
        env FAKESYS_ROOT="$root" FAKESYS_LOG="$log" LD_PRELOAD="${fakesys:?}" ASAN_OPTIONS=verify_asan_link_order=0 \
                "$@" >"$work/said" 2>&1
}

said() {
        cat "$work/said"
}

writes() {
        grep -c '^write ' "$log" || true
}

# sysfs_calls COMMAND...: how many system calls of it, and of its children, touch sysfs.
sysfs_calls() {
        : >"$log"
        strace -f -y -qq -e trace=%file,%desc -e signal=none -o "$work/trace" -E FAKESYS_ROOT="$root" -E FAKESYS_LOG="$log" -E LD_PRELOAD="${fakesys:?}" \
                -E ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 "$@" >"$work/said" 2>&1 || return
        # The names of a root's own paths have no slash in front; what the preload does in the kernel's place is not ours,
        # and what it takes for a write is one.
        awk '/ write\(-1, "\("/ { away[$1] = 1 } / write\(-1, "\)"/ { away[$1] = 0; next }
                !away[$1] && /[\/"]sys\// && !/proc\/sys\// && !/ resumed>/ { print }' "$work/trace" >"$work/touched"
        echo $(($(wc -l <"$work/touched") + $(writes)))
}
