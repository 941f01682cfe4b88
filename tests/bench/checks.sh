#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the phases look at on a finished machine, as a shell script would do it: the peer of our helpers in bench.sh.
# checks.sh [ROOT]. It prints what it saw and changes nothing.

root=${1-}

# preflight
grep -q '^ID=\(debian\|ubuntu\)' "$root/etc/os-release" && echo 'distribution: supported'
echo "architecture: $(uname -m)"
grep -m1 -oE '\b(vmx|svm)\b' "$root/proc/cpuinfo"
[ -e "$root/dev/kvm" ] && echo 'kvm: there'
for table in DMAR IVRS; do
        [ -e "$root/sys/firmware/acpi/tables/$table" ] && echo "table: $table"
done
echo "iommu groups: $(find "$root/sys/kernel/iommu_groups" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)"
grep -E '^CONFIG_(VFIO|VFIO_PCI|INTEL_IOMMU|AMD_IOMMU)=' "$root/boot/config-$(uname -r)" 2>/dev/null
for device in "$root"/sys/bus/pci/devices/*; do
        class=$(cat "$device/class" 2>/dev/null)
        case $class in
        0x03*)
                name=$(basename "$device")
                vendor=$(cat "$device/vendor")
                model=$(cat "$device/device")
                driver=$(basename "$(readlink "$device/driver")" 2>/dev/null)
                group=$(basename "$(readlink "$device/iommu_group")" 2>/dev/null)
                echo "gpu $name: $vendor:$model driver ${driver:-none} group ${group:-none}"
                for peer in "$root/sys/kernel/iommu_groups/${group:-none}"/devices/*; do
                        [ -e "$peer" ] && echo "  with $(basename "$peer") $(cat "$peer/class")"
                done
                ;;
        esac
done
df -Pk "$root/" | awk 'NR == 2 { print "free: " $4 }'
awk '/^MemTotal/ { print "memory: " $2 }' "$root/proc/meminfo"

# packages, kvm
for package in qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients ovmf dnsmasq-base pciutils; do
        dpkg-query ${root:+--admindir="$root/var/lib/dpkg"} -W -f='${db:Status-Abbrev} ${Package}\n' "$package" 2>/dev/null
done
getent group libvirt kvm

# iommu
for word in intel_iommu=on iommu=pt; do
        grep -qw "$word" "$root/proc/cmdline" && echo "command line: $word"
done
grep -h gpuvm "$root"/etc/default/grub.d/*.cfg 2>/dev/null

# vfio
grep -E '^vfio' "$root/proc/modules"
[ -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules" ] && echo 'early rule: there'

# verify
[ -e "$root/var/lib/gpuvm/report.json" ] && head -c 1000 "$root/var/lib/gpuvm/report.json" >/dev/null
exit 0
