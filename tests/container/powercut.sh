#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The power of a whole machine gone at random moments of its bootstrap: powercut.sh FAKESYS GOINGDOWN [CUTS [SEED]]
#
# A real systemd runs the real units in a container whose disk is a file system of its own (ext4 and xfs in turn). The
# story is that of a machine without IOMMU groups: packages, a new command line that is tried once, a restart, GPUs to
# VFIO, the proof. What the firmware and GRUB would do, tests/helper/boot-machine.sh does: the command line and the
# hardware of each boot are what the disk says. At a random moment the disk stops, with or without its journal; nothing
# that was not fsynced is on it afterwards.
#
# After each cut: no boot file is torn, what a phase reported is there, the next boot reaches multi-user.target, goes on
# by itself where a restart was under way, comes to the same end as a machine that was never cut, after one more start
# by hand at most, with two restarts at most; and when it says that it is done, the power goes again, and it is.
#
# 200 cuts, or 1,000 with GPUVM_LONG=1. SEED repeats the moments as far as the machine is as fast as then.
#
# shellcheck disable=SC2317 # the step is called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../helper/boot-machine.sh
. "$(dirname "$0")/../helper/boot-machine.sh"

container_require
if [ -z "${GPUVM_UNSHARED-}" ]; then
        unshare -m true 2>/dev/null || skip_all 'no mount namespaces here'
        GPUVM_UNSHARED=1 exec unshare -m "$0" "$@"
fi
fakesys=$(realpath "$1") goingdown=$(realpath "$2")
cuts=${3:-$([ -n "${GPUVM_LONG-}" ] && echo 1000 || echo 200)}
seed=${4:-$((RANDOM * 32768 + RANDOM))}
workers=$(nproc)
[ "$workers" -le 4 ] || workers=4
release=trixie
packages='ca-certificates pciutils'
work=$(mktemp -d /var/tmp/gpuvm-powercut-XXXXXX)
nothing='' running='' workers_running=()
at_exit rm -rf "$work"
at_exit stop_all
diag "seed $seed, $cuts cuts, $workers at a time"

# --- the machine

# What the kernel shows of the hardware, with the IOMMU on: a GPU of two functions, and the driver of each.
make_sys() {
        local root=$work/hardware bdf gpu

        mkdir -p "$root"/sys/{fs/cgroup,firmware/acpi/tables,kernel/iommu_groups/7/devices,module/vfio_pci,class/net,class/block}
        mkdir -p "$root"/sys/bus/pci/{devices,drivers/vfio-pci,drivers/nouveau}
        : >"$root/sys/firmware/acpi/tables/DMAR"
        echo live >"$root/sys/module/vfio_pci/initstate"
        touch "$root"/sys/bus/pci/drivers_probe "$root"/sys/bus/pci/drivers/{vfio-pci,nouveau}/{bind,unbind}
        for gpu in 0000:01:00.0:0x10de:0x2684:0x030000 0000:01:00.1:0x10de:0x22ba:0x040300; do
                bdf=${gpu:0:12}
                IFS=: read -r _ _ _ vendor device class <<<"$gpu"
                gpu=$root/sys/devices/pci0000:00/0000:00:01.0/$bdf
                mkdir -p "$gpu"
                echo "$vendor" >"$gpu/vendor"
                echo "$device" >"$gpu/device"
                echo "$class" >"$gpu/class"
                echo '(null)' >"$gpu/driver_override"
                echo nouveau >"$gpu/fake_drivers"
                echo "pci:v000010DEd0000${device#0x}sv000010DEsd000010DEbc03sc00i00" >"$gpu/modalias"
                printf '0x10de\n' | tee "$gpu/subsystem_vendor" >"$gpu/subsystem_device"
                ln -s "../../../devices/pci0000:00/0000:00:01.0/$bdf" "$root/sys/bus/pci/devices/$bdf"
        done
}

# bind_gpu SYS DRIVER
bind_gpu() {
        local bdf

        for bdf in 0000:01:00.0 0000:01:00.1; do
                ln -s "/sys/bus/pci/drivers/$2" "$1/bus/pci/devices/$bdf/driver"
                ln -s "/sys/bus/pci/devices/$bdf" "$1/bus/pci/drivers/$2/$bdf"
                [ "$2" != vfio-pci ] || echo vfio-pci >"$1/bus/pci/devices/$bdf/driver_override"
        done
}

# The disk of a machine that nothing of ours has run on.
install_machine() {
        local stubs=$work/stubs program

        machine_install $release
        TRIAL=yes make_machine "$stubs"
        for program in usr/sbin/grub-mkconfig usr/sbin/grub-probe usr/sbin/mkinitramfs usr/bin/grub-script-check usr/bin/grub-editenv usr/bin/lsinitramfs; do
                # Here they work on the machine itself, and what they are told is of no interest.
                # shellcheck disable=SC2016
                sed -e 's/root=$GPUVM_ROOT/root=${GPUVM_ROOT-}/' -e '/>>"$root\/calls"$/d' "$stubs/$program" >"$machine/$program"
                chmod 0755 "$machine/$program"
        done
        # shellcheck disable=SC2016
        sed -e 's/^dir=$GPUVM_ROOT/dir=${GPUVM_ROOT-}/' -e '/\/calls"$/d; /\/environment"$/d' "$source_dir/tests/helper/apt-stub.sh" \
                >"$machine/usr/bin/apt-get"
        chmod 0755 "$machine/usr/bin/apt-get"
        cp -a "$stubs/boot" "$machine/"
        cp -a "$stubs/usr/share/." "$machine/usr/share/"
        cp -a "$stubs/etc/default" "$stubs/etc/initramfs-tools" "$machine/etc/"
        mkdir -p "$machine"/etc/{gpuvm.conf.d,udev/rules.d,systemd/{journald.conf.d,system/systemd-journald.service.d},systemd/system/gpuvm-vfio@.service.d}
        printf '[Bootstrap]\nNvidia=no\nKvm=no\nBridge=no\nRebootDelaySec=0\n[Gpu]\nMode=exclusive\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
        # The journal's own fsyncs would save what we forgot to.
        printf '[Journal]\nStorage=volatile\nForwardToConsole=yes\nMaxLevelConsole=info\n' >"$machine/etc/systemd/journald.conf.d/test.conf"
        printf '[Service]\nEnvironment=SYSTEMD_COLORS=0\n' >"$machine/etc/systemd/system/systemd-journald.service.d/test.conf"
        install -D "$fakesys" "$machine/usr/lib/gpuvm/fakesys.so"
        printf '[Service]\nEnvironment=FAKESYS_ROOT= LD_PRELOAD=/usr/lib/gpuvm/fakesys.so\n' \
                >"$machine/etc/systemd/system/gpuvm-vfio@.service.d/test.conf"
        mkdir -p "$machine/usr/lib/modules/$(uname -r)"
        echo kernel/drivers/vfio/pci/vfio-pci.ko >"$machine/usr/lib/modules/$(uname -r)/modules.builtin"
        touch "$machine/usr/lib/modules/$(uname -r)/modules.order"
        depmod -b "$machine" "$(uname -r)" 2>/dev/null
        for program in systemd-random-seed systemd-update-utmp systemd-network-generator systemd-networkd systemd-resolved systemd-udevd e2scrub_reap systemd-timesyncd; do
                ln -sf /dev/null "$machine/etc/systemd/system/$program.service"
        done
        { declare -f step_boot; echo step_boot; } >"$work/driver"
}

# Inside, at each boot: starts by hand only what does not go on by itself. While it does, the boot is not over. Between
# the disk's end and the machine's no program can be started: then nobody asks for anything.
step_boot() {
        local state

        touch /shared/up
        systemctl is-system-running --wait >/dev/null
        state=$(systemctl is-active gpuvm-bootstrap.target)
        [ -n "$state" ] || return
        if [ "$state" != active ]; then
                # systemctl may still be in memory, and tell that all has failed for want of a disk.
                mktemp -d /var/tmp/disk-XXXXXX >/dev/null || return
                find /var/lib/gpuvm -maxdepth 1 -printf '%f ' >>/shared/by-hand
                echo >>/shared/by-hand
                systemctl start gpuvm-bootstrap.target
                # A restart is under way.
                ! systemctl is-system-running 2>/dev/null | grep -q stopping || sleep 60
        fi
        state=$(systemctl is-active gpuvm-bootstrap.target)
        [ -n "$state" ] || return
        echo "$state" >/shared/over.new
        mv /shared/over.new /shared/over
        sleep 60
}

# --- the disk

# The disks of all machines are copies of one.
disk_on() {
        local options=loop

        [ "$fs" = ext4 ] || options+=,nouuid
        mount -o $options "$here/disk" "$here/mnt"
        machine_mount $release "$here/mnt"
}

# The machine's own mounts go a moment after it; until then the disk that stopped would be mounted again.
disk_off() {
        local i

        for ((i = 0; i < 1000; i++)); do
                umount "$machine" 2>/dev/null
                umount "$here/mnt" 2>/dev/null
                # Not mountpoint(1): it cannot look at a disk that has stopped.
                ! grep -q " $here/" /proc/self/mountinfo && [ -z "$(losetup -j "$here/disk")" ] && return
                pause 0.02
        done
        return 1
}

# Sleeps without a process.
pause() {
        read -rt "$1" <&"$nothing" || true
}

# The power goes: first the disk, then the processor.
power_off() {
        "$goingdown" "$here/mnt" "$1"
        kill_machine
        disk_off || return
        disk_on
}

# PID 1 of the machine is a child of systemd-nspawn. It would go on without it.
kill_machine() {
        local nspawn

        nspawn=$(<"$shared/nspawn")
        # shellcheck disable=SC2046 # numbers
        kill -KILL $(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null) "$nspawn" 2>/dev/null
        wait "$running" 2>/dev/null || true
}

# For an end that comes early.
stop_all() {
        [ ${#workers_running[@]} -eq 0 ] || kill -KILL "${workers_running[@]}" 2>/dev/null
        for here in "$work"/worker*; do
                machine=$here/root shared=$here/shared
                [ ! -e "$shared/nspawn" ] || kill_machine
                umount -l "$machine" "$here/mnt" 2>/dev/null
        done
}

# What firmware, GRUB and the early kernel do, then PID 1.
power_on() {
        local image sys=$shared/sys

        mkdir -p "$machine/proc/sys/kernel/random" "$machine/sys/kernel"
        image=$(next_boot "$machine") || return
        sync -f "$here/mnt"
        cp "$machine/proc/cmdline" "$shared/cmdline"
        rm -rf "$sys" "$shared/up" "$shared/over"
        cp -a "$work/hardware/sys" "$sys"
        if [ -e "$machine/sys/kernel/iommu_groups/0" ]; then
                for bdf in 0000:01:00.0 0000:01:00.1; do
                        ln -s ../../../../kernel/iommu_groups/7 "$sys/bus/pci/devices/$bdf/iommu_group"
                        ln -s "../../../../bus/pci/devices/$bdf" "$sys/kernel/iommu_groups/7/devices/$bdf"
                done
        else
                rm -r "$sys/kernel/iommu_groups/7"
        fi
        if [ -e "$machine/sys/kernel/iommu_groups/0" ] && grep -q gpuvm-vfio.rules "$machine$image"; then
                bind_gpu "$sys" vfio-pci
        else
                bind_gpu "$sys" nouveau
        fi
        cp "$work/driver" "$shared/driver"
        machine_spawn >/dev/null 2>&1 &
        running=$!
        boots=$((boots + 1))
}

# --- what has to hold

# Whether a phase has reported its end: what the console shows was said before the power went.
reported() {
        grep -qa "gpuvm-$1\[[0-9]*\]: $2" "$here/console"
}

is_ready() {
        grep -qs '"ready": *true' "$machine/var/lib/gpuvm/report.json"
}

# Prints what is wrong with the disk after a cut.
look_at_disk() {
        local package

        starts "$machine" 2>&1 || return 0
        GPUVM_ROOT=$machine "$machine/usr/lib/gpuvm/gpuvm-undo" --list 2>&1 | grep 'no whole record'
        find "$machine/var/lib/gpuvm" -name '*.json' -exec python3 -c 'import json, sys
for name in sys.argv[1:]:
    json.load(open(name))' {} + 2>&1 | tail -n 1
        [ ! -e "$machine/var/lib/gpuvm/pending" ] || [ "$(tail -n 1 "$machine/var/lib/gpuvm/pending")" = end ] || echo 'the story is torn'
        if reported packages Done; then
                for package in $packages; do
                        grep -qx "Package: $package" "$machine/var/lib/dpkg/status" || echo "packages was done, $package is not there"
                done
        fi
        ! reported iommu Done || grep -rqs intel_iommu=on "$machine/boot/grub" || echo 'iommu was done, and the command line is not there'
        ! reported reboot Restarting || [ -s "$machine/var/lib/gpuvm/pending" ] || is_ready || echo 'a restart was announced and is not counted'
        ! reported vfio Done || [ -s "$machine/etc/udev/rules.d/70-gpuvm-vfio.rules" ] || echo 'vfio was done, and its rule is not there'
        ! reported verify Ready || is_ready || echo 'ready was said, and the report does not say it'
}

# All that lasts, but for what differs from run to run. A record that was being written when the power went has left its
# half beside; the next one takes that name again.
digest() {
        (cd "$machine" && find etc boot var/lib/gpuvm var/lib/dpkg/status -printf '%p %y %m %l\n' &&
                find etc boot var/lib/gpuvm var/lib/dpkg/status -type f -print0 | xargs -0 sha256sum) |
                grep -Ev 'grubenv|machine-id|/(phases|report\.json|ledger|unproven)|var/lib/gpuvm/\.[^/ ]*\.gpuvm-new|resolv\.conf|\.gpuvm-old|\.updated|dpkg-new' | LC_ALL=C sort
}

# Sets now, in milliseconds.
look_at_clock() {
        now=$((${EPOCHREALTIME/[.,]/} / 1000))
}

# run_until MILLISECONDS: lets it run until that time of its story (since multi-user.target of each boot; "" for no
# limit), across restarts of its own. Sets outcome: "time", "over" or what went wrong.
run_until() {
        local began up status

        outcome=
        while :; do
                look_at_clock
                began=$now up='' status=0
                while [ -z "$outcome" ] && kill -0 "$running" 2>/dev/null; do
                        pause 0.005
                        look_at_clock
                        if [ -z "$up" ] && [ -e "$shared/up" ]; then up=$now; fi
                        if [ -e "$shared/over" ]; then
                                outcome=over
                        elif [ -n "$1" ] && [ -n "$up" ] && [ $((story + now - up)) -ge "$1" ]; then
                                outcome="time"
                        elif [ $((now - began)) -gt 90000 ]; then
                                outcome='it hangs'
                        fi
                done
                cat "$shared/console" >>"$here/console"
                [ -z "$up" ] || story=$((story + now - up))
                [ -z "$outcome" ] || return 0
                wait "$running" || status=$?
                if [ "$status" != 133 ] || [ -z "$up" ]; then
                        outcome="a boot ended with $status${up:-, before multi-user.target}"
                        return 0
                fi
                restarts=$((restarts + 1))
                [ "$boots" -lt 8 ] || { outcome='it restarts for ever'; return 0; }
                power_on || { outcome='there is nothing to boot'; return 0; }
        done
}

# trial FS MODE MILLISECONDS|"": one machine, cut at that time; prints what is wrong.
trial() {
        local fs=$1 mode=$2 limit=$3 found

        story=0 boots=0 restarts=0
        cp --sparse=always "$work/$fs.disk" "$here/disk"
        rm -f "$shared"/by-hand "$here/console"
        disk_on
        power_on || { echo 'there is nothing to boot'; return; }
        run_until "$limit"
        if [ -n "$limit" ]; then
                case $outcome in time | over) ;; *) echo "before the cut: $outcome"; return ;; esac
                power_off "$mode" || { echo 'the disk is busy'; return; }
                found=$(look_at_disk)
                [ -z "$found" ] || { echo "after the cut: $found"; return; }
                power_on || { echo 'after the cut there is nothing to boot'; return; }
                run_until ''
        fi
        [ "$outcome" = over ] || { echo "in the end: $outcome"; return; }
        [ "$(cat "$shared/over")" = active ] || { echo 'it does not come to its end'; return; }
        power_off nologflush || { echo 'the disk is busy'; return; }
        found=$(look_at_disk)
        [ -z "$found" ] || { echo "when it was done: $found"; return; }
        [ "$restarts" -le 2 ] || echo "$restarts restarts"
        # The first start is by hand, and so may be one after the cut, but none where a restart was under way.
        [ "$(wc -l <"$shared/by-hand")" -le 2 ] || echo "it was started by hand $(wc -l <"$shared/by-hand") times: $(paste -sd'|' "$shared/by-hand")"
        if [ -e "$work/end" ]; then
                diff "$work/end" <(digest) | head -n 10
        else
                digest >"$work/end"
                echo $story >"$work/length"
        fi
}

# trials WORKER: each of its numbers, with the moment, the file system and the mode that go with it.
trials() {
        local i length fs mode at found

        exec {nothing}<> <(:)
        here=$work/worker$1
        mkdir -p "$here/mnt"
        [ -e "$here/root" ] || machine_place "$here"
        cp "$work/init/"* "$shared/"
        length=$(cat "$work/length" 2>/dev/null) || length=
        for ((i = $1; i < ${2:-$cuts}; i += workers)); do
                RANDOM=$((seed + i * 7919))
                fs=ext4 mode=logflush at=
                [ $((i / 2 % 2)) = 0 ] || fs=xfs
                [ $((i / 4 % 2)) = 0 ] || mode=nologflush
                [ -z "$length" ] || at=$(((RANDOM * 32768 + RANDOM) % (length + length / 10)))
                trial $fs $mode "$at" >"$here/found" 2>&1
                kill_machine
                disk_off || echo 'the disk is busy' >>"$here/found"
                found=$(<"$here/found")
                if [ -n "$found" ]; then
                        {
                                echo "not ok $i: $fs, $mode, after $at ms: $found"
                                cat "$here/console" "$shared/by-hand" | grep -a 'gpuvm-[a-z]*\[' | grep -av gpuvm-preflight
                        } >>"$here/results"
                else
                        echo ok >>"$here/results"
                fi
        done
}

# --- go
make_sys
# What fails from here on is looked at.
set +e
here=$work/base
mkdir -p "$here/mnt" "$work/init"
machine_place "$here"
for fs in ext4 xfs; do
        rm -f "$here/disk"
        case $fs in
        ext4) truncate -s 64M "$here/disk" && mkfs.ext4 -q "$here/disk" ;;
        xfs) truncate -s 320M "$here/disk" && mkfs.xfs -q "$here/disk" ;;
        esac
        disk_on || skip_all 'no loop mounts here'
        install_machine
        exec {nothing}<> <(:)
        disk_off
        mv "$here/disk" "$work/$fs.disk"
done
cat >"$shared/before-init" <<'INIT'
mount --bind /sys/fs/cgroup /shared/sys/fs/cgroup
mount --rbind /shared/sys /sys
INIT
cp "$shared/init" "$shared/before-init" "$work/init/"

# Uncut, to know how long it takes and what it ends with.
workers=1 trials 0 1
is 'a machine that is not cut comes to its end' "$(cat "$work/worker0/results")" ok
[ "$tap_failed" -eq 0 ] || { done_testing; exit 1; }
diag "uncut it takes $(cat "$work/length") ms"

for ((worker = 0; worker < workers; worker++)); do
        trials $worker &
        workers_running[worker]=$!
done
wait "${workers_running[@]}"
workers_running=()
results=$(sed 1d "$work/worker0/results" && cat "$work"/worker[1-9]*/results)
is "$cuts cuts were made" "$(grep -cE '^(not )?ok' <<<"$results")" "$cuts"
is 'none does harm' "$(grep -c '^not ok' <<<"$results")" 0
[ "$tap_failed" -eq 0 ] || diag "$(grep -v '^ok' <<<"$results")"
done_testing
