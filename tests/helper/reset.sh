#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-reset on machines whose PCI bus behaves: reset.sh DIRECTORY-OF-HELPERS FAKESYS
#
# Who may be reset, what hangs, what fell off the bus; killed at each single change.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helper=$1/gpuvm-reset fakesys=$2
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=fakebus.sh
. "$(dirname "$0")/fakebus.sh"

gpu=0000:01:00.0 audio=0000:01:00.1 port=0000:00:01.0

# below FUNCTION: moved below the port, as a card is.
below() {
        mv "$root/sys/devices/pci0000:00/$1" "$root/sys/devices/pci0000:00/$port/$1"
        ln -sfn "../../../devices/pci0000:00/$port/$1" "$root/sys/bus/pci/devices/$1"
        ln -sfn "../../../../kernel/iommu_groups/12" "$root/sys/bus/pci/devices/$1/iommu_group"
        ln -sfn "../../../../devices/pci0000:00/$port/$1" "$root/sys/kernel/iommu_groups/12/devices/$1"
        : >"$root/sys/bus/pci/devices/$1/reset"
        : >"$root/sys/bus/pci/devices/$1/remove"
        printf '\xde\x10\x84\x26' | tee "$root/sys/bus/pci/devices/$1/config" >"$root/sys/bus/pci/devices/$1/fake_config"
}
# usual DRIVER: one card with audio below its port, both on that driver.
usual() {
        machine
        card $port 8086 a70d 060400 11 pcieport
        card $gpu 10de 2684 030000 12 "$1"
        card $audio 10de 22ba 040300 12 "$1"
        below $gpu
        below $audio
        mkdir -p "$root/sys/devices/pci0000:00/$port/pci_bus/0000:01"
        : >"$root/sys/devices/pci0000:00/$port/pci_bus/0000:01/rescan"
        echo 'flr bus' >"$root/sys/bus/pci/devices/$gpu/reset_method"
        device=$root/sys/bus/pci/devices/$gpu
}
# dead FUNCTION...: reads as nothing.
dead() {
        for function; do printf '\xff\xff\xff\xff' >"$root/sys/bus/pci/devices/$function/config"; done
}
# used: a process has it open.
used() {
        mkdir -p "$root/proc/77/fd" "$root/dev" "$root/sys/class/vfio/12" "$device/drm/card7"
        echo 1:5 | tee "$root/sys/class/vfio/12/dev" >"$device/drm/card7/dev"
        echo viewer >"$root/proc/77/comm"
        : >"$root/proc/77/maps"
        ln -sf /dev/zero "$root/proc/77/fd/3"
}
reset() {
        local status=0

        fake "$helper" --root="$root" "$@" || status=$?
        return "$status"
}
# refused NAME PATTERN ARGUMENT...: exit status 1 for that reason, with nothing written.
refused() {
        local status=0

        reset "${@:3}" || status=$?
        is "$1: exit status" "$status" 1
        like "$1: the reason" "$(said)" "$2"
        is "$1: nothing was written" "$(writes)" 0
}

# --- a GPU that nobody has
for driver in vfio-pci ''; do
        usual "$driver"
        check "reset, driver '$driver'" reset reset $gpu
        is "writes that and nothing else, driver '$driver'" "$(sed -n 's/^write //p' "$log")" "devices/$gpu/reset 1"
        like "and says so, driver '$driver'" "$(said)" "GPU $gpu was reset and answers"
done
usual vfio-pci
card 0000:05:00.0 10de 22a3 068000 30 nvidia-nvswitch
check 'reset, with NVSwitches' reset reset $gpu
like 'and who sets up the fabric is told' "$(said)" 'This machine has NVSwitches: .*restart nvidia-fabricmanager'

# --- a driver that does not answer, without a mark of ours
usual nvidia
mkdir -p "$root/proc/driver/nvidia/gpus/$gpu"
echo 'Model: x' >"$root/proc/driver/nvidia/gpus/$gpu/information"
check 'one that answers is well' reset recover $gpu
FAKESYS_HANG=/information refused 'one that does not' "$gpu answers, and the driver nvidia has not answered for 5 s" recover $gpu

usual vfio-pci
check 'a dry run' reset --dry-run reset $gpu
like 'says by what' "$(said)" "would reset $gpu: by flr bus"
is 'and changes nothing' "$(cat "$log")$(find "$root/run" -mindepth 1)" ''

# --- refusals
refused 'one that is not there' 'There is no GPU 0000:09:00.0' reset 0000:09:00.0
refused 'what is no GPU' "There is no GPU $audio" reset $audio
used
refused 'one in use' "$gpu is in use: viewer \(pid 77" reset $gpu
usual nvidia
refused "one of the host's" "$gpu has the host's driver nvidia.*'systemctl start'" reset $gpu
usual vfio-pci
echo >"$device/reset_method"
refused 'one that cannot be reset' "knows no way to reset $gpu .*take its power away" reset $gpu
usual vfio-pci
dead $gpu
refused 'one that fell off the bus' "$gpu does not answer: it fell off the bus. 'vmctl gpu recover'" reset $gpu
usual vfio-pci
mkdir -p "$root/run/gpuvm/poisoned"
printf 'the kernel did not come back from unbinding it\n0 0\n' >"$root/run/gpuvm/poisoned/$gpu"
refused 'one that hangs' "$gpu hangs: the kernel did not come back.*'vmctl gpu recover'" reset $gpu
usual vfio-pci
mkdir -p "$root/run/gpuvm/lock"
flock "$root/run/gpuvm/lock/group-12" sleep 100 &
until ! flock -n "$root/run/gpuvm/lock/group-12" true; do sleep 0.05; done
refused 'one that is being handed over' "$gpu is just being handed over" reset $gpu
kill $!
for arguments in '' reset "reset $gpu more" 'reset here' "renew $gpu"; do
        # shellcheck disable=SC2086 # words
        check_fails "usage: '$arguments'" 2 reset $arguments
done

# --- what the kernel does of it
usual vfio-pci
FAKESYS_FAIL_AT=1:25 check_fails 'a kernel that refuses' 1 reset reset $gpu
like 'is told' "$(said)" "Cannot reset $gpu: Inappropriate ioctl.*'dmesg'"
usual vfio-pci
printf '\xff\xff' >"$device/fake_config"
check_fails 'one that does not come back from it' 1 reset reset $gpu
like 'is told as well' "$(said)" "$gpu was reset and does not answer any more. 'vmctl gpu recover'"
usual vfio-pci
start=$SECONDS
FAKESYS_HANG=$gpu/reset check_fails 'a reset that hangs' 1 reset --write-timeout=1s reset $gpu
check 'ends in time' test $((SECONDS - start)) -lt 30
like 'and is told' "$(said)" "$gpu hangs: the kernel did not come back from resetting it \(driver vfio-pci\).*'systemctl reboot --force --force'"
check 'the GPU is marked' test -e "$root/run/gpuvm/poisoned/$gpu"

# --- recovered from a hang that has passed
check 'recover' reset recover $gpu
like 'when it has passed' "$(said)" "GPU $gpu answers, and hangs no more"
check 'the mark is gone' test ! -e "$root/run/gpuvm/poisoned/$gpu"
is 'nothing was written to it' "$(writes)" 0
check 'recover again' reset recover $gpu
like 'finds nothing wrong' "$(said)" "GPU $gpu answers, and nothing hangs"
check 'and it can be reset' reset reset $gpu

# A process that stands in for one in the kernel.
usual vfio-pci
sleep 1000 &
stuck=$!
mkdir -p "$root/run/gpuvm/poisoned"
printf 'the kernel did not come back from unbinding it (driver nvidia)\n%d %s\n' $stuck "$(awk '{ print $22 }' /proc/$stuck/stat)" \
        >"$root/run/gpuvm/poisoned/$gpu"
refused 'one that still hangs' "$gpu still hangs: .*process $stuck waits in the kernel.*cannot be killed.*'systemctl reboot' may wait" recover $gpu
check 'stays marked' test -e "$root/run/gpuvm/poisoned/$gpu"
kill $stuck
wait $stuck 2>/dev/null || true
check 'until that has ended' reset recover $gpu
check 'then it is not' test ! -e "$root/run/gpuvm/poisoned/$gpu"

# --- fallen off the bus
usual vfio-pci
dead $gpu $audio
used
refused 'a dead card that is in use' "$gpu is in use: viewer" recover $gpu
rm -r "$root/proc/77"
check 'a dry run of it' reset --dry-run recover $gpu
like 'says what it would do' "$(said)" "would remove $audio.*would remove $gpu.*would rescan /sys/devices/pci0000:00/$port/pci_bus/0000:01/rescan"
is 'and does not' "$(writes)" 0
check 'a dead card' reset recover $gpu
is 'is removed and looked for again' "$(sed -n 's/^write //p' "$log")" "devices/$audio/remove 1
devices/$gpu/remove 1
devices/0000:01/rescan 1"
like 'and is back' "$(said)" "GPU $gpu is back on the bus"
check_fails 'of a fabric nothing is said' 1 grep -q NVSwitches <<<"$(said)"
check 'with all of it' test -e "$root/sys/bus/pci/devices/$audio"
check 'no note of it stays' test ! -e "$root/run/gpuvm/removed/$gpu"

usual vfio-pci
dead $gpu
: >"$root/fake_gone"
start=$SECONDS
check_fails 'one that does not come back' 1 reset recover $gpu
check 'is waited for, and not for ever' test $((SECONDS - start)) -lt 60
like 'and is told honestly' "$(said)" "$gpu did not come back below its port. Only power helps"
rm "$root/fake_gone"
check 'once more, when it is there' reset recover $gpu
like 'finds it by the note' "$(said)" "GPU $gpu is back on the bus"
check 'which is gone' test ! -e "$root/run/gpuvm/removed/$gpu"
refused 'one that nobody knows' 'There is no GPU 0000:09:00.0 on the bus' recover 0000:09:00.0

# On the root bus there is no port.
usual vfio-pci
card 0000:00:09.0 10de 2684 030000 19 vfio-pci
printf '\xff\xff' >"$root/sys/bus/pci/devices/0000:00:09.0/config"
refused 'one on the root bus' '0000:00:09.0 fell off the bus, and is below no port' recover 0000:00:09.0

# --- killed before each change: the next one finds it again
for n in $(seq 20); do
        usual vfio-pci
        dead $gpu $audio
        status=0
        FAKESYS_KILL_AT=$n reset recover $gpu 2>/dev/null || status=$?
        [ "$status" -ne 0 ] || break
        check "killed before change $n: recovered" reset recover $gpu
        check "killed before change $n: it is there" test -e "$device" -a -e "$root/sys/bus/pci/devices/$audio"
        is "killed before change $n: it answers" "$(head -c 2 "$device/config" | od -An -tx1)" ' de 10'
done
check 'all changes were cut' test "$n" -gt 4 -a "$n" -lt 20
done_testing
