# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # machine and shared are lib.sh's
# A container's GPUs, of a PCI bus that behaves (../mock/fakesys.c) and that no kernel has, and a libvirtd that works in a container. Source it
# after lib.sh.
#
#     gpus_new FAKESYS DEVICE ADDRESS=GROUP...   # after machine_new
#     gpus_reset                                 # before another boot: the kernel's bus is a new one then
#     gpus_libvirt                               # libvirtd, as far as a container lets it
#     gpus_for_qemu FAKELIMIT                    # machines start with these GPUs, QEMU without them

# gpus_new FAKESYS DEVICE ADDRESS=GROUP...: on nouveau. The units gpuvm-vfio@ see them.
gpus_new() {
        local file place dev device=$2

        mkdir -p "$shared"/pci/drivers/{vfio-pci,nouveau} "$shared/groups"
        for file in drivers_probe drivers/{vfio-pci,nouveau}/{bind,unbind}; do
                : >"$shared/pci/$file"
        done
        for place in "${@:3}"; do
                dev=$shared/pci/devices/${place%=*}
                mkdir -p "$dev" "$shared/groups/${place#*=}/devices"
                echo 0x10de >"$dev/vendor"
                echo "0x$device" >"$dev/device"
                echo 0x030000 >"$dev/class"
                echo nouveau >"$dev/fake_drivers"
                ln -s "../../../../kernel/iommu_groups/${place#*=}" "$dev/iommu_group"
                ln -s "/sys/bus/pci/devices/${place%=*}" "$shared/groups/${place#*=}/devices/${place%=*}"
        done
        gpus_reset
        cp "$1" "$shared/fakesys.so"
        cat >"$shared/before-init" <<'S'
mount --bind /shared/pci /sys/bus/pci
mount --bind /shared/groups /sys/kernel/iommu_groups
S
        mkdir -p "$machine/etc/systemd/system/gpuvm-vfio@.service.d"
        cat >"$machine/etc/systemd/system/gpuvm-vfio@.service.d/fake.conf" <<'UNIT'
[Service]
Environment=LD_PRELOAD=/shared/fakesys.so FAKESYS_ROOT= FAKESYS_LOG=/shared/log
ReadWritePaths=/shared
UNIT
}

# Nothing is on VFIO that nobody has put there.
gpus_reset() {
        local dev gpu

        for dev in "$shared"/pci/devices/*; do
                gpu=${dev##*/}
                rm -f "$shared/pci/drivers"/*/"$gpu" "$dev/driver"
                ln -s /sys/bus/pci/drivers/nouveau "$dev/driver"
                ln -s "/sys/bus/pci/devices/$gpu" "$shared/pci/drivers/nouveau/$gpu"
                echo '(null)' >"$dev/driver_override"
        done
}

# A first boot enables whatever there is, also what wants certificates.
gpus_libvirt() {
        ln -s /dev/null "$machine/etc/systemd/system/libvirtd-tls.socket"
        ln -s /dev/null "$machine/etc/systemd/system/libvirtd-tcp.socket"
        # What a container may not do.
        printf 'namespaces = []\ncgroup_controllers = []\nsecurity_driver = "none"\nuser = "root"\n' >"$machine/etc/libvirt/qemu.conf"
}

# libvirt takes them for real; what QEMU was to be given of them is in /shared/given. As long as there is a file /shared/gpu-fails it is given that.
# The memory of a large machine is a small one's: 50 GiB are 64 MiB.
gpus_for_qemu() {
        local dev group qemu=$machine/usr/bin/qemu-system-x86_64

        echo 'mkdir -p /dev/vfio; touch /dev/vfio/vfio' >>"$shared/before-init"
        for dev in "$shared"/pci/devices/*; do
                head -c 256 /dev/zero >"$dev/config"
                group=$(readlink "$dev/iommu_group")
                echo "touch /dev/vfio/${group##*/}" >>"$shared/before-init"
        done
        # Nor may a container raise limits.
        mkdir -p "$machine/etc/systemd/system/libvirtd.service.d"
        printf '[Service]\nEnvironment=LD_PRELOAD=/shared/fakelimit.so\n' >"$machine/etc/systemd/system/libvirtd.service.d/fake.conf"
        cp "$1" "$shared/fakelimit.so"
        mv "$qemu" "$qemu.real"
        cat >"$qemu" <<'S'
#!/bin/bash
words=()
for word; do
        case $word in
        *'"driver":"vfio-pci"'*)
                echo "$word" >>/shared/given
                [ -e /shared/gpu-fails ] || { unset 'words[-1]' && continue; }
                ;;
        esac
        word=${word//53687091200/67108864}
        words+=("${word//52428800k/65536k}")
done
exec "$0.real" "${words[@]}"
S
        chmod +x "$qemu"
}
