#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-vfio on machines whose PCI bus behaves: vfio.sh DIRECTORY-OF-HELPERS FAKESYS HOSTS
#
# Errors and a SIGKILL at each single write; afterwards one more run has to finish or restore.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helper=$1/gpuvm-vfio fakesys=$2 hosts=$3
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=fakebus.sh
. "$(dirname "$0")/fakebus.sh"

gpu=0000:01:00.0 audio=0000:01:00.1 twin=0000:02:00.0 nic=0000:03:00.0

# One card with audio on the host's drivers, and its twin.
usual() {
        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $audio 10de 22ba 040300 12 snd_hda_intel
        card $twin 10de 2684 030000 13 nvidia
        state >"$work/before"
}

vfio() {
        local status=0

        fake "$helper" --root="$root" "$@" || status=$?
        # For the one who reads why a check has failed.
        [ "$status" -eq 0 ] || said >&2
        return "$status"
}

# prepared VERB: a step on the way to what is tested.
prepared() {
        vfio "$1" $gpu || { not_ok "$1 on the way" "$(said)"; return 1; }
}

same() {
        state | diff "$work/before" - >"$work/diff" || { diag "$(cat "$work/diff")"; return 1; }
}

attached() {
        [ "$(driver $gpu) $(driver $audio)" = 'vfio-pci vfio-pci' ]
}

# refused NAME PATTERN VERB ADDRESS: exit status 1, for that reason, with nothing written.
refused() {
        local status=0

        vfio "${@:3}" 2>/dev/null || status=$?
        is "$1: exit status" "$status" 1
        like "$1: the reason" "$(said)" "$2"
        is "$1: nothing was written" "$(writes)" 0
}

# --- there and back
usual
check 'attach' vfio attach $gpu
is 'the GPU is on VFIO' "$(driver $gpu)" vfio-pci
is 'so is its audio function' "$(driver $audio)" vfio-pci
is 'the twin is not' "$(driver $twin) $(override $twin)" 'nvidia (null)'
is 'nothing but override, unbind and probe was written' \
        "$(sed -n 's/^write //p' "$log" | sed -E 's/[0-9a-f:]{10}\.[0-9]/A/g' | LC_ALL=C sort | uniq -c | sed 's/^ *//')" \
        "2 devices/A/driver_override vfio-pci
1 drivers/nvidia/unbind A
1 drivers/snd_hda_intel/unbind A
2 drivers_probe A"
check 'attach again' vfio attach $gpu
is 'writes nothing at all' "$(cat "$log")" ''
check 'detach' vfio detach $gpu
check 'restores everything' same
check 'and its record is gone' test ! -e "$root/run/gpuvm/vfio/$gpu"
check 'detach again' vfio detach $gpu
is 'writes nothing' "$(writes)" 0

# --- a module that is loaded takes what is free, before anybody is asked
prepared attach
export FAKESYS_EAGER=1
check 'detach where the driver comes by itself' vfio detach $gpu
check 'is done' same
unset FAKESYS_EAGER
prepared attach
mkdir "$root/sys/bus/pci/drivers/nouveau"
echo 'nouveau nvidia' >"$root/sys/bus/pci/devices/$gpu/fake_drivers"
export FAKESYS_EAGER=1
check_fails 'another that comes by itself is none' 1 vfio detach $gpu
is 'and is seen' "$(driver $gpu)" nouveau
unset FAKESYS_EAGER

usual
rm "$root/sys/bus/pci/devices/$audio/driver" "$root/sys/bus/pci/drivers/snd_hda_intel/$audio"
echo PCI_CLASS=40300 >"$root/sys/bus/pci/devices/$audio/uevent"
echo pci-stub >"$root/sys/bus/pci/devices/$audio/driver_override"
state >"$work/before"
check 'attach of a function without a driver' vfio attach $gpu
check 'took it along' attached
check 'detach' vfio detach $gpu
check 'leaves it without one, and with its override' same

usual
check 'a dry run' vfio --dry-run attach $gpu
like 'says what it would do' "$(said)" "would bind $gpu: from nvidia to vfio-pci"
is 'and changes nothing' "$(cat "$log")$(find "$root/run" -mindepth 1)" ''

# --- bound at boot by the early rule
# bound_early FUNCTION...: as that leaves them.
bound_early() {
        local function

        for function; do
                rm "$root/sys/bus/pci/drivers/$(driver "$function")/$function"
                ln -sfn /sys/bus/pci/drivers/vfio-pci "$root/sys/bus/pci/devices/$function/driver"
                ln -s "/sys/bus/pci/devices/$function" "$root/sys/bus/pci/drivers/vfio-pci/$function"
                echo vfio-pci >"$root/sys/bus/pci/devices/$function/driver_override"
                [ ! -e "$root/sys/bus/pci/devices/$function/d3cold_allowed" ] ||
                        echo 0 >"$root/sys/bus/pci/devices/$function/d3cold_allowed"
        done
}
usual
for function in $gpu $audio; do echo 1 >"$root/sys/bus/pci/devices/$function/d3cold_allowed"; done
state >"$work/before"
bound_early $gpu $audio
check 'attach of what was bound at boot' vfio attach $gpu
is 'writes nothing' "$(writes)" 0
check 'detach without a record' vfio detach $gpu
check 'gives it to the host driver' same

# meant_early DRIVER FUNCTION...: the rule came when that driver was there already, or is not there at all: nobody took them.
meant_early() {
        local function

        for function in "${@:2}"; do
                rm "$root/sys/bus/pci/devices/$function/driver" "$root/sys/bus/pci/drivers/"*"/$function"
                echo PCI_CLASS=30000 >"$root/sys/bus/pci/devices/$function/uevent"
                echo "$1" >"$root/sys/bus/pci/devices/$function/driver_override"
        done
}
usual
bound_early $gpu
meant_early vfio-pci $audio
state >"$work/early"
check 'attach of a GPU whose audio function the rule came too late for' vfio attach $gpu
check 'takes both' attached
check 'detach' vfio detach $gpu
check 'gives both to the host' same
for ((n = 1; n < 60; n++)); do
        usual
        bound_early $gpu
        meant_early vfio-pci $audio
        status=0
        FAKESYS_KILL_AT=$n vfio attach $gpu 2>/dev/null || status=$?
        [ "$status" -ne 0 ] || break
        EXIT_CODE=killed EXIT_STATUS=KILL check "the start of that killed at change $n, then settle" vfio settle $gpu
        is "killed at change $n: no driver of the host has seen it" "$(state | diff "$work/early" - || true)" ''
done
check 'each change of it was cut' test "$n" -gt 3

# Killed on the way back, with nothing that a start had recorded.
for next in attach detach settle; do
        for ((n = 1; n < 60; n++)); do
                usual
                echo 1 >"$root/sys/bus/pci/devices/$gpu/d3cold_allowed"
                state >"$work/before"
                bound_early $gpu $audio
                status=0
                FAKESYS_KILL_AT=$n vfio detach $gpu 2>/dev/null || status=$?
                [ "$status" -ne 0 ] || break
                EXIT_CODE=exited EXIT_STATUS=0 SERVICE_RESULT=signal \
                        check "detach after a boot killed at change $n, then $next" vfio $next $gpu
                [ $next != settle ] || [ "$(driver $gpu) $(driver $audio)" != 'vfio-pci vfio-pci' ] || continue
                if [ $next = attach ]; then
                        check "killed at change $n, attach: attached" attached
                        is "killed at change $n, attach: with its power" "$(cat "$root/sys/bus/pci/devices/$gpu/d3cold_allowed")" 0
                        prepared detach
                fi
                check "killed at change $n, $next: the host has it" same
                check "killed at change $n, $next: no record stays" test ! -e "$root/run/gpuvm/vfio/$gpu"
        done
        check "each change was cut before $next" test "$n" -gt 8
done

# The host uses what is back before the rest is: that one has gone its way.
for next in detach settle; do
        used=0
        for ((n = 1; n < 60; n++)); do
                usual
                mkdir -p "$root"/{sys/bus/pci/devices/$gpu/drm/card7,proc/77/fd,dev}
                echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
                echo viewer >"$root/proc/77/comm"
                : >"$root/proc/77/maps"
                ln -s /dev/zero "$root/dev/zero"
                state >"$work/before"
                bound_early $gpu $audio
                status=0
                FAKESYS_KILL_AT=$n vfio detach $gpu 2>/dev/null || status=$?
                [ "$status" -ne 0 ] || break
                [ "$(driver $gpu) $(driver $audio)" = 'nvidia vfio-pci' ] || continue
                ln -s "$root/dev/zero" "$root/proc/77/fd/3"
                used=$((used + 1))
                EXIT_CODE=exited EXIT_STATUS=0 SERVICE_RESULT=signal \
                        check "detach killed at change $n, $next with the GPU in use by the host" vfio $next $gpu
                check "killed at change $n, $next: the host has all" same
        done
        check "some of the changes left it so before $next" test "$used" -gt 0
done

# Bound before anybody knew the groups, and this one may not go: the host gets back what no VM can have.
# may_not_go MODE: of the GPU, which shares its group with a network card in use.
may_not_go() {
        usual
        card $nic 8086 1572 020000 12 i40e
        state >"$work/before"
        bound_early $gpu $audio
        printf '[Gpu %s]\nMode=%s\n' $gpu "$1" >"$root/etc/gpuvm.conf"
}
may_not_go exclusive
refused 'bound at boot, in a group that may not go' "$nic.*i40e" attach $gpu
check 'what comes after that' vfio settle $gpu
check 'gives it back to the host' same
like 'and says so' "$(said)" "GPU $gpu is with the host again"
check 'settle again' vfio settle $gpu
is 'has nothing to do' "$(writes)" 0
check_fails 'setup' 1 vfio setup
like 'says the truth' "$(said)" "$gpu is exclusive, but stays with the host: .*$nic"
check 'and leaves it there' same
# Where nobody has seen to that yet.
may_not_go exclusive
check_fails 'setup while VFIO has it' 1 vfio setup
like 'says that' "$(said)" "$gpu is exclusive, but cannot be given to a VM, though VFIO has it: .*$nic"
vfio attach $gpu 2>/dev/null || true
rm "$root/etc/gpuvm.conf"
check 'setup after the mode went back, and no start has succeeded' vfio setup
check 'gives it to the host' same
check 'and forgets it' test ! -e "$root/run/gpuvm/exclusive/$gpu"
# A group that may go, and a start that failed for another reason: no driver of the host is to see an exclusive GPU.
usual
printf '[Gpu %s]\nMode=exclusive\n' $gpu >"$root/etc/gpuvm.conf"
echo 2 >"$root/sys/bus/pci/devices/$audio/sriov_numvfs"
state >"$work/before"
bound_early $gpu
refused 'bound at boot, and its audio function is in use' 'has 2 virtual functions' attach $gpu
check 'what comes after that' vfio settle $gpu
is 'leaves it' "$(writes) $(driver $gpu)" '0 vfio-pci'
rm "$root/etc/gpuvm.conf"
check 'setup after the mode went back' vfio setup
check 'gives that one to the host as well' same
# What the rule came too late for has no driver, and is not to have the host's: neither may that stay so where the group may not go.
for late in "$audio" "$gpu $audio"; do
        may_not_go exclusive
        # shellcheck disable=SC2086 # a list
        meant_early vfio-pci $late
        refused "meant by the rule, which came too late for $late" "$nic.*i40e" attach $gpu
        check 'what comes after that' vfio settle $gpu
        check "gives $late back as well" same
done
may_not_go flexible
meant_early vfio-pci $gpu $audio
refused 'no driver, by an override of somebody else' "$nic.*i40e" attach $gpu
check 'what comes after that' vfio settle $gpu
is 'leaves what was not ours' "$(writes)" 0
usual
printf '[Gpu %s]\nMode=exclusive\n' $gpu >"$root/etc/gpuvm.conf"
echo 2 >"$root/sys/bus/pci/devices/$audio/sriov_numvfs"
state >"$work/before"
meant_early nvgrace_gpu_vfio_pci $gpu
refused 'meant by the rule, and its audio function is in use' 'has 2 virtual functions' attach $gpu
check 'what comes after that' vfio settle $gpu
is 'leaves it' "$(writes) $(driver $gpu)" '0 none'
rm "$root/etc/gpuvm.conf"
check 'setup after the mode went back' vfio setup
check 'gives that one to the host as well' same
# The start was for the other GPU of the group.
other=0000:04:00.0
usual
card $other 10de 2684 030000 12 nvidia
card $nic 8086 1572 020000 12 i40e
state >"$work/before"
bound_early $other
printf '[Gpu %s]\nMode=exclusive\n' $other >"$root/etc/gpuvm.conf"
refused 'bound at boot, and not the owner of its group' "$nic.*i40e" attach $other
check 'what comes after that' vfio settle $other
is 'is for the owner' "$(writes)" 0
check 'what comes after the start of that' vfio settle $gpu
check 'gives it back' same
# Who else may have bound it.
may_not_go flexible
refused 'a flexible GPU that is on VFIO' "$nic.*i40e" attach $gpu
check 'what comes after that' vfio settle $gpu
is 'leaves what was not ours' "$(writes)" 0
check 'so does setup' vfio setup
is 'which writes nothing' "$(writes) $(driver $gpu)" '0 vfio-pci'
for claim in etc/driverctl.d/pci-$gpu=vfio-pci etc/modprobe.d/vfio.conf='options vfio-pci ids=10de:22ba,10de:2684' \
        proc/cmdline='quiet vfio-pci.ids=10DE:2684:1458:1458'; do
        may_not_go exclusive
        mkdir -p "$root/$(dirname "${claim%%=*}")"
        echo "${claim#*=}" >"$root/${claim%%=*}"
        refused "claimed in ${claim%%=*}" "$nic.*i40e" attach $gpu
        check 'what comes after that' vfio settle $gpu
        is "leaves what ${claim%%=*} wants" "$(writes)" 0
        rm "$root/etc/gpuvm.conf"
        check 'so does setup' vfio setup
        is "which leaves what ${claim%%=*} wants" "$(writes) $(driver $gpu)" '0 vfio-pci'
done

# --- a VFIO driver of its own
own=nvgrace_gpu_vfio_pci
usual
variant 'v000010DEd00002684sv*sd*bc*sc*i*' $own
state >"$work/before"
check 'attach of a GPU that VFIO has a driver for' vfio attach $gpu
is 'it has that, its audio function the one for all' "$(driver $gpu) $(driver $audio)" "$own vfio-pci"
check 'attach again' vfio attach $gpu
is 'writes nothing' "$(writes)" 0
check 'detach' vfio detach $gpu
check 'restores everything' same
printf '[Gpu %s]\nMode=exclusive\n' $gpu >"$root/etc/gpuvm.conf"
check 'setup with that GPU exclusive' vfio setup
is 'binds it to the same' "$(driver $gpu) $(driver $audio) $(driver $twin)" "$own vfio-pci nvidia"
rule=$root/etc/udev/rules.d/70-gpuvm-vfio.rules
is 'as the rule will' "$(sed -n 's/.*ATTR{driver_override}="\([^"]*\)".*kmod load \([^"]*\)".*/\1 \2/p' "$rule")" "$own $own
vfio-pci vfio-pci"
is 'and systemd-modules-load will not miss it' "$(grep -v '^#' "$root/etc/modules-load.d/gpuvm.conf")" vfio-pci
rm "$root/etc/gpuvm.conf"
check 'setup with it flexible again' vfio setup
check 'gives it back' same
mkdir -p "$root/run/modprobe.d"
echo "blacklist $own" >"$root/run/modprobe.d/local.conf"
check 'attach where the administrator does not want that driver' vfio attach $gpu
check 'takes the one for all' attached
check 'detach' vfio detach $gpu
check 'restores everything again' same
# Another kernel, which has no such driver, under the same rule.
usual
meant_early $own $gpu
meant_early vfio-pci $audio
check 'attach where the kernel lacks the driver that the rule names' vfio attach $gpu
check 'takes the one for all' attached
check 'detach' vfio detach $gpu
check 'gives it to the host' same

# --- refusals
usual
card $nic 8086 1572 020000 12 i40e
refused 'a network card in the group' "$nic.*i40e" attach $gpu
printf '[Gpu]\nAcceptSiblings=%s\n' $nic >"$root/etc/gpuvm.conf"
state >"$work/before"
check 'accepted by the administrator' vfio attach $gpu
is 'it goes along' "$(driver $nic)" vfio-pci
rm "$root/etc/gpuvm.conf"
check 'and comes back also when no longer accepted' vfio detach $gpu
check 'to its driver' same

# The kernel counts who has a device of a driver open: nobody, and no process is asked; somebody, and all are.
usual
printf 'Device Minor: 0\n' | install -D /dev/stdin "$root/proc/driver/nvidia/gpus/$gpu/information"
mkdir -p "$root"/proc/77/fd "$root"/sys/module/{nvidia,snd_hda_intel}/holders "$root"/sys/module/nvidia_uvm
echo 1 >"$root/sys/module/nvidia/refcnt"
echo 0 | tee "$root/sys/module/nvidia_uvm/refcnt" >"$root/sys/module/snd_hda_intel/refcnt"
ln -s /sys/module/nvidia_uvm "$root/sys/module/nvidia/holders/nvidia_uvm"
echo viewer >"$root/proc/77/comm"
mknod "$work/nvidia0" c 195 0
ln -sfn "$work/nvidia0" "$root/proc/77/fd/3"
state >"$work/before"
check 'attach while the count is that of the modules' vfio attach $gpu
is 'asks no process' "$(driver $gpu)" vfio-pci
check 'detach' vfio detach $gpu
check 'gives it back' same
echo 2 >"$root/sys/module/nvidia/refcnt"
refused 'one more' 'viewer \(pid 77.*/dev/nvidia0' attach $gpu

# What the kernel itself does with an accepted one is use as well.
usual
card $nic 8086 1572 020000 12 i40e
disk=0000:04:00.0
card $disk 144d a808 010802 12 nvme
printf '[Gpu]\nAcceptSiblings=%s %s\n' $nic $disk >"$root/etc/gpuvm.conf"
mkdir -p "$root"/sys/{class/net,class/block,devices/pci0000:00/$nic/net/eth5,devices/pci0000:00/$disk/nvme/nvme0/nvme0n1/holders/dm-3}
ln -s "../../devices/pci0000:00/$nic/net/eth5" "$root/sys/class/net/eth5"
ln -s "../../devices/pci0000:00/$disk/nvme/nvme0/nvme0n1" "$root/sys/class/block/nvme0n1"
echo 0x1003 >"$root/sys/devices/pci0000:00/$nic/net/eth5/flags"
refused 'accepted ones that are in use' "$gpu is in use: the interface eth5 is up; nvme0n1 is part of dm-3" attach $gpu
echo 0x1002 >"$root/sys/devices/pci0000:00/$nic/net/eth5/flags"
rmdir "$root/sys/devices/pci0000:00/$disk/nvme/nvme0/nvme0n1/holders/dm-3"
check 'attach once they are idle' vfio attach $gpu
is 'takes them along' "$(driver $gpu) $(driver $nic) $(driver $disk)" 'vfio-pci vfio-pci vfio-pci'

# What the host needs is never offered.
usual
card $disk 144d a808 010802 12 nvme
mkdir -p "$root"/sys/class/block "$root"/proc
ln -s "../../devices/pci0000:00/$disk/nvme/nvme0/nvme0n1" "$root/sys/class/block/nvme0n1"
printf 'Filename Type Size Used Priority\n/dev/nvme0n1 partition 8 0 -2\n' >"$root/proc/swaps"
refused "the host's own disk in the group" "$disk, the disk with swap space, which the host needs itself\\. " attach $gpu

# --- functions of one card in IOMMU groups of their own (pcie_acs_override=)
# apart: the card's audio and USB in groups of their own, with the driver for its USB.
usb=0000:01:00.2
apart() {
        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $audio 10de 22ba 040300 14 snd_hda_intel
        card $usb 10de 1ada 0c0330 15 xhci_hcd
        card 0000:01:00.3 1022 15e7 0c0330 16 xhci_hcd
        card $twin 10de 2684 030000 13 nvidia
        state >"$work/before"
}
apart
check 'attach of a card in several groups' vfio attach $gpu
is 'takes all of it, and nothing that another maker put into the slot' \
        "$(for d in $gpu $audio $usb 0000:01:00.3 $twin; do driver "$d"; echo; done | paste -sd' ')" 'vfio-pci vfio-pci vfio-pci xhci_hcd nvidia'
check 'attach again' vfio attach $gpu
is 'writes nothing' "$(writes)" 0
check 'detach' vfio detach $gpu
check 'restores all' same
check 'and no record stays' test ! -e "$root/run/gpuvm/vfio/$gpu"
for ((n = 1; n <= 9; n++)); do
        apart
        FAKESYS_FAIL_AT=$n:16 check_fails "attach of several groups with an error at write $n" 1 vfio attach $gpu
        check "error at write $n: all groups were put back" same
done
# The first uevents of a card: one of its functions is not there yet.
apart
rm -r "$root/sys/bus/pci/devices/$usb" "$root/sys/devices/pci0000:00/$usb" "$root/sys/kernel/iommu_groups/15"
mkdir -p "$root/run/udev"
: >"$root/run/udev/queue"
(
        sleep 1
        card $usb 10de 1ada 0c0330 15 xhci_hcd
        rm "$root/run/udev/queue"
) &
check 'attach while a function with its own group is still coming up' vfio attach $gpu
wait $!
is 'takes it along' "$(driver $usb)" vfio-pci
# What is in the way of one is in the way of all.
apart
card $nic 8086 1572 020000 14 i40e
refused 'a network card beside the audio function' \
        "IOMMU group 14, where another function of the card is, holds $nic, a network card in use by the host's driver i40e" attach $gpu
mkdir -p "$root"/{sys/class/net,sys/devices/pci0000:00/$nic/net/eth0,proc/self/net}
ln -s "../../devices/pci0000:00/$nic/net/eth0" "$root/sys/class/net/eth0"
printf 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n' \
        >"$root/proc/self/net/route"
state >"$work/before"
printf '[Gpu %s]\nMode=exclusive\nAcceptSiblings=%s\n' $gpu $nic >"$root/etc/gpuvm.conf"
refused 'the uplink there, which nobody may accept' "$nic, the network card of the default route" attach $gpu
check_fails 'setup with that GPU exclusive' 1 vfio setup
like 'says why' "$(said)" "$gpu is exclusive, but stays with the host: IOMMU group 14, .*$nic, the network card of the default route"
check 'and leaves everything' same
check 'also at boot' test ! -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
# One that comes up with its route while the start waits for the rest of the card, in a group that was harmless.
apart
printf '[Gpu]\nAcceptSiblings=%s\n' $nic >"$root/etc/gpuvm.conf"
mkdir -p "$root/run/udev"
: >"$root/run/udev/queue"
(
        sleep 1
        card $nic 8086 1572 020000 14 i40e
        mkdir -p "$root"/{sys/class/net,sys/devices/pci0000:00/$nic/net/eth0,proc/self/net}
        ln -s "../../devices/pci0000:00/$nic/net/eth0" "$root/sys/class/net/eth0"
        printf 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n' \
                >"$root/proc/self/net/route"
        rm "$root/run/udev/queue"
) &
refused 'an accepted uplink that comes late' "$nic, the network card of the default route" attach $gpu
wait $!
is 'and stays what it is' "$(driver $nic) $(driver $gpu)" 'i40e nvidia'
# The phase, its rule, and back.
apart
printf '[Gpu %s]\nMode=exclusive\n' $gpu >"$root/etc/gpuvm.conf"
check 'setup with a card in several groups exclusive' vfio setup
is 'binds all of it' "$(driver $gpu) $(driver $audio) $(driver $usb)" 'vfio-pci vfio-pci vfio-pci'
is 'as the rule will' "$(grep -o '^DEVPATH=="[^"]*"' "$root/etc/udev/rules.d/70-gpuvm-vfio.rules" | grep -o '0000:01:00\..' | paste -sd' ')" "$gpu $audio $usb"
rm "$root/etc/gpuvm.conf"
check 'setup with it flexible again' vfio setup
check 'gives all of it back' same

# --- the only console of the machine, which a look at the group alone does not show
usual
echo 1 >"$root/sys/bus/pci/devices/$gpu/boot_vga"
state >"$work/before"
refused 'the only console' "$gpu, the only console of this machine, which the host needs itself \(AcceptSiblings=$gpu gives it away\)" attach $gpu
like 'the only console: the remedy' "$(said)" "name the GPU's own address in AcceptSiblings="
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
check_fails 'setup where one of two exclusive GPUs shows it' 1 vfio setup
like 'leaves that with the host' "$(said)" "$gpu is exclusive, but stays with the host: .* \(AcceptSiblings=$gpu gives it away\)"
is 'and does not touch it' "$(driver $gpu) $(override $gpu) $(driver $audio) $(driver $twin)" 'nvidia (null) snd_hda_intel vfio-pci'
printf '[Gpu %s]\nAcceptSiblings=%s\n' $gpu $gpu >"$root/etc/gpuvm.conf"
check 'attach with consent' vfio attach $gpu
check 'takes it' attached
usual
echo 1 >"$root/sys/bus/pci/devices/$gpu/boot_vga"
card 0000:00:02.0 1002 164e 030000 1 vfio-pci
refused 'another display that is with VFIO does not help' 'the only console' attach $gpu
on_driver 0000:00:02.0 amdgpu
check 'attach where the host has another display, in a group of its own' vfio attach $gpu
check 'takes it' attached
usual
echo 1 >"$root/sys/bus/pci/devices/$gpu/boot_vga"
echo 'ttyS0 -W- (EC p a) 4:64' >"$root/proc/consoles"
check 'attach where there is a serial console' vfio attach $gpu
check 'takes it' attached

usual
echo 2 >"$root/sys/bus/pci/devices/$gpu/sriov_numvfs"
refused 'virtual functions' 'has 2 virtual functions' attach $gpu
refused 'no such device' 'There is no PCI device 0000:09:00.0' attach 0000:09:00.0
check 'detach of a device that is gone is done' vfio detach 0000:09:00.0
refused 'an audio function is no GPU' 'is no GPU' attach $audio
rm "$root"/sys/devices/pci0000:00/*/iommu_group
refused 'no IOMMU group' 'in no IOMMU group' attach $gpu
check_fails 'a bad address is bad usage' 2 vfio attach 01:00.0
check_fails 'so is an unknown verb' 2 vfio bind $gpu

usual
rm -r "$root/sys/bus/pci/drivers/vfio-pci"
: >"$root/proc/modules"
refused 'no vfio-pci in this kernel' 'Cannot load the kernel module vfio-pci' attach $gpu

# --- somebody uses it: a real process, with a node under a name of its own
usual
mkdir -p "$root/sys/bus/pci/devices/$gpu/drm/card7" "$work/nodes"
echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
if mknod "$work/nodes/some name" c 1 5 2>/dev/null && unshare -m true 2>/dev/null; then
        state >"$work/before"
        sleep 600 9<"$work/nodes/some name" &
        holder=$!
        at_exit bash -c "kill $holder 2>/dev/null || true"
        until [ "$(<"/proc/$holder/comm")" = sleep ]; do
                sleep 0.05
        done
        mkdir "$root/proc/$holder"
        # shellcheck disable=SC2016 # for the shell inside
        inside() {
                fake unshare -m bash -c 'mount --bind "/proc/$1" "$2/proc/$1" && exec "${@:3}"' bash "$holder" "$root" \
                        "$helper" --root="$root" "$@"
        }
        check_fails 'a GPU in use is refused' 1 inside attach $gpu
        like 'with who uses it' "$(said)" "sleep \(pid $holder, uid 0.*\) has drm/card7 open"
        is 'and nothing written' "$(writes)" 0
        check 'its twin is free' inside attach $twin
        check 'and goes back' inside detach $twin
        printf '[Gpu]\nIdleWaitSec=90\n' >"$root/etc/gpuvm.conf"
        : >"$work/said"
        (
                for _ in {1..600}; do
                        ! grep -q 'Waiting until' "$work/said" || break
                        sleep 0.1
                done
                kill "$holder"
        ) &
        check 'one that ends while we wait' inside --verbose attach $gpu
        check 'is waited for' attached

        usual
        mkdir -p "$root/sys/bus/pci/devices/$gpu/drm/card7"
        echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
        printf '[Gpu]\nIdleWaitSec=60\n' >"$root/etc/gpuvm.conf"
        sleep 600 9<"$work/nodes/some name" &
        holder=$!
        at_exit bash -c "kill $holder 2>/dev/null || true"
        until [ "$(<"/proc/$holder/comm")" = sleep ]; do
                sleep 0.05
        done
        mkdir "$root/proc/$holder"
        state >"$work/before"
        start=$SECONDS status=0
        : >"$work/said"
        inside --verbose attach $gpu &
        until grep -q 'Waiting until' "$work/said" || [ $((SECONDS - start)) -ge 30 ]; do
                sleep 0.1
        done
        pkill -TERM -f "^$helper --root=$root --verbose attach" || true
        wait "$!" || status=$?
        is 'told to end while it waits: fails by itself' "$status" 1
        check 'soon' test $((SECONDS - start)) -lt 50
        check 'and all is as before' same
        kill "$holder"
else
        skip 'a GPU in use is refused' 'needs root and namespaces'
fi

# --- VFIO's group is open in the kernel, and no process shows it. As a node of its own: that of /dev/null
usual
mkdir -p "$root/sys/class/vfio/12" "$root/dev/vfio"
echo 1:3 >"$root/sys/class/vfio/12/dev"
if mknod "$root/dev/vfio/12" c 1 3 2>/dev/null; then
        state >"$work/before"
        prepared attach
        is 'a group is looked at and not opened for show' "$(FAKESYS_BUSY=99:dev/vfio/12 vfio --dry-run detach $gpu 2>&1; echo $?)" 0
        FAKESYS_BUSY=99:dev/vfio/12 refused 'a group that somebody has' "$gpu is in use: its VFIO group is open in the kernel, and no process shows it" detach $gpu
        check 'it stays on VFIO' attached
        FAKESYS_HANG=dev/vfio/12 refused 'a group whose lock somebody has' "$gpu is in use: its VFIO group is open in the kernel" \
                --write-timeout=1 detach $gpu
        is 'which is no reason to give up the GPU' "$(find "$root/run/gpuvm/poisoned" -type f 2>/dev/null)" ''
        FAKESYS_BUSY=1:dev/vfio/12 check 'one who left meanwhile is none' vfio detach $gpu
        check 'it is back' same
        prepared attach
        FAKESYS_BUSY=3:dev/vfio/12 check 'nor is one who lets go a moment later' vfio detach $gpu
        check 'then it is back' same
else
        skip 'a group that somebody has' 'needs device nodes'
fi

# --- somebody comes after the first look: the node can be reached only once the record is there
usual
mkdir -p "$root/sys/bus/pci/devices/$gpu/drm/card7" "$root/proc/77/fd"
echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
echo late >"$root/proc/77/comm"
: >"$root/proc/77/maps"
ln -s "$root/run/gpuvm/vfio/../../../dev/zero" "$root/proc/77/fd/3"
mkdir "$root/dev"
ln -s /dev/zero "$root/dev/zero"
state >"$work/before"
refused 'a GPU that comes into use meanwhile' 'late \(pid 77, .*\) has drm/card7 open' attach $gpu
check 'all is as before' same
check 'and no record stays' test ! -e "$root/run/gpuvm/vfio/$gpu"
check 'which had been made' test -d "$root/run/gpuvm/vfio"

# --- a card comes up function by function: .1 is not there yet, and udev still has something in hand
machine
card $gpu 10de 2684 030000 12 nvidia
mkdir -p "$root/run/udev"
: >"$root/run/udev/queue"
(
        sleep 1
        card $audio 10de 22ba 040300 12 snd_hda_intel
        rm "$root/run/udev/queue"
) &
check 'attach while the card is still coming up' vfio attach $gpu
wait $!
check 'takes along what came later' attached

# --- each write fails once
attach_writes=6 detach_writes=6
for error in 16 19 22; do
        for ((n = 1; n <= attach_writes; n++)); do
                usual
                export FAKESYS_FAIL_AT=$n:$error
                check_fails "attach with error $error at write $n" 1 vfio attach $gpu
                unset FAKESYS_FAIL_AT
                check "error $error at write $n: all was put back" same
                check "error $error at write $n: no record stays" test ! -e "$root/run/gpuvm/vfio/$gpu"
        done
        for ((n = 1; n <= detach_writes; n++)); do
                usual
                prepared attach
                export FAKESYS_FAIL_AT=$n:$error
                check_fails "detach with error $error at write $n" 1 vfio detach $gpu
                unset FAKESYS_FAIL_AT
                check "error $error at write $n: once more" vfio detach $gpu
                check "error $error at write $n: restores" same
        done
done
usual
export FAKESYS_FAIL_AT=$((attach_writes + 1)):16
check 'attach makes no more writes than were tried' vfio attach $gpu
check 'nor does detach' vfio detach $gpu
unset FAKESYS_FAIL_AT

usual
: >"$root/sys/bus/pci/drivers/vfio-pci/fake_refuses"
state >"$work/before"
check_fails 'VFIO does not take it, silently' 1 vfio attach $gpu
check 'put back' same

# --- killed before each change
killed=0
for ((n = 1; n < 60; n++)); do
        for next in attach detach; do
                usual
                status=0
                FAKESYS_KILL_AT=$n vfio attach $gpu || status=$?
                [ "$status" -ne 0 ] || break 2
                killed=$((killed + 1))
                check "attach killed at change $n, then $next" vfio "$next" $gpu
                [ "$next" = detach ] || check "attach killed at change $n: completed" attached
                [ "$next" = detach ] || prepared detach
                check "attach killed at change $n, $next: restored" same
        done
done
diag "$killed cuts"
check 'every change of attach was cut' test "$killed" -ge $((2 * attach_writes))
killed=0
for ((n = 1; n < 60; n++)); do
        for next in detach attach; do
                usual
                prepared attach
                status=0
                FAKESYS_KILL_AT=$n vfio detach $gpu || status=$?
                [ "$status" -ne 0 ] || break 2
                killed=$((killed + 1))
                check "detach killed at change $n, then $next" vfio "$next" $gpu
                [ "$next" = detach ] || check "detach killed at change $n: attached" attached
                [ "$next" = detach ] || prepared detach
                check "detach killed at change $n, $next: restored" same
        done
done
check 'every change of detach was cut' test "$killed" -ge $((2 * detach_writes))

# --- killed at each change, and then what comes after the unit has stopped, told so by systemd
for ((n = 1; n < 60; n++)); do
        usual
        status=0
        FAKESYS_KILL_AT=$n vfio attach $gpu 2>/dev/null || status=$?
        [ "$status" -ne 0 ] || break
        EXIT_CODE=killed EXIT_STATUS=KILL check "attach killed at change $n, then settle" vfio settle $gpu
        check "killed at change $n: settle restores" same
        check "killed at change $n: no record stays" test ! -e "$root/run/gpuvm/vfio/$gpu"
done
check 'each change was cut' test "$n" -gt "$attach_writes"
usual
prepared attach
EXIT_CODE=killed EXIT_STATUS=KILL check 'settle after a start that was killed when all was done' vfio settle $gpu
check 'gives it back as well' same
usual
bound_early $gpu $audio
state >"$work/before"
EXIT_CODE=killed EXIT_STATUS=KILL check 'settle after a killed start of a GPU that was bound at boot' vfio settle $gpu
is 'gives back what the start had changed: nothing' "$(cat "$log")" ''
usual
prepared attach
EXIT_CODE=exited EXIT_STATUS=0 SERVICE_RESULT=success check 'settle after a start that was over when the stop came' vfio settle $gpu
check 'gives it back: nobody else does' same
check 'and no record stays of it' test ! -e "$root/run/gpuvm/vfio/$gpu"
usual
meant_early vfio-pci $gpu $audio
state >"$work/early"
prepared attach
EXIT_CODE=exited EXIT_STATUS=0 SERVICE_RESULT=success check 'settle after a late stop, of a GPU that the rule came too late for' vfio settle $gpu
check 'gives it to the host, as a stop does' same
is 'and no record stays of that' "$(ls "$root/run/gpuvm/vfio")" ''
usual
meant_early vfio-pci $gpu $audio
prepared attach
EXIT_CODE=killed EXIT_STATUS=KILL check 'settle after the start of such a GPU that was killed when all was done' vfio settle $gpu
is 'shows it to no driver of the host' "$(state | diff "$work/early" - || true)" ''
usual
bound_early $gpu $audio
EXIT_CODE=exited EXIT_STATUS=0 SERVICE_RESULT=success check 'settle after a late stop for a GPU that was bound at boot' vfio settle $gpu
is 'gives back what the start had changed: nothing' "$(cat "$log")" ''
usual
prepared attach
EXIT_CODE=exited EXIT_STATUS=0 check 'settle after a start that is over' vfio settle $gpu
check 'leaves it' attached
is 'and writes nothing' "$(cat "$log")" ''
check 'a stop' vfio detach $gpu
check 'settle after it' vfio settle $gpu
is 'writes nothing either' "$(cat "$log")" ''
check 'all is as before' same
check 'settle of a GPU that is gone is done' vfio settle 0000:09:00.0
usual
rm "$root/sys/bus/pci/devices/$gpu/driver" "$root/sys/bus/pci/drivers/nvidia/$gpu"
on_driver $gpu vfio-pci
state >"$work/before"
check 'settle where no start of ours was' vfio settle $gpu
is 'is none of its business' "$(cat "$log")" ''

# --- told to end at each change
ended=0
for ((n = 1; n < 60; n++)); do
        usual
        status=0
        FAKESYS_TERM_AT=$n vfio attach $gpu 2>/dev/null || status=$?
        [ "$status" -ne 0 ] || break
        ended=$((ended + 1))
        is "told to end at change $n: fails by itself" "$status" 1
        like "told to end at change $n: and says so" "$(said)" "hand-over of $gpu was stopped"
        check "told to end at change $n: puts back" same
        check "told to end at change $n: no record stays" test ! -e "$root/run/gpuvm/vfio/$gpu"
done
diag "$ended ends"
check 'each change of attach was one' test "$ended" -gt "$attach_writes"
check 'one that comes when all is done is too late' attached

# --- power: a function that may be without it while asleep keeps it as long as it is away
usual
echo 1 >"$root/sys/bus/pci/devices/$gpu/d3cold_allowed"
echo 0 >"$root/sys/bus/pci/devices/$audio/d3cold_allowed"
echo 'flr bus' >"$root/sys/bus/pci/devices/$gpu/reset_method"
echo 16 >"$root/sys/bus/pci/devices/$gpu/sriov_totalvfs"
printf '0x%016x 0x%016x 0x0\n' 0xf0000000 0xf0ffffff 0x4000000000 0x400fffffff >"$root/sys/bus/pci/devices/$gpu/resource"
echo 0000000000003fc0 >"$root/sys/bus/pci/devices/$gpu/resource1_resize"
state >"$work/before"
check 'a dry run with facts' vfio --dry-run --json attach $gpu
like 'how it is reset' "$(said)" '"reset_method": ?"flr bus"'
like 'that it may be without power' "$(said)" '"d3cold_allowed": ?true'
like 'what it could be split into' "$(said)" '"sriov_totalvfs": ?16'
like 'and how big its memory could be' "$(said)" '"size": ?268435456.*"largest": ?8589934592'
check 'attach' vfio attach $gpu
like 'tells the same' "$(said)" "$gpu is reset by flr bus, keeps its power from now on, could have 16 virtual functions, \
has 256 MiB of memory in BAR 1 where 8192 MiB are possible"
is 'it keeps its power' "$(cat "$root"/sys/bus/pci/devices/{$gpu,$audio}/d3cold_allowed | paste -sd' ')" '0 0'
check 'detach' vfio detach $gpu
check 'as before' same
for ((n = 1; n <= attach_writes + 1; n++)); do
        usual
        echo 1 >"$root/sys/bus/pci/devices/$gpu/d3cold_allowed"
        state >"$work/before"
        FAKESYS_FAIL_AT=$n:22 check_fails "attach that keeps power, with an error at write $n" 1 vfio attach $gpu
        check "power and error at write $n: all was put back" same
        check "power and error at write $n: no record stays" test ! -e "$root/run/gpuvm/vfio/$gpu"
done
for ((n = 1; n < 60; n++)); do
        usual
        echo 1 >"$root/sys/bus/pci/devices/$gpu/d3cold_allowed"
        state >"$work/before"
        status=0
        FAKESYS_KILL_AT=$n vfio attach $gpu 2>/dev/null || status=$?
        [ "$status" -ne 0 ] || break
        check "attach that keeps power killed at change $n, then detach" vfio detach $gpu
        check "power and cut at change $n: restored" same
done
check 'each change of it was cut' test "$n" -gt $((attach_writes + 1))

# --- a rule that came when the host's drivers were bound already
usual
for function in $gpu $audio; do echo vfio-pci >"$root/sys/bus/pci/devices/$function/driver_override"; done
state >"$work/before"
check 'attach of a GPU whose rule came late' vfio attach $gpu
check 'takes it' attached
check 'detach of it' vfio detach $gpu
check 'gives it back to the host, under the rule that was there' same

# --- another spelling
usual
for address in 00000000:01:00.0 0000:01:00.00 ''; do
        status=0
        vfio attach "$address" 2>/dev/null || status=$?
        is "attach of '$address' is bad usage" "$status $(writes)" '2 0'
done
vfio attach 00000000:01:00.0 2>/dev/null || true
like 'and the right unit is named' "$(said)" "gpuvm-vfio@$gpu.service"

# --- a driver that hangs
# hanging NAME PATTERN VERB: fails in time, for that reason.
hanging() {
        local start=$SECONDS status=0

        vfio --write-timeout=1s "$3" $gpu 2>/dev/null || status=$?
        is "$1: exit status" "$status" 1
        check "$1: in time" test $((SECONDS - start)) -lt 30
        like "$1: the reason" "$(said)" "$2"
}
mark=run/gpuvm/poisoned/$gpu

usual
FAKESYS_HANG=drivers/nvidia/unbind hanging 'a driver that hangs' \
        "$gpu hangs: the kernel did not come back from unbinding it \(driver nvidia\), since 20[-0-9]* [0-9:]* UTC" attach
like 'what is left is told' "$(said)" "Not put back: $gpu; '.*/gpuvm-vfio detach $gpu' finishes that"
is 'the other function was put back' "$(driver $audio) $(override $audio)" 'snd_hda_intel (null)'
is 'nothing more was written to the one that hangs' "$(sed '1,/nvidia\/unbind/d' "$log" | grep -c "/$gpu/\|bind $gpu")" 0
check 'the GPU is marked' test -e "$root/$mark"
for verb in attach detach; do
        refused "$verb of a marked GPU" "$gpu is left alone since its driver hangs: the kernel did not come back from unbinding it" \
                $verb $gpu
        like "$verb of a marked GPU: the remedy" "$(said)" 'End who has it open.*only a restart of the machine'
done
check 'its twin is not concerned' vfio attach $twin
check 'and goes back' vfio detach $twin
echo PCI_CLASS=30000 >"$root/sys/bus/pci/devices/$gpu/uevent"
check 'attach when the driver has gone after all' vfio attach $gpu
check 'takes it' attached
check 'the mark is gone' test ! -e "$root/$mark"
check 'detach' vfio detach $gpu
check 'all is as it was before it hung' same

usual
FAKESYS_HANG=drivers/nvidia/unbind hanging 'again' 'hangs' attach
echo PCI_CLASS=30000 >"$root/sys/bus/pci/devices/$gpu/uevent"
check 'detach when the driver has gone after all' vfio detach $gpu
check 'restores everything' same
check 'and takes the mark away' test ! -e "$root/$mark"

# It is the driver that takes the GPU which hangs, and not the one that it had when all began.
usual
FAKESYS_HANG=drivers_probe hanging 'a VFIO driver that hangs' "$gpu hangs: .* binding it to VFIO \(driver vfio-pci\)" attach
usual
prepared attach
FAKESYS_HANG=drivers/nvidia/bind hanging 'a driver that hangs on the way back' \
        "$gpu hangs: .* giving it back to its driver \(driver nvidia\)" detach
is 'the other function is back' "$(driver $audio) $(override $audio)" 'snd_hda_intel (null)'
like 'so says its mark' "$(cat "$root/$mark")" 'giving it back to its driver \(driver nvidia\)'
usual
prepared attach
FAKESYS_HANG=drivers/vfio-pci/unbind hanging 'a VFIO driver that does not let go' "$gpu hangs: .* unbinding it \(driver vfio-pci\)" detach
usual
bound_early $gpu $audio
FAKESYS_HANG=drivers_probe hanging 'a driver of the host that hangs after a boot' \
        "$gpu hangs: .* giving it back to the host \(driver nvidia\)" detach

# Somebody else took the GPU from its driver, which waits for one who has it open.
usual
mkdir -p "$root/sys/bus/pci/devices/$gpu/drm/card7" "$root/proc/77/fd" "$root/dev"
echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
echo viewer >"$root/proc/77/comm"
: >"$root/proc/77/maps"
ln -s /dev/zero "$root/dev/zero"
ln -s "$root/dev/zero" "$root/proc/77/fd/3"
rm "$root/sys/bus/pci/devices/$gpu/driver" "$root/sys/bus/pci/drivers/nvidia/$gpu"
state >"$work/before"
check_fails 'a dry run' 1 vfio --dry-run --write-timeout=1s attach $gpu
check 'marks nothing' test ! -e "$root/$mark"
hanging 'a GPU that somebody else took' "$gpu hangs: .* taking it from its driver \(driver nvidia\).*; viewer \(pid 77, .*\) has drm/card7 open" attach
is 'nothing was written to it' "$(writes)" 0
check 'all is as before' same
refused 'it is marked' "$gpu is left alone since its driver hangs: .*viewer \(pid 77" attach $gpu
hanging 'a marked GPU, with a deadline' 'is left alone' detach
echo PCI_CLASS=30000 >"$root/sys/bus/pci/devices/$gpu/uevent"
rm -r "$root/proc/77"
check 'attach when that has ended' vfio attach $gpu
check 'takes it' attached

# A kernel that locks the device for uevent.
usual
rm "$root/sys/bus/pci/devices/$gpu/driver" "$root/sys/bus/pci/drivers/nvidia/$gpu"
FAKESYS_HANG=$gpu/uevent hanging 'a GPU that does not answer' "$gpu hangs: the kernel did not come back from reading uevent" attach
check 'is marked' test -e "$root/$mark"
is 'and not written to' "$(writes)" 0

# Who has it open is asked of the driver, which does not answer; a process whose memory is locked is the same.
mkdir_info() {
        mkdir -p "$root/proc/driver/nvidia/gpus/$gpu"
        printf 'Device Minor: \t 0\n' >"$root/proc/driver/nvidia/gpus/$gpu/information"
}
for verb in attach detach; do
        usual
        mkdir_info
        mkdir -p "$root/sys/bus/pci/devices/$gpu/drm/card7" "$root/sys/class/vfio/12"
        echo 1:5 | tee "$root/sys/class/vfio/12/dev" >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
        [ "$verb" = attach ] || prepared attach
        state >"$work/before"
        mkdir -p "$root/proc/77/fd"
        echo viewer >"$root/proc/77/comm"
        : >"$root/proc/77/maps"
        ln -s "$root/proc/77/comm" "$root/proc/77/fd/0"
        hang=information
        [ "$verb" = attach ] || hang=77/maps
        export FAKESYS_HANG=$hang
        hanging "$verb where nobody can tell who uses it" "$gpu hangs: the kernel did not come back from looking who has it open" \
                "$verb"
        unset FAKESYS_HANG
        is "$verb: nothing was written" "$(writes)" 0
        check "$verb: the GPU is marked" test -e "$root/$mark"
        check "$verb: its twin is not concerned" vfio attach $twin
        check "$verb once more, when that has passed" vfio "$verb" $gpu
        check "$verb: the mark is gone" test ! -e "$root/$mark"
done

# --- modules are loaded before anything is written, and have a deadline as well
usual
rm -r "$root/sys/bus/pci/drivers/vfio-pci"
FAKESYS_HANG=proc/modules hanging 'a module that does not load' 'loading the module vfio-pci' attach
is 'nothing was written' "$(writes)" 0
check 'the twin is not marked' test ! -e "$root/run/gpuvm/poisoned/$twin"
usual
prepared attach
rm -r "$root/sys/bus/pci/drivers/nvidia"
state >"$work/before"
refused 'detach to a driver that is not there any more' \
        "$gpu cannot go back to the driver nvidia, which cannot be loaded .*; nothing was changed" detach $gpu
check 'it stays where it is' same
FAKESYS_HANG=proc/modules hanging 'one that does not load on the way back' 'loading the module nvidia' detach
is 'nothing was written on the way back' "$(writes)" 0
check 'the GPU is still on VFIO' attached
add_driver nvidia
check 'detach when it is there again' vfio detach $gpu
is 'gives it back' "$(driver $gpu)" nvidia

# One that does not answer for its virtual functions.
usual
echo 0 >"$root/sys/bus/pci/devices/$gpu/sriov_numvfs"
FAKESYS_HANG=$gpu/sriov_numvfs hanging 'a GPU that does not answer for them' 'reading sriov_numvfs' attach
check 'is marked as well' test -e "$root/$mark"
is 'and not written to either' "$(writes)" 0

# --- how often sysfs is touched, for a card as there are many: what counts is each function
if command -v strace >/dev/null; then
        usual
        for function in $gpu $audio; do
                echo 1 >"$root/sys/bus/pci/devices/$function/d3cold_allowed"
                echo 'flr bus' >"$root/sys/bus/pci/devices/$function/reset_method"
        done
        for module in nvidia snd_hda_intel; do
                echo 0 | install -D /dev/stdin "$root/sys/module/$module/refcnt"
        done
        mkdir -p "$root"/sys/{dev/block,class/net,class/tty,class/vtconsole/vtcon0,devices/pci0000:00/0000:00:04.0/{block/vda/vda1,net/eth0}} \
                "$root/proc/self/net"
        ln -s ../../devices/pci0000:00/0000:00:04.0/block/vda/vda1 "$root/sys/dev/block/254:1"
        ln -s ../../devices/pci0000:00/0000:00:04.0/net/eth0 "$root/sys/class/net/eth0"
        {
                echo '22 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw'
                echo '23 22 0:22 / /proc rw shared:2 - proc proc rw'
                echo '24 22 0:23 / /sys rw shared:3 - sysfs sysfs rw'
        } >"$root/proc/self/mountinfo"
        printf 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n' \
                >"$root/proc/self/net/route"
        budget=40
        for verb in attach detach; do
                calls=$(sysfs_calls "$helper" --root="$root" $verb $gpu) || { not_ok "$verb under strace" "$(said)"; continue; }
                diag "$verb: $((calls / 2)) system calls that touch sysfs for each of two functions"
                check "$verb touches sysfs at most $budget times a function" test "$calls" -le $((2 * budget))
                check "$verb touches it at all" test "$calls" -ge 20
                is "$verb starts no process but its child" "$(awk '{ print $1 }' "$work/trace" | sort -u | wc -l)" 2
        done
        check 'and all is as before' test "$(driver $gpu) $(driver $audio)" = 'nvidia snd_hda_intel'
else
        skip 'system calls that touch sysfs' 'needs strace'
fi

# --- the phase
usual
mkdir -p "$root/usr/sbin"
check 'setup with flexible GPUs' vfio setup
is 'binds nothing' "$(writes)" 0
check 'and writes no rule' test ! -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
cp -a "$root/etc" "$work/etc"
printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
check 'setup with one of two exclusive' vfio setup
check 'binds it' attached
is 'and not the other' "$(driver $twin)" nvidia
is 'a rule for its functions' "$(grep -o '^DEVPATH=="[^"]*"' "$root/etc/udev/rules.d/70-gpuvm-vfio.rules")" \
        "DEVPATH==\"/devices/pci0000:00/$gpu\"
DEVPATH==\"/devices/pci0000:00/$audio\""
check 'setup again' vfio setup
like 'has nothing to do' "$(said)" 'Nothing to do'
is 'and writes only its record' "$(sed 's/.* //' "$log" | sort -u)" vfio.json
rm "$root/etc/gpuvm.conf"
check 'setup after the mode went back' vfio setup
check 'releases the GPU' same
is 'and removes what it wrote' "$(cd "$root/etc" && find . -type f)" "$(cd "$work/etc" && find . -type f)"
# Restarted after the mode went back: the rule is still there, and what it binds has its unit started.
printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
check 'setup with it exclusive again' vfio setup
rm -r "$root/etc/gpuvm.conf" "$root/run/gpuvm"
check 'what the rule starts at the next boot' vfio attach $gpu
bound_early $twin
check 'and what somebody starts who has bound the other one by hand' vfio attach $twin
check 'setup after that' vfio setup
is 'gives back what the rule had bound, and nothing else' "$(driver $gpu) $(driver $audio) $(driver $twin)" 'nvidia snd_hda_intel vfio-pci'
check 'and no rule is left' test ! -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
check 'detach of that' vfio detach $twin
check 'all is as before' same
# The whole host there and back, and there again.
mkdir -p "$root/etc"
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
for turn in 1 2; do
        check "setup with all exclusive, turn $turn" vfio setup
        is "both are bound, turn $turn" "$(driver $gpu) $(driver $audio) $(driver $twin)" 'vfio-pci vfio-pci vfio-pci'
        like "the rule takes newcomers, turn $turn" "$(cat "$root/etc/udev/rules.d/70-gpuvm-vfio.rules")" 'put in later'
        mv "$root/etc/gpuvm.conf" "$work/gpuvm.conf"
        check "setup with all flexible, turn $turn" vfio setup
        check "everything is as before, turn $turn" same
        is "nothing of it is in /etc, turn $turn" "$(cd "$root/etc" && find . -type f)" "$(cd "$work/etc" && find . -type f)"
        mv "$work/gpuvm.conf" "$root/etc/gpuvm.conf"
done
# All, then one of them not.
check 'setup with all exclusive' vfio setup
printf '[Gpu %s]\nMode=flexible\n' "$twin" >>"$root/etc/gpuvm.conf"
check 'setup with one of them flexible again' vfio setup
is 'which alone is back' "$(driver $gpu) $(driver $audio) $(driver $twin)" 'vfio-pci vfio-pci nvidia'
rm "$root/etc/gpuvm.conf"
check 'setup with all flexible' vfio setup
check 'everything is as before' same

# All, a card that is put in after the last run, and the mode goes back before the next: the rule takes it once more.
machine
card $gpu 10de 2684 030000 12 nvidia
card $audio 10de 22ba 040300 12 snd_hda_intel
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
check 'setup with all exclusive, of which there is one' vfio setup
rm -r "$root/etc/gpuvm.conf" "$root/run/gpuvm"
card $twin 10de 2684 030000 13 nvidia
bound_early $twin
check 'what the rule starts at the next boot for another that was put in' vfio attach $twin
check 'and for the first' vfio attach $gpu
check 'setup after that' vfio setup
is 'gives both back' "$(driver $gpu) $(driver $audio) $(driver $twin)" 'nvidia snd_hda_intel nvidia'
check 'and no rule is left' test ! -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"

# The same where the rule came too late, or names what this kernel lacks: the start binds it.
for driver in vfio-pci nvgrace_gpu_vfio_pci; do
        usual
        printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
        check 'setup with one exclusive' vfio setup
        rm -r "$root/etc/gpuvm.conf" "$root/run/gpuvm"
        meant_early $driver $gpu $audio
        check "what the rule, which names $driver, starts at the next boot" vfio attach $gpu
        check 'binds it' attached
        check 'setup after that' vfio setup
        check 'gives it back' same
done
# Without a driver for another reason: that one was bound by hand.
printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
check 'setup with one exclusive' vfio setup
prepared detach
rm -r "$root/etc/gpuvm.conf" "$root/run/gpuvm"
meant_early '(null)' $gpu
check 'attach of a GPU that the rule names, without driver and override' vfio attach $gpu
check 'setup after that' vfio setup
check 'leaves it where it is' attached

# An exclusive and a flexible GPU share a group, which goes as a whole: no run takes it back as long as one of them is exclusive.
for pair in "$gpu $twin" "$twin $gpu"; do
        read -r exclusive flexible <<<"$pair"
        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $audio 10de 22ba 040300 12 snd_hda_intel
        card $twin 10de 2684 030000 12 nvidia
        state >"$work/before"
        printf '[Gpu %s]\nMode=exclusive\n' "$exclusive" >"$root/etc/gpuvm.conf"
        check "setup with $exclusive exclusive, and the other one of its group not" vfio setup
        rm -r "$root/run/gpuvm"
        check "what the rule starts at the next boot for $exclusive" vfio attach "$exclusive"
        check 'and for the other one' vfio attach "$flexible"
        check 'setup after that' vfio setup
        is "writes nothing to the group of $exclusive" "$(writes) $(driver $gpu) $(driver $audio) $(driver $twin)" '0 vfio-pci vfio-pci vfio-pci'
        printf '[Gpu %s]\nMode=exclusive\n' "$flexible" >"$root/etc/gpuvm.conf"
        check "setup with the other one exclusive instead of $exclusive" vfio setup
        is 'leaves all of them there too' "$(writes) $(driver $gpu) $(driver $audio) $(driver $twin)" '0 vfio-pci vfio-pci vfio-pci'
        rm "$root/etc/gpuvm.conf"
        check "setup with both flexible, where $exclusive was exclusive first" vfio setup
        check 'gives both to the host' same
        is 'and remembers none' "$(ls "$root/run/gpuvm/exclusive")" ''
done

# One that cannot come back keeps nobody else from anything.
usual
printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
check 'setup with one exclusive' vfio setup
printf '[Gpu %s]\nMode=exclusive\n' "$twin" >"$root/etc/gpuvm.conf"
status=0
FAKESYS_HANG=drivers/vfio-pci/unbind vfio --write-timeout=1s setup 2>/dev/null || status=$?
is 'setup with the other one instead, and the first hangs: fails' "$status" 1
is 'the other one is bound' "$(driver $twin)" vfio-pci
is 'and the rule is about that one alone' "$(grep -c "/$gpu\"" "$root/etc/udev/rules.d/70-gpuvm-vfio.rules") $(grep -c "/$twin\"" "$root/etc/udev/rules.d/70-gpuvm-vfio.rules")" '0 1'

# One of which nobody can tell who has it keeps nobody else either.
usual
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
check 'setup with all exclusive' vfio setup
prepared detach
mkdir "$root/run/gpuvm/vfio/$gpu"
rm "$root/etc/gpuvm.conf"
check_fails 'setup with all flexible, and a record that cannot be read' 1 vfio setup
like 'names it' "$(said)" "Cannot tell who has $gpu"
is 'the other one is back' "$(driver $twin)" nvidia

# --- NVIDIA's display driver, for GPUs that are lent
# images CONTENT: a machine whose initramfs has these files; its programs do what matters.
images() {
        mkdir -p "$root"/{boot,usr/sbin,usr/bin,proc/sys/kernel}
        echo 6.1.0-9-amd64 >"$root/proc/sys/kernel/osrelease"
        : >"$root/boot/vmlinuz-6.1.0-9-amd64"
        printf 'init\n%s\n' "$@" >"$root/boot/initrd.img-6.1.0-9-amd64"
        # shellcheck disable=SC2016 # for the stub
        printf '#!/bin/bash\n(cat "$GPUVM_ROOT/boot/initrd.img-$3"; echo again) >"$GPUVM_ROOT$2"\n' >"$root/usr/sbin/mkinitramfs"
        # shellcheck disable=SC2016
        printf '#!/bin/bash\necho listed >>"$GPUVM_ROOT/listed"\ncat "$GPUVM_ROOT$1"\n' >"$root/usr/bin/lsinitramfs"
        chmod +x "$root/usr/sbin/mkinitramfs" "$root/usr/bin/lsinitramfs"
}
options=etc/modprobe.d/zz-gpuvm.conf
usual
images usr/lib/firmware/nvidia/ga102/acr/bl.bin
check 'a dry run with flexible GPUs' vfio --dry-run setup
like 'says that the displays are left alone' "$(said)" "would write /$options"
check 'setup with flexible GPUs' vfio setup
is 'tells the driver to leave the displays alone' "$(grep '^options nvidia-drm ' "$root/$options")" 'options nvidia-drm modeset=0 fbdev=0'
is 'an initramfs without the driver stays' "$(wc -l <"$root/boot/initrd.img-6.1.0-9-amd64")" 2
rm "$root/listed"
check 'setup again' vfio setup
check 'does not look into it again' test ! -e "$root/listed"
usual
images usr/lib/modules/6.1.0-9-amd64/updates/dkms/nvidia-current-drm.ko.xz
check 'setup where the driver is in the initramfs' vfio setup
is 'makes it anew, once' "$(grep -c again "$root/boot/initrd.img-6.1.0-9-amd64")" 1
check 'setup again' vfio setup
is 'does not' "$(grep -c again "$root/boot/initrd.img-6.1.0-9-amd64")" 1
check 'undo of it' fake "${helper%/*}/gpuvm-undo" --root="$root" vfio
check 'takes the options away' test ! -e "$root/$options"
is 'also out of the initramfs' "$(grep -c again "$root/boot/initrd.img-6.1.0-9-amd64")" 2
check 'setup after that' vfio setup
is 'puts them in again' "$(grep -c again "$root/boot/initrd.img-6.1.0-9-amd64")" 3
printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
check 'a dry run with one of two exclusive' vfio --dry-run setup
is 'has nothing to say of it' "$(said | grep -c "$options")" 0
# A host with a desktop on that card.
usual
echo 1 >"$root/sys/bus/pci/devices/$gpu/boot_vga"
mkdir -p "$root/etc/systemd/system"
: >"$root/etc/systemd/system/display-manager.service"
check 'setup where the desktop is on a flexible GPU' vfio setup
check 'leaves the driver its displays' test ! -e "$root/$options"
like 'and says so' "$(said)" "The desktop of this host is on GPU $gpu"

# --- the next boot finds the cards elsewhere
# reboot: the same disk in a machine without cards.
reboot() {
        local before=$root

        machine
        cp -a "$before/etc" "$before/var" "$root"
}
moved=0000:05:00.0 third=0000:06:00.0
usual
printf '[Gpu %s]\nMode=exclusive\n' "$gpu" >"$root/etc/gpuvm.conf"
check 'setup with one of twins exclusive' vfio setup
like 'writes down which it is' "$(cat "$root/var/lib/gpuvm/gpus")" "$gpu 10de:2684 1458:1458 pci-$gpu $gpu"
reboot
card $moved 10de 2684 030000 12 nvidia
card $twin 10de 2684 030000 13 nvidia
card $gpu 10de 2204 030000 14 nvidia
check 'setup after the card was moved and another one took its slot' vfio --dry-run setup
like 'says what it found' "$(said)" "The GPU of \[Gpu $gpu\] moved from slot pci-$gpu and is $moved now: write \[Gpu pci-$moved\]"
check 'setup after the card was moved' vfio setup
is 'follows it, and no other' "$(driver $moved) $(driver $twin) $(driver $gpu)" 'vfio-pci nvidia nvidia'
is 'so does the rule' "$(grep -o '^DEVPATH=="[^"]*"' "$root/etc/udev/rules.d/70-gpuvm-vfio.rules")" "DEVPATH==\"/devices/pci0000:00/$moved\""
check 'setup again' vfio setup
like 'changes nothing' "$(said)" 'Nothing to do'
cp "$root/etc/udev/rules.d/70-gpuvm-vfio.rules" "$work/rule"
reboot
card $twin 10de 2684 030000 13 nvidia
card $third 10de 2684 030000 15 nvidia
card $audio 10de 2684 030000 16 nvidia
refused 'a card that two may be' "was about the GPU 10de:2684 .* in slot pci-$moved, .* $audio .* and $third .* may be it" setup
for program in iommu preflight verify; do
        check_fails "$program refuses as well" 1 fake "${helper%/*}/gpuvm-$program" --root="$root" --dry-run
        like "$program says why" "$(said)" "was about the GPU 10de:2684 .* may be it"
done
check 'the rule is as it was' cmp "$work/rule" "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
rm "$root/var/lib/gpuvm/gpus"
check 'setup when the user has decided' vfio setup
is 'does what the section says' "$(driver $twin) $(driver $third) $(driver $audio)" 'nvidia nvidia nvidia'

usual
mkdir -p "$root/run/gpuvm/exclusive"
: >"$root/run/gpuvm/exclusive/$gpu"
check 'setup when one that was exclusive is back by hand' vfio setup
is 'leaves it alone' "$(writes)" 0
check 'and forgets it' test ! -e "$root/run/gpuvm/exclusive/$gpu"
prepared attach
check 'setup while somebody has attached a flexible GPU' vfio setup
check 'leaves it attached' attached
printf '[Bootstrap]\nVfio=no\n' >"$root/etc/gpuvm.conf"
check_fails 'Vfio=no is not applicable' 77 vfio setup
machine
check_fails 'a machine without GPUs is not applicable' 77 vfio setup
usual
rm -r "$root"/sys/devices/pci0000:00/*/iommu_group "$root/sys/kernel/iommu_groups"
check_fails 'setup without an IOMMU' 1 vfio setup
like 'says so' "$(said)" 'The IOMMU is off'
check_fails 'and is no plan either' 1 vfio --dry-run setup
mkdir -p "$root/sys/firmware/acpi/tables"
touch "$root/sys/firmware/acpi/tables/DMAR"
check_fails 'setup before the restart that turns the IOMMU on' 1 vfio setup
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
check_fails 'a plan from before that restart says not yet' 77 vfio --dry-run setup
is 'and leaves the rule to the phase that turns the IOMMU on' "$(said | grep -c 'would write')" 0

# --- pulled out and put in again before the unit could stop: another directory, as sysfs would have it
usual
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
check 'setup with all exclusive' vfio setup
# put_in_again: the whole card, on the driver that it had.
put_in_again() {
        local device

        for device in "$root/sys/devices/pci0000:00/"{$gpu,$audio}; do
                cp -a "$device" "$device.new"
                rm -r "$device"
                mv "$device.new" "$device"
        done
}
put_in_again
check 'detach of a card that was put in since' vfio detach $gpu
is 'leaves it alone' "$(writes) $(driver $gpu)" '0 vfio-pci'
check 'what the old one had is forgotten' test ! -e "$root/run/gpuvm/vfio/$gpu"
check 'attach' vfio attach $gpu
check 'and detach of this one' vfio detach $gpu
is 'gives it to the host' "$(driver $gpu)" nvidia
check 'attach' vfio attach $gpu
put_in_again
rm "$root/etc/gpuvm.conf"
check 'setup with all flexible' vfio setup
is 'gives back also one that was put in since' "$(driver $gpu) $(driver $twin)" 'nvidia nvidia'

# --- a record is about one card, not about its address
# pulled ADDRESS...: what the kernel does to a function that is not there any more. Its directory is kept elsewhere, so that
# no other gets its number.
pulled() {
        local function dev

        for function; do
                dev=$root/sys/devices/pci0000:00/$function
                rm -f "$root/sys/bus/pci/drivers/$(driver "$function")/$function"
                rm "$root/sys/bus/pci/devices/$function" "$root/sys/kernel/iommu_groups/"*"/devices/$function"
                mkdir -p "$work/pulled"
                mv "$dev" "$work/pulled/$((pulled_n += 1))"
        done
}
pulled_n=0
usual
prepared attach
pulled $gpu $audio
card $gpu 10de 2204 030000 12 nouveau
card $audio 10de 1aef 040300 12 snd_hda_intel
state >"$work/before"
check 'detach when another card is at the address' vfio detach $gpu
is 'does nothing to it' "$(writes)" 0
check 'attach of that card' vfio attach $gpu
check 'takes it' attached
check 'detach of it' vfio detach $gpu
check 'gives it what it had itself' same
check 'and no record stays' test ! -e "$root/run/gpuvm/vfio/$gpu"

# --- the owner of a shared group is pulled out
shared() {
        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $audio 10de 22ba 040300 12 snd_hda_intel
        card $twin 10de 2684 030000 12 nvidia
        echo nvidia >"$root/sys/bus/pci/devices/$twin/driver_override"
}
shared
prepared attach
is 'both GPUs of a group went' "$(driver $gpu) $(driver $twin)" 'vfio-pci vfio-pci'
pulled $gpu $audio
check 'detach of the owner, which was pulled out' vfio detach $gpu
is 'leaves the other one where it is' "$(writes) $(driver $twin)" '0 vfio-pci'
check 'the record of the one that is gone is gone' test ! -e "$root/run/gpuvm/vfio/$gpu"
check 'detach of the other one' vfio detach $twin
is 'gives back exactly what it had' "$(driver $twin) $(override $twin)" 'nvidia nvidia'
is 'and no record stays' "$(ls "$root/run/gpuvm/vfio")" ''
# A power cut of its own: killed before each change, and again.
for ((n = 1; n <= 3; n++)); do
        shared
        prepared attach
        pulled $gpu $audio
        FAKESYS_KILL_AT=$n vfio detach $gpu 2>/dev/null || true
        check "detach of what is gone killed at change $n, and again" vfio detach $gpu
        check "killed at change $n: the other one goes back" vfio detach $twin
        is "killed at change $n: to what it had" "$(driver $twin) $(override $twin)" 'nvidia nvidia'
done
# One that comes in before it becomes the owner.
shared
pulled $gpu $audio
check 'attach of a GPU that is alone' vfio attach $twin
card $gpu 10de 2684 030000 12 nvidia
check 'detach when another has come before it' vfio detach $twin
is 'gives back exactly what it had' "$(driver $twin) $(override $twin) $(driver $gpu)" 'nvidia nvidia nvidia'
is 'and no record stays' "$(ls "$root/run/gpuvm/vfio")" ''

# --- VFIO variant drivers: a module of a made-up kernel says that it is for this card
if command -v gcc >/dev/null && command -v depmod >/dev/null; then
        usual
        mkdir -p "$root/lib/modules/6.1.0-test" "$root/proc/sys/kernel"
        echo 6.1.0-test >"$root/proc/sys/kernel/osrelease"
        module() {
                printf 'const char a[] __attribute__((section(".modinfo"), used)) = "alias=%s";\n' "$2" |
                        gcc -c -x c -o "$root/lib/modules/6.1.0-test/$1.ko" -
        }
        module vfio-pci 'vfio_pci:v*d*sv*sd*bc*sc*i*'
        module nv-new-vfio-pci 'vfio_pci:v000010DEd00002684sv*sd*bc*sc*i*'
        depmod -b "$root" 6.1.0-test 2>/dev/null || true
        add_driver nv_new_vfio_pci
        check 'attach where the kernel has a variant driver' vfio attach $gpu
        is 'uses it for the card that it is for, by the name that its driver has' "$(driver $gpu)" nv_new_vfio_pci
        is 'and the generic one for the rest' "$(driver $audio)" vfio-pci
        check 'detach' vfio detach $gpu
else
        skip 'a VFIO variant driver' 'needs gcc and depmod'
fi

# --- every recorded machine
for host in "$hosts"/*/; do
        host=${host%/}
        replay "$host"
        state >"$work/before"
        for device in "$root"/sys/bus/pci/devices/*; do
                address=${device##*/}
                [[ $(<"$device/vendor") = 0x10de && $(<"$device/class") = 0x030[02]* ]] || continue
                if vfio attach "$address"; then
                        like "${host##*/} $address: attached" "$(driver "$address")" 'vfio-pci$'
                        check "${host##*/} $address: detached" vfio detach "$address"
                else
                        like "${host##*/} $address: refused with the reason" "$(said)" \
                                'in no IOMMU group|cannot be given to a VM|is in use|virtual functions'
                        is "${host##*/} $address: nothing written" "$(writes)" 0
                fi
                check "${host##*/} $address: all as before" same
        done
done
done_testing
