#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The packaged rule and generated ones in a real udevd, with the kernel's own events: udev.sh HELPERS SOURCE FAKESYS
#
# udevd runs in namespaces of its own, and five PCI functions of this machine look to it like an exclusive GPU, its audio
# function, a flexible GPU, and a card with its audio function that nobody has seen before. Their real attributes are out
# of reach.

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
        grep -E '^/sys/devices/pci[^/]*/[^/]*$' | head -n5)
[ "${#real[@]}" -eq 5 ] || skip_all 'needs a machine with five PCI functions'
uevents_alone
gpu=${real[0]##*/} audio=${real[1]##*/} other=${real[2]##*/} new=${real[3]##*/} newaudio=${real[4]##*/}

# The generated rules, by the program that writes them: of one GPU of two, and of all but one.
machine
card "$gpu" 10de 2684 030000 12 nvidia
card "$audio" 10de 22ba 040300 12 snd_hda_intel
card "$other" 10de 2684 030000 13 nvidia
mkdir -p "$root/etc" "$work"/{own,absent,all,variant}
rule=$root/etc/udev/rules.d/70-gpuvm-vfio.rules
printf '[Gpu %s]\nMode=exclusive\n[Gpu]\nAcceptSiblings=%s\n' "$gpu" "$audio" >"$root/etc/gpuvm.conf"
check 'setup writes a rule' fake "$helpers/gpuvm-vfio" --root="$root" setup
cp "$source/udev/60-gpuvm.rules" "$rule" "$work/own"
printf '[Gpu %s]\nMode=exclusive\n' "$new" >"$root/etc/gpuvm.conf"
check 'one for a card that is not there yet' fake "$helpers/gpuvm-vfio" --root="$root" setup
cp "$source/udev/60-gpuvm.rules" "$rule" "$work/absent"
printf '[Gpu %s]\nMode=flexible\n[Gpu]\nMode=exclusive\nAcceptSiblings=%s\n' "$other" "$audio" >"$root/etc/gpuvm.conf"
check 'and one for all but one' fake "$helpers/gpuvm-vfio" --root="$root" setup
cp "$source/udev/60-gpuvm.rules" "$rule" "$work/all"
like 'which goes by the path' "$(cat "$rule")" "DEVPATH==\"/devices/[^ ]*/$gpu\", ATTR"
variant 'v000010DEd00002684sv*sd*bc*sc*i*' nvgrace_gpu_vfio_pci
check 'and the same where VFIO has a driver of its own for such GPUs' fake "$helpers/gpuvm-vfio" --root="$root" setup
cp "$source/udev/60-gpuvm.rules" "$rule" "$work/variant"
if udevadm verify --help >/dev/null 2>&1; then
        check 'udevadm verify' udevadm verify --resolve-names=never "$work/own" "$work/absent" "$work/all" "$work/variant"
fi
# Here every function is the first of its slot.
sed -i 's/\*\.\[1-7\]/*.[0-7]/' "$work/all/70-gpuvm-vfio.rules"
# The other GPU's slot has a rule as well, for another card: it must not match.
sed "s/$gpu/$other/; s/ATTR{device}==\"0x2684\"/ATTR{device}==\"0x2204\"/" "$rule" \
        >"$work/own/71-other.rules"
sed -i 's/gpuvm_vfio/other/; /^ATTR{class}/d' "$work/own/71-other.rules"

# What udev sees of a function: the real identity of the device, a made-up rest.
card "$new" 10de 2204 030000 14 nvidia
card "$newaudio" 10de 1aef 040300 14 snd_hda_intel
for i in "${!real[@]}"; do
        device=${real[i]##*/}
        fake=$work/dev$i
        mkdir -p "$fake/iommu_group"
        cp "$root/sys/bus/pci/devices/$device"/{vendor,device,class,subsystem_vendor,subsystem_device} "$fake"
        cp "${real[i]}/uevent" "$fake/uevent"
        ln -s ../../../bus/pci "$fake/subsystem"
        printf '(null)\n' >"$fake/driver_override"
        printf '1\n' >"$fake/d3cold_allowed"
        printf '0\n' >"$fake/boot_vga"
done

cat >"$work/inside" <<'SCRIPT'
set -euo pipefail
work=$1 udevd=$2
shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p "$work/sys" "$work/rules"
mount -t sysfs sysfs "$work/sys"
for dir in /etc/udev/rules.d /run/udev/rules.d /usr/local/lib/udev/rules.d; do
        [ ! -d "$dir" ] || mount -t tmpfs tmpfs "$dir"
done
# What the distribution loads modules by has to see what the rule leaves of an event.
cp /lib/udev/rules.d/80-drivers.rules "$work/rules"
echo 'ENV{MODALIAS}=="?*", ENV{LOADS}="yes"' >"$work/rules/79-loads.rules"
mount --bind "$work/rules" "$(readlink -f /lib/udev/rules.d)"
n=0
for device; do
        mount --bind "$work/dev$n" "$device"
        n=$((n + 1))
done
export SYSTEMD_DEVICE_VERIFY_SYSFS=0

# daemon RULES WORDS: a udevd that knows nothing yet, with these rules and words on the kernel command line.
daemon() {
        rm -rf /run/udev
        mkdir /run/udev
        cp "$work/$1"/* "$work/rules"
        for device in "${devices[@]}"; do
                echo '(null)' >"$device/driver_override"
                echo 1 >"$device/d3cold_allowed"
        done
        SYSTEMD_PROC_CMDLINE="ro quiet $2" "$udevd" --daemon
}
# event ACTION DEVICE...
event() {
        for device in "${@:2}"; do
                echo "$1" >"$work/sys${device#/sys}/uevent"
        done
}
# tell TITLE: what came of it, a line for each device.
tell() {
        udevadm settle --timeout=60
        for device in "${devices[@]}"; do
                echo "$1 ${device##*/} $(udevadm info --query=property "--path=${device#/sys}" 2>/dev/null |
                        sed -n 's/^SYSTEMD_ALIAS=.*/named/p; s/^SYSTEMD_WANTS=/wants:/p; s/^LOADS=.*/loads/p; s/^CURRENT_TAGS=:systemd:$/unit/p' |
                        sort | tr '\n' ' ')$(cat "$device/driver_override")"
        done
}
finish() {
        udevadm control --exit
}
devices=("$@")

# Each way to say no, in a daemon of its own: once each is enough.
for word in no OFF False 0 n; do
        daemon all "gpuvm.bootstrap=$word"
        event add "${devices[@]}"
        tell "switched=$word"
        finish
done
daemon absent ''
event add "${devices[@]}"
tell absent
echo 1 >"${devices[3]}/boot_vga"
event add "${devices[@]}"
tell shown
echo 0 >"${devices[3]}/boot_vga"
finish
daemon own gpuvm.bootstrap=yes
start=$(date +%s%N)
for ((i = 0; i < 100; i++)); do
        event add "${devices[@]}"
done
tell own
echo "power=$(cat "${devices[@]/%//d3cold_allowed}" | paste -sd' ')"
echo "settled=$((($(date +%s%N) - start) / 1000000))"
finish
daemon all ''
event add "${devices[@]}"
tell all
# Any order, and the last word counts.
for ((i = 0; i < 20; i++)); do
        mapfile -t shuffled < <(printf '%s\n' "${devices[@]}" | shuf)
        event remove "${shuffled[@]}"
        mapfile -t shuffled < <(printf '%s\n' "${devices[@]}" | shuf)
        event add "${shuffled[@]}"
done
tell permuted
for ((i = 0; i < 100; i++)); do
        event add "${devices[0]}" "${devices[3]}"
        event remove "${devices[0]}" "${devices[3]}"
done
tell removed
finish
daemon variant ''
event add "${devices[@]}"
tell variant
echo "variantpower=$(cat "${devices[0]}/d3cold_allowed")"
finish
# The card with the console, and one without an IOMMU.
daemon all ''
echo 1 >"${devices[3]}/boot_vga"
rmdir "${devices[0]}/iommu_group"
event add "${devices[@]}"
tell console
finish

# A bridge of this namespace, a link that is none, and, where the kernel has modules, one in the part of br_netfilter and
# another.
mount -t sysfs sysfs /sys
modules=()
for module in /sys/module/*; do
        [ ! -e "$module/uevent" ] || modules+=("$module")
done
[ ${#modules[@]} -lt 2 ] || sed -i "s/br_netfilter/${modules[0]##*/}/" "$work"/all/60-gpuvm.rules
daemon all ''
ip link add gpuvm-b type bridge
for path in /sys/devices/virtual/net/lo "${modules[@]:0:2}"; do
        echo add >"$path/uevent"
done
udevadm settle --timeout=60
for path in /devices/virtual/net/{gpuvm-b,lo} "${modules[@]:0:2}"; do
        echo "forward $(udevadm info --query=property "--path=${path#/sys}" | sed -n 's/^SYSTEMD_WANTS=//p; s/^CURRENT_TAGS=:systemd:$/unit/p' | sort | xargs)"
done
finish
SCRIPT
# shellcheck disable=SC2016 # for the shell inside
check 'udevd with a hundred events for each' unshare -mnp --fork timeout 300 bash -c 'bash "$@" >"$0/out" 2>"$0/err"' \
        "$work" "$work/inside" "$work" "$udevd" "${real[@]}"
[ ! -s "$work/err" ] || diag "$(cat "$work/err")"

# told TITLE: what came of it, without the title.
told() {
        sed -n "s/^$1 //p" "$work/out"
}
untouched=$(for device in "$gpu" "$audio" "$other" "$new" "$newaudio"; do
        case $device in "$gpu" | "$other" | "$new") echo "$device loads named unit (null)" ;; *) echo "$device loads (null)" ;; esac
done)
for word in no OFF False 0 n; do
        is "gpuvm.bootstrap=$word: no card is touched" "$(told "switched=$word")" "$untouched"
done
settled=$(sed -n 's/^settled=//p' "$work/out")
diag "settled in ${settled:-?} ms"
check 'they settle within ten seconds' test "${settled:-99999}" -lt 10000
is 'one exclusive: it wants its unit and goes to VFIO with its audio, without a host driver being loaded for it; nobody else' \
        "$(told own)" "$gpu named unit wants:gpuvm-vfio@$gpu.service vfio-pci
$audio vfio-pci
$other loads named unit (null)
$new loads named unit (null)
$newaudio loads (null)"
is 'a section of a card that was not there: it goes when it comes, and nobody else' "$(told absent | grep vfio-pci)" \
        "$new named unit wants:gpuvm-vfio@$new.service vfio-pci"
like 'but not when it has the console' "$(told shown | grep -F "$new ")" '^[^ ]* loads named unit'
is 'both keep their power' "$(sed -n 's/^power=//p' "$work/out")" '0 0 1 1 1'
all="$gpu named unit wants:gpuvm-vfio@$gpu.service vfio-pci
$audio vfio-pci
$other loads named unit (null)
$new named unit wants:gpuvm-vfio@$new.service vfio-pci
$newaudio vfio-pci"
is 'all but one exclusive: a card that was never seen goes as well, with its audio function' "$(told all)" "$all"
is 'a GPU that VFIO has a driver for gets that, its audio function not' "$(told variant | head -n 2)" \
        "$gpu named unit wants:gpuvm-vfio@$gpu.service nvgrace_gpu_vfio_pci
$audio vfio-pci"
is 'and keeps its power as well' "$(sed -n 's/^variantpower=//p' "$work/out")" 0
is 'whatever the order' "$(told permuted)" "$all"
is 'a hundred times put in and pulled out: the last event counts' "$(told removed | sed -n '1p;4p')" "$gpu vfio-pci
$new vfio-pci"
is 'never the card with the console, nor one without an IOMMU' "$(told console | sed -n '1p;4p')" \
        "$gpu loads named unit (null)
$new loads named unit (null)"
# systemd's own rule makes a unit of each link.
is 'a bridge wants the unit that lets VMs through, another link does not' "$(told forward | head -n 2 | xargs -d '\n' printf '%s|')" \
        'gpuvm-bridge-forward.service unit||'
if [ "$(told forward | wc -l)" -gt 2 ]; then
        is 'so does the module that filters what goes over it, and no other' "$(told forward | tail -n +3 | xargs -d '\n' printf '%s|')" \
                'gpuvm-bridge-forward.service unit||'
fi
done_testing
