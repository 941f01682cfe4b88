#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A recorded machine on which the bootstrap is done: finished.sh HELPERS DIR
#
# tests/hosts/intel-one-gpu, with the packages installed that the helpers in HELPERS ask for, NVIDIA's driver built and
# VFIO loaded. There is no apt-get: what starts it fails.

set -euo pipefail

helpers=$1 dir=$2
cp -a "$(dirname "$0")/../hosts/intel-one-gpu" "$dir"
status=$dir/var/lib/dpkg/status
mkdir -p "$dir/var/lib/dpkg/updates" "$dir/var/cache/gpuvm"
touch "$status"
mkdir -p "$dir/etc/apt/sources.list.d"
echo VERSION_CODENAME=bookworm >>"$dir/etc/os-release"
printf 'Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: %s\nSigned-By: %s\n' \
        'main contrib non-free non-free-firmware' /usr/share/keyrings/debian-archive-keyring.gpg \
        >"$dir/etc/apt/sources.list.d/debian.sources"
for noun in packages nvidia kvm; do
        "$helpers/gpuvm-$noun" --root="$dir" --dry-run 2>/dev/null |
                sed -n 's/^[a-z]*: would install \([^:]*\).*/\1/p' | while read -r package; do
                printf 'Package: %s\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n' "$package" >>"$status"
        done || true
done
# As big as a real one, 2,000 packages in 3 MB, so that reading it costs what it costs.
awk 'BEGIN {
        for (i = 0; i < 12; i++)
                depends = depends sprintf("library-with-a-name%d (>= 1.%d), ", i, i)
        for (i = 0; i < 16; i++)
                text = text " With a few lines about what it is good for, as most of them have.\n"
        for (i = 0; i < 2000; i++)
                printf "Package: library%d\nStatus: install ok installed\nPriority: optional\nSection: libs\n" \
                       "Installed-Size: %d\nMaintainer: Somebody <somebody@example.org>\nArchitecture: amd64\nVersion: 1.%d\n" \
                       "Depends: %slibc6 (>= 2.34)\nDescription: a library\n%sHomepage: https://example.org/\n\n",
                       i, i, i, depends, text
}' >>"$status"
for module in vfio_pci vfio_pci_core vfio_iommu_type1 vfio; do
        echo "$module 16384 0 - Live 0x0000000000000000"
done >>"$dir/proc/modules"

# NVIDIA's driver has the GPU.
kernel=$(cat "$dir/proc/sys/kernel/osrelease")
mkdir -p "$dir/usr/bin" "$dir/lib/modules/$kernel" "$dir/sys/bus/pci/drivers/nvidia"
touch "$dir/usr/bin/nvidia-smi"
echo updates/dkms/nvidia-current.ko: >"$dir/lib/modules/$kernel/modules.dep"
for device in "$dir"/sys/bus/pci/devices/*; do
        case $(cat "$device/vendor" "$device/class" | xargs) in
        '0x10de 0x03'*) ln -sfn ../../../bus/pci/drivers/nvidia "$device/driver" ;;
        esac
done

# libvirt is enabled and up, as far as files say.
units=$dir/usr/lib/systemd/system wants=$dir/etc/systemd/system/multi-user.target.wants
mkdir -p "$units" "$wants" "$dir/run/libvirt"
for unit in libvirtd.service libvirt-guests.service virtlogd.service; do
        touch "$units/$unit"
        ln -sf "/usr/lib/systemd/system/$unit" "$wants/$unit"
done
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$dir/run/libvirt/libvirt-sock"
printf 'Signature: 8a477f597d28d172789f06886806bc55\n' >"$dir/var/cache/gpuvm/CACHEDIR.TAG"

# The network leaves by a bridge.
mkdir -p "$dir/run/gpuvm" "$dir"/sys/class/net/br0/{bridge,brif/eth0}
cp "$(dirname "$0")/../fuzz/corpus/netstate/moved" "$dir/run/gpuvm/netstate"

# The pool and the network are there.
pool=$dir/etc/libvirt/storage network=$dir/etc/libvirt/qemu/networks
mkdir -p "$pool/autostart" "$network/autostart" "$dir/run/libvirt/storage" "$dir/run/libvirt/network"
echo '<pool type="dir"><name>gpuvm</name><target><path>/var/lib/libvirt/images/gpuvm</path></target></pool>' >"$pool/gpuvm.xml"
echo '<network><name>default</name></network>' >"$network/default.xml"
for name in storage/gpuvm qemu/networks/default; do
        ln -sf "/etc/libvirt/$name.xml" "$dir/etc/libvirt/${name%/*}/autostart/"
done
cp "$pool/gpuvm.xml" "$dir/run/libvirt/storage/"
cp "$network/default.xml" "$dir/run/libvirt/network/"
