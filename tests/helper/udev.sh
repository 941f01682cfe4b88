#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The packaged rule and a generated one in a real udevd, with the kernel's own events: udev.sh HELPERS SOURCE FAKESYS
#
# udevd runs in namespaces of its own, and three PCI functions of this machine look to it like an exclusive GPU, its audio
# function and a flexible GPU. Their real attributes are out of reach.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helpers=$1 source=$2 fakesys=$3
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=fakebus.sh
. "$(dirname "$0")/fakebus.sh"

udevd=/lib/systemd/systemd-udevd
[ -x "$udevd" ] || skip_all 'no udevd here'
unshare -mnp --fork true 2>/dev/null || skip_all 'needs root and namespaces'
mapfile -t real < <(for device in /sys/bus/pci/devices/*; do readlink -f "$device"; done 2>/dev/null |
        grep -E '^/sys/devices/pci[^/]*/[^/]*$' | head -n3)
[ "${#real[@]}" -eq 3 ] || skip_all 'needs a machine with three PCI functions'
gpu=${real[0]##*/} audio=${real[1]##*/} other=${real[2]##*/}

# The generated rule, by the program that writes it.
machine
card "$gpu" 10de 2684 030000 12 nvidia
card "$audio" 10de 22ba 040300 12 snd_hda_intel
card "$other" 10de 2684 030000 13 nvidia
mkdir -p "$root/etc"
printf '[Gpu %s]\nMode=exclusive\n[Gpu]\nAcceptSiblings=%s\n' "$gpu" "$audio" >"$root/etc/gpuvm.conf"
check 'setup writes a rule' fake "$helpers/gpuvm-vfio" --root="$root" setup
rule=$root/etc/udev/rules.d/70-gpuvm-vfio.rules
mkdir "$work/rules"
cp "$source/udev/60-gpuvm.rules" "$rule" "$work/rules"
if udevadm verify --help >/dev/null 2>&1; then
        check 'udevadm verify' udevadm verify --resolve-names=never "$work/rules"
fi

# What udev sees of a function: the real identity of the device, a made-up rest.
for i in 0 1 2; do
        device=${real[i]##*/}
        fake=$work/dev$i
        mkdir -p "$fake/iommu_group"
        cp "$root/sys/bus/pci/devices/$device"/{vendor,device,class,subsystem_vendor,subsystem_device,driver_override} "$fake"
        cp "${real[i]}/uevent" "$fake/uevent"
        ln -s ../../../bus/pci "$fake/subsystem"
        printf '(null)\n' >"$fake/driver_override"
done
# The other GPU's slot has a rule as well, for another card: it must not match.
sed "s/KERNEL==\"$gpu\"/KERNEL==\"$other\"/; s/ATTR{device}==\"0x2684\"/ATTR{device}==\"0x2204\"/" "$rule" \
        >>"$work/rules/70-gpuvm-vfio.rules"

cat >"$work/inside" <<'SCRIPT'
set -euo pipefail
work=$1 udevd=$2
shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/udev "$work/sys"
mount -t sysfs sysfs "$work/sys"
for dir in /etc/udev/rules.d /run/udev/rules.d /usr/local/lib/udev/rules.d; do
        [ ! -d "$dir" ] || mount -t tmpfs tmpfs "$dir"
done
mount --bind "$work/rules" "$(readlink -f /lib/udev/rules.d)"
n=0
for device; do
        mount --bind "$work/dev$n" "$device"
        n=$((n + 1))
done
export SYSTEMD_DEVICE_VERIFY_SYSFS=0
# Each way to say no, in a daemon of its own: once each is enough.
for word in no OFF False 0 n; do
        SYSTEMD_PROC_CMDLINE="ro quiet gpuvm.bootstrap=$word" "$udevd" --daemon
        for device; do
                echo add >"$work/sys${device#/sys}/uevent"
        done
        udevadm settle --timeout=20
        for device; do
                echo "switched=$word ${device##*/} $(udevadm info --query=property "--path=${device#/sys}" |
                        grep -E '^(gpuvm.bootstrap|SYSTEMD_WANTS)=' | tr '\n' ' ')$(cat "$device/driver_override")"
        done
        udevadm control --exit
        rm -rf /run/udev
        mkdir /run/udev
done
export SYSTEMD_PROC_CMDLINE="ro quiet gpuvm.bootstrap=yes"
"$udevd" --daemon
start=$(date +%s%N)
for ((i = 0; i < 100; i++)); do
        for device; do
                echo add >"$work/sys${device#/sys}/uevent"
        done
done
udevadm settle --timeout=60
echo "settled=$((($(date +%s%N) - start) / 1000000))"
for device; do
        echo "device ${device##*/}"
        udevadm info --query=all "--path=${device#/sys}"
        echo "override=$(cat "$device/driver_override")"
done
udevadm control --exit
SCRIPT
# shellcheck disable=SC2016 # for the shell inside
check 'udevd with a hundred events for each' unshare -mnp --fork timeout 100 bash -c 'bash "$@" >"$0/out" 2>"$0/err"' \
        "$work" "$work/inside" "$work" "$udevd" "${real[@]}"
[ ! -s "$work/err" ] || diag "$(cat "$work/err")"

# of DEVICE PATTERN: what the database says of it.
of() {
        sed -n "/^device $1\$/,/^override=/p" "$work/out" | grep -E "$2" || true
}
for word in no OFF False 0 n; do
        is "gpuvm.bootstrap=$word: no card is touched" "$(grep "^switched=$word " "$work/out")" \
                "$(for device in "$gpu" "$audio" "$other"; do echo "switched=$word $device gpuvm.bootstrap=$word (null)"; done)"
done
settled=$(sed -n 's/^settled=//p' "$work/out")
diag "settled in ${settled:-?} ms"
check 'they settle within ten seconds' test "${settled:-99999}" -lt 10000
is 'the exclusive GPU wants its unit' "$(of "$gpu" SYSTEMD_WANTS)" "E: SYSTEMD_WANTS=gpuvm-vfio@$gpu.service"
like 'and is a unit itself' "$(of "$gpu" ' TAGS=')" ':systemd:'
is 'with a name' "$(of "$gpu" SYSTEMD_ALIAS)" "E: SYSTEMD_ALIAS=/gpuvm/$gpu"
is 'and goes to VFIO' "$(of "$gpu" '^override=')" override=vfio-pci
is 'its audio function goes along' "$(of "$audio" '^override=')" override=vfio-pci
is 'without a unit' "$(of "$audio" 'SYSTEMD_WANTS|:systemd:')" ''
like 'the flexible GPU is a unit' "$(of "$other" ' TAGS=')" ':systemd:'
is 'that wants nothing, whatever rule is for another card there' "$(of "$other" SYSTEMD_WANTS)" ''
is 'and keeps its driver' "$(of "$other" '^override=')" 'override=(null)'
done_testing
