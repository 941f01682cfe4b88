#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-vfio and NVIDIA's management library: persistence mode and draining: nvml.sh DIRECTORY-OF-HELPERS FAKESYS FAKENVML
#
# Each call of the library fails once, and the helper dies before each change; afterwards all is as it was, or one more run
# makes it so.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helper=$1/gpuvm-vfio fakesys=$2 fakenvml=$3
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=fakebus.sh
. "$(dirname "$0")/fakebus.sh"

gpu=0000:01:00.0 audio=0000:01:00.1 twin=0000:02:00.0

# Two cards on NVIDIA's driver, whose persistence daemon has both open.
usual() {
        local address

        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $audio 10de 22ba 040300 12 snd_hda_intel
        card $twin 10de 2684 030000 13 nvidia
        mkdir -p "$root/nvml" "$root/dev" "$root/proc/88/fd" "$root/sys/bus/pci/devices/$gpu/drm/card7"
        echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
        echo nvidia-persistenced | cut -c1-15 >"$root/proc/88/comm"
        : >"$root/proc/88/maps"
        ln -s /dev/zero "$root/dev/zero"
        ln -s "$root/dev/zero" "$root/proc/88/fd/3"
        for address in $gpu $twin; do
                echo 1 >"$root/nvml/$address.persistent"
                echo 0 >"$root/nvml/$address.draining"
        done
        echo "$root/proc/88/fd/3 $root/dev/zero" >"$root/nvml/$gpu.held"
        state >"$work/before"
        library >"$work/library"
}

vfio() {
        local status=0

        GPUVM_NVML=$fakenvml fake "$helper" --root="$root" "$@" || status=$?
        [ "$status" -eq 0 ] || said >&2
        return "$status"
}

prepared() {
        vfio "$1" $gpu || { not_ok "$1 on the way" "$(said)"; return 1; }
}

library() {
        (cd "$root/nvml" && grep -H '' ./*.persistent ./*.draining)
        ls "$root/proc/88/fd"
}

same() {
        { state | diff "$work/before" - && library | diff "$work/library" -; } >"$work/diff" ||
                { diag "$(cat "$work/diff")"; return 1; }
}

no_record() {
        [ ! -e "$root/run/gpuvm/vfio/$gpu" ]
}

attached() {
        [ "$(driver $gpu) $(driver $audio)" = 'vfio-pci vfio-pci' ]
}

# --- there and back
usual
check 'attach of a GPU that only the persistence daemon holds' vfio attach $gpu
check 'gives it to VFIO' attached
is 'after persistence mode was turned off' "$(cat "$root/nvml/$gpu.persistent")" 0
is 'and the door shut' "$(cat "$root/nvml/$gpu.draining")" 1
is 'of no other GPU' "$(cat "$root/nvml/$twin.persistent" "$root/nvml/$twin.draining" | paste -sd' ')" '1 0'
like 'the record has both' "$(cat "$root/run/gpuvm/vfio/$gpu")" "persistent $gpu
drained $gpu"
check 'detach' vfio detach $gpu
check 'turns it on again' same
check 'and forgets' no_record

usual
check 'a dry run' vfio --dry-run attach $gpu
check 'sees no use in the daemon, and asks nobody' same
is 'and changes nothing' "$(cat "$log")" ''

# --- without the library, or one that knows nothing
usual
check_fails 'without the library the daemon is a user as any other' 1 env GPUVM_NVML= FAKESYS_ROOT="$root" LD_PRELOAD="$fakesys" \
        ASAN_OPTIONS=verify_asan_link_order=0 "$helper" --root="$root" attach $gpu
check 'all is as before' same
rm "$root/proc/88/fd/3"
library >"$work/library"
for path in '' "$fakesys" /nonexistent; do
        check "a library that is not there or not the one ('${path##*/}') is not needed" env GPUVM_NVML="$path" \
                FAKESYS_ROOT="$root" LD_PRELOAD="$fakesys" ASAN_OPTIONS=verify_asan_link_order=0 "$helper" --root="$root" attach $gpu
        prepared detach
        check 'and back' same
done
usual
rm "$root/nvml/$gpu".* "$root/proc/88/fd/3"
check 'one that does not know the GPU is not asked again' vfio attach $gpu

# --- persistence mode that was off stays off
usual
echo 0 >"$root/nvml/$gpu.persistent"
rm "$root/proc/88/fd/3"
library >"$work/library"
check 'attach of a GPU that is not persistent' vfio attach $gpu
check 'detach' vfio detach $gpu
check 'leaves it so' same

# --- somebody else has it open
usual
mkdir -p "$root/proc/99/fd"
echo Xorg >"$root/proc/99/comm"
: >"$root/proc/99/maps"
ln -s "$root/dev/zero" "$root/proc/99/fd/5"
check_fails 'a GPU that somebody uses is refused' 1 vfio attach $gpu
like 'by name, without the daemon' "$(said)" 'is in use: Xorg \(pid 99, [^;]*; nothing was changed|is in use: Xorg \(pid 99.*nothing was changed'
is 'before anything is changed' "$(cat "$log")" ''

# The daemon keeps it open for another reason, and does not let go.
usual
rm "$root/nvml/$gpu.held"
check_fails 'a daemon that does not let go is refused' 1 vfio attach $gpu
like 'by name' "$(said)" 'nvidia-persiste \(pid 88'
check 'and persistence mode is on again' same
check 'without a record' no_record

# Somebody comes while the library is asked, and the door cannot be shut.
usual
mkdir -p "$root/proc/99/fd"
echo late >"$root/proc/99/comm"
: >"$root/proc/99/maps"
echo "$root/proc/99/fd/5 $root/dev/zero" >"$root/nvml/$gpu.comes"
status=0
FAKENVML_FAIL=nvmlDeviceModifyDrainState:4 vfio attach $gpu 2>/dev/null || status=$?
is 'somebody who comes during the last call of the library: refused' "$status" 1
like 'by name' "$(said)" 'is in use: late \(pid 99'
is 'before anything is written to the bus' "$(grep -c '^write [^ ]*unbind' "$log" || true)" 0
check 'and persistence mode is on again' same
check 'no record stays' no_record

# Two GPUs in one group: somebody comes to the second one while the first is being unbound.
for drain in 0 999; do
        usual
        rm "$root/nvml/$gpu.held" "$root/proc/88/fd/3"
        second=0000:01:00.2
        card $second 10de 2684 030000 12 nvidia
        mkdir -p "$root/sys/bus/pci/devices/$second/drm/card8" "$root/proc/99/fd"
        echo 1:3 >"$root/sys/bus/pci/devices/$second/drm/card8/dev"
        echo late >"$root/proc/99/comm"
        : >"$root/proc/99/maps"
        ln -s /dev/null "$root/dev/null"
        for address in $gpu $second; do
                echo 0 | tee "$root/nvml/$address.persistent" >"$root/nvml/$address.draining"
        done
        state >"$work/before"
        library >"$work/library"
        (
                for _ in {1..200}; do
                        [ "$(driver $gpu)" = nvidia ] || break
                        sleep 0.05
                done
                ln -s "$root/dev/null" "$root/proc/99/fd/5"
        ) &
        status=0
        FAKENVML_FAIL=nvmlDeviceModifyDrainState:$drain FAKESYS_SLOW=4000:drivers_probe vfio attach $gpu 2>/dev/null || status=$?
        wait $!
        if [ "$drain" = 0 ]; then
                is 'a second GPU whose door is shut is not looked at again' "$status" 0
        else
                is 'a second GPU that comes into use meanwhile: refused' "$status" 1
                like 'by name' "$(said)" 'is in use: late \(pid 99'
                check 'the first one is put back' same
                check 'and no record stays' no_record
        fi
done

# --- each call fails
failed_ok() {
        local name=$1 status=$2

        if [ "$status" -eq 0 ]; then
                check "$name: attached" attached
                prepared detach
        fi
        check "$name: all is as before" same
        check "$name: no record stays" no_record
}
for function in nvmlInitWithFlags nvmlShutdown nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceGetPersistenceMode \
        nvmlDeviceSetPersistenceMode nvmlDeviceModifyDrainState nvmlDeviceQueryDrainState; do
        for code in 4 999; do
                for at in 1 2 3; do
                        usual
                        status=0
                        FAKENVML_FAIL=$function:$code:$at vfio attach $gpu 2>/dev/null || status=$?
                        failed_ok "$function fails with $code at call $at" "$status"
                done
        done
done
usual
check_fails 'persistence mode that cannot be turned off' 1 env FAKENVML_FAIL=nvmlDeviceSetPersistenceMode:4 GPUVM_NVML="$fakenvml" \
        FAKESYS_ROOT="$root" LD_PRELOAD="$fakesys" ASAN_OPTIONS=verify_asan_link_order=0 "$helper" --root="$root" attach $gpu
check 'is as before' same
usual
status=0
FAKENVML_FAIL=nvmlDeviceGetPersistenceMode:18 vfio attach $gpu 2>/dev/null || status=$?
is 'a library of another version than the driver: refused' "$status" 1
like 'with the reason' "$(said)" 'Cannot find out whether persistence mode keeps 0000:01:00.0 in use'
usual
FAKENVML_FAIL=nvmlDeviceModifyDrainState:4 check 'a door that cannot be shut is no failure' vfio attach $gpu
is 'and is not recorded' "$(grep -c drained "$root/run/gpuvm/vfio/$gpu" || true)" 0
prepared detach
check 'all is as before' same

# --- turning it on again fails: the GPU is back all the same, and the user is told
usual
prepared attach
FAKENVML_FAIL=nvmlDeviceSetPersistenceMode:999 check 'detach when persistence mode does not come on' vfio detach $gpu
like 'says what does that' "$(said)" "nvidia-smi -pm 1 -i $gpu"
is 'the GPU is back' "$(driver $gpu)" nvidia

# --- an error of the bus after the door was shut
for n in 1 2 3 4 5 6; do
        usual
        FAKESYS_FAIL_AT=$n:19 check_fails "attach with an error at write $n" 1 vfio attach $gpu
        check "write $n: driver, override, persistence mode and door are as before" same
        check "write $n: no record stays" no_record
done

# --- a driver that takes its time when it is given back
usual
status=0
FAKESYS_SLOW=6000:drivers/nvidia/bind FAKESYS_FAIL_AT=6:19 vfio --write-timeout=30s attach $gpu 2>/dev/null || status=$?
is 'a driver that takes six seconds to come back: the attach has failed' "$status" 1
like 'for its own reason alone' "$(said)" 'Everything was put back'
check 'all is as before' same
check 'nobody is marked' test ! -e "$root/run/gpuvm/poisoned/$gpu"
usual
status=0
FAKESYS_SLOW=2000:drivers/nvidia/bind FAKESYS_FAIL_AT=6:19 vfio --write-timeout=1s attach $gpu 2>/dev/null || status=$?
is 'a driver that comes after its deadline: the attach has failed' "$status" 1
check 'persistence mode is on again all the same' same
check 'the mark is gone' test ! -e "$root/run/gpuvm/poisoned/$gpu"
check 'so is the record' no_record

# --- a driver that hangs in a call
for function in nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceSetPersistenceMode nvmlDeviceModifyDrainState; do
        usual
        start=$SECONDS status=0
        FAKENVML_HANG=$function vfio --write-timeout=1s attach $gpu 2>/dev/null || status=$?
        is "$function hangs: refused" "$status" 1
        check "$function hangs: in time" test $((SECONDS - start)) -lt 20
        is "$function hangs: the bus was not touched" "$(writes)" 0
        is "$function hangs: nobody stays behind" "$(pgrep -f "^$helper --root=$root" || true)" ''
        # It was killed, and so did not hang in the kernel.
        check "$function hangs: the GPU is not marked" test ! -e "$root/run/gpuvm/poisoned/$gpu"
        vfio detach $gpu
        check "$function hangs: detach finishes" same
done

# --- killed before each change
killed=0
for ((n = 1; n < 80; n++)); do
        for next in attach detach; do
                usual
                status=0
                FAKESYS_KILL_AT=$n vfio attach $gpu 2>/dev/null || status=$?
                [ "$status" -ne 0 ] || break 2
                killed=$((killed + 1))
                check "attach killed at change $n, then $next" vfio "$next" $gpu
                [ "$next" = detach ] || check "attach killed at change $n: completed" attached
                [ "$next" = detach ] || prepared detach
                check "attach killed at change $n, $next: restored" same
        done
done
diag "$killed cuts"
check 'every change was cut' test "$killed" -ge 16
for ((n = 1; n < 80; n++)); do
        usual
        prepared attach
        status=0
        FAKESYS_KILL_AT=$n vfio detach $gpu 2>/dev/null || status=$?
        [ "$status" -ne 0 ] || break
        check "detach killed at change $n, then once more" vfio detach $gpu
        check "detach killed at change $n: restored" same
done
check 'every change of detach was cut' test "$n" -ge 8
done_testing
