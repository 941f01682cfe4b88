#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Cards that come and go under a real systemd and a real udevd, by the kernel's own events: hotplug.sh RELEASE
#
# Two PCI functions of this machine look to the container like GPUs; their attributes are files of the test. The
# host is exclusive but for the second one.
#
# shellcheck disable=SC2317,SC2154 # the steps are called inside the container, and source /shared/cards there
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=gpus.sh
. "$(dirname "$0")/gpus.sh"

container_require
release=${1:-trixie} archive=libarchive13t64
[ "$release" != bookworm ] || archive=libarchive13
mapfile -t real < <(for device in /sys/bus/pci/devices/*; do readlink -f "$device"; done 2>/dev/null |
        grep -E '^/sys/devices/pci[^/]*/[^/]*$' | head -n2)
[ "${#real[@]}" -eq 2 ] || skip_all 'needs a machine with two PCI functions'
uevents_alone
gpu=${real[0]##*/} other=${real[1]##*/}
machine_new "$release" libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils "$archive" libxml2
gpus_libvirt

# udevd wants a /sys that can be written to. Only what is triggered here shall happen.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes
ln -sf /dev/null "$machine/etc/systemd/system/systemd-udev-trigger.service"
for service in systemd-udevd gpuvm-vfio@; do
        mkdir -p "$machine/etc/systemd/system/$service.service.d"
done
printf '[Service]\nEnvironment=SYSTEMD_DEVICE_VERIFY_SYSFS=0\n' >"$machine/etc/systemd/system/systemd-udevd.service.d/fake.conf"

# A recorded machine with the same cards, on VFIO as the early rule leaves them: setup makes the rule of it, and the real
# helper is content with it.
tree=$shared/tree
mkdir -p "$tree"/{etc,proc/self,run,var/lib,sys/bus/pci/devices,sys/bus/pci/drivers/vfio-pci,sys/kernel/iommu_groups}
printf 'vfio_pci 16384 0 - Live 0x0\n' >"$tree/proc/modules"
: >"$tree/proc/self/mountinfo"
printf '[Gpu]\nMode=exclusive\n[Gpu %s]\nMode=flexible\n' "$other" >"$tree/etc/gpuvm.conf"
# card ADDRESS GROUP
card() {
        local dev=$tree/sys/devices/pci0000:00/$1 attribute

        mkdir -p "$dev" "$tree/sys/kernel/iommu_groups/$2/devices"
        for attribute in vendor:0x10de device:0x2684 class:0x030000 subsystem_vendor:0x1458 subsystem_device:0x1458 \
                driver_override:vfio-pci; do
                echo "${attribute#*:}" >"$dev/${attribute%%:*}"
        done
        ln -s "../../../devices/pci0000:00/$1" "$tree/sys/bus/pci/devices/$1"
        ln -s "../../../kernel/iommu_groups/$2" "$dev/iommu_group"
        ln -s "../../../../devices/pci0000:00/$1" "$tree/sys/kernel/iommu_groups/$2/devices/$1"
        ln -s ../../../bus/pci/drivers/vfio-pci "$dev/driver"
}
card "$gpu" 12
card "$other" 13

# What udevd, PID 1 and the program see of them: one directory for each time that a card is put in.
mkdir -p "$shared"/{bus,fake,groups/12/devices,groups/13/devices}
for device in "${real[@]}"; do
        fake=$shared/fake/${device##*/}
        mkdir "$fake"
        cp "$tree/sys/bus/pci/devices/${device##*/}"/{vendor,device,class,subsystem_vendor,subsystem_device} "$fake"
        cp "$device/uevent" "$fake/uevent"
        ln -s ../../../bus/pci "$fake/subsystem"
        ln -s ../../../bus/pci/drivers/vfio-pci "$fake/driver"
        ln -s "/sys/kernel/iommu_groups/$(basename "$(readlink "$tree/sys/bus/pci/devices/${device##*/}/iommu_group")")" "$fake/iommu_group"
        printf '(null)\n' >"$fake/driver_override"
        printf '0\n' >"$fake/boot_vga"
done
cat >"$shared/before-init" <<BEFORE
export SYSTEMD_DEVICE_VERIFY_SYSFS=0
# PID 1 listens to udevd if there is one; in a container, where /dev is its own, this is how it tells.
mkdir -p /run/udev
: >/run/udev/control
mkdir /shared/sys
mount --rbind /sys /shared/sys
mount --make-rprivate /shared/sys
mount --bind /shared/bus /sys/bus/pci/devices
mount --bind /shared/groups /sys/kernel/iommu_groups
BEFORE
cat >"$shared/cards" <<CARDS
export SYSTEMD_DEVICE_VERIFY_SYSFS=0
gpu=$gpu other=$other n=0
declare -A path=([$gpu]=${real[0]} [$other]=${real[1]})
CARDS

# The unit's work, noted.
cat >"$shared/work" <<'WORK'
echo "$1 $2" >>/shared/log
WORK
cat >"$machine/etc/systemd/system/gpuvm-vfio@.service.d/log.conf" <<'UNIT'
[Service]
ExecStart=
ExecStop=
ExecStart=/bin/bash /shared/work attach %i
ExecStop=/bin/bash /shared/work detach %i
ReadWritePaths=/shared
UNIT

# event ACTION ADDRESS...: the kernel says it.
event() {
        local address

        for address in "${@:2}"; do
                echo "$1" >"/shared${path[$address]}/uevent"
        done
}

plug() {
        cp -a "/shared/fake/$1" "/shared/fake/$1.$((n += 1))"
        mount --bind "/shared/fake/$1.$n" "${path[$1]}"
        ln -sfn "../../../devices${path[$1]#/sys/devices}" "/sys/bus/pci/devices/$1"
        ln -sfn "../../../../devices${path[$1]#/sys/devices}" "$(readlink "/shared/fake/$1/iommu_group")/devices/$1"
        event add "$1"
}

pull() {
        rm "/sys/bus/pci/devices/$1" "$(readlink "/shared/fake/$1/iommu_group")/devices/$1"
        event remove "$1"
        umount -l "${path[$1]}"
}

# settled: udevd has nothing to do, and neither has systemd.
settled() {
        udevadm settle --timeout=30
        systemctl is-system-running --wait >/dev/null
        while [ -n "$(systemctl list-jobs --no-legend)" ]; do
                sleep 0.05
        done
}

state() {
        systemctl show -P ActiveState "gpuvm-vfio@$1.service"
}

# done_so_far: what the unit did, and forgets it.
done_so_far() {
        local did

        did=$(uniq -c /shared/log 2>/dev/null | sed 's/^ *//' | paste -sd,)
        rm -f /shared/log
        echo "$did"
}

# until_true COMMAND...: milliseconds until it succeeds, or "never".
until_true() {
        local start i

        start=$(date +%s%N)
        for ((i = 0; i < 200; i++)); do
                if "$@"; then
                        echo $((($(date +%s%N) - start) / 1000000))
                        return
                fi
                sleep 0.02
        done
        echo never
}

has_state() {
        [ "$(state "$1")" = "$2" ]
}

# until_state ADDRESS STATE
until_state() {
        until_true has_state "$@"
}

# until_told EVENT
until_told() {
        until_true grep -q " $1\$" /shared/events
}

# What somebody is told who follows the events. That a machine is listed shows that he does.
told() {
        local pid i in out

        virsh -q -c qemu:///system define /dev/stdin >/dev/null <<<'<domain type="qemu"><name>one</name><memory>1024</memory>
<os><type arch="x86_64">hvm</type></os></domain>'
        : >/shared/events
        vmctl events --follow >>/shared/events 2>/shared/events-errors </dev/null &
        pid=$!
        for ((i = 0; i < 10; i++)); do
                [ "$(until_told 'vm one off')" = never ] || break
        done
        # As above, the best of three.
        for ((i = 0; i < 3; i++)); do
                : >/shared/events
                plug "$other"
                in=$(until_told "gpu $other added")
                settled
                pull "$other"
                out=$(until_told "gpu $other removed")
                settled
                [ "${in/never/9999}" -gt 2000 ] || [ "${out/never/9999}" -gt 2000 ] || break
        done
        echo "told=$in"
        echo "told-gone=$out"
        : >/shared/events
        plug "$gpu"
        until_told "gpu $gpu active" >/dev/null
        for ((i = 0; i < 10; i++)); do
                event add "$gpu"
        done
        settled
        systemctl daemon-reload
        pull "$gpu"
        until_told "gpu $gpu removed" >/dev/null
        until_told "gpu $gpu inactive" >/dev/null
        kill -INT "$pid"
        wait "$pid"
        echo "told-all=$(sed 's/^[^ ]* //; /activating$/d' /shared/events | sort | uniq -c | sed 's/^ *//' | paste -sd,)"
        settled
        rm -f /shared/log
}

all() {
        . /shared/cards
        /usr/lib/gpuvm/gpuvm-vfio --root=/shared/tree setup >/shared/setup 2>&1
        cp /shared/tree/etc/udev/rules.d/70-gpuvm-vfio.rules /etc/udev/rules.d
        udevadm control --reload
        systemctl start "gpuvm-vfio@0000:99:00.0.service"
        echo "by-hand=$(until_state 0000:99:00.0 active)"
        rm -f /shared/log
        told

        plug "$other"
        # What the machine does beside this is no part of it: the best of three.
        for ((i = 0; i < 3; i++)); do
                plug "$gpu"
                took=$(until_state "$gpu" active)
                settled
                [ "${took/never/9999}" -gt 2000 ] || break
                pull "$gpu"
                settled
                rm -f /shared/log
        done
        [ "$i" -lt 3 ] || plug "$gpu"
        echo "plugged=$took"
        settled
        echo "listed=$(systemctl list-units --all --no-legend --plain 'gpuvm-*.device' | awk '$3 == "active" { print $1 }' | sort | paste -sd,)"
        echo "flexible=$(state "$other") override=$(cat "${path[$other]}/driver_override") $(cat "${path[$gpu]}/driver_override")"
        for ((i = 0; i < 100; i++)); do
                event add "$gpu"
        done
        settled
        echo "storm=$(state "$gpu") $(done_so_far)"
        pull "$gpu"
        took=$(until_state "$gpu" inactive)
        settled
        echo "ended=$(state "$gpu") $(done_so_far)"
        for ((i = 1; i < 3 && ${took/never/9999} > 2000; i++)); do
                plug "$gpu"
                settled
                pull "$gpu"
                took=$(until_state "$gpu" inactive)
                settled
                rm -f /shared/log
        done
        echo "pulled=$took"
        for ((i = 0; i < 10; i++)); do
                plug "$gpu"
                systemctl daemon-reload
                settled
                echo "reload-add=$(state "$gpu")"
                pull "$gpu" &
                systemctl daemon-reload
                wait
                settled
                echo "reload-remove=$(state "$gpu")"
        done

        # The program itself, in its sandbox: the card is on VFIO already.
        rm /etc/systemd/system/gpuvm-vfio@.service.d/log.conf
        cp /shared/tree/etc/gpuvm.conf /etc/gpuvm.conf
        systemctl daemon-reload
        took=9999 gone=9999
        for ((i = 0; i < 3 && (took > 2000 || gone > 2000); i++)); do
                plug "$gpu"
                ms=$(until_state "$gpu" active)
                [ "${ms/never/9999}" -ge "$took" ] || took=$ms
                settled
                pull "$gpu"
                ms=$(until_state "$gpu" inactive)
                [ "${ms/never/9999}" -ge "$gone" ] || gone=$ms
                settled
        done
        echo "real=$took"
        echo "real-pulled=$gone"
        for last in in out in; do
                for ((i = 0; i < 33; i++)); do
                        plug "$gpu"
                        pull "$gpu"
                done
                [ "$last" = out ] || plug "$gpu"
                settled
                echo "alternating-$last=$(state "$gpu" | sed 's/failed/inactive/')"
                [ "$last" = out ] || pull "$gpu"
                settled
        done
        # Put in again while the unit is still stopping, when systemd does not take its start.
        printf '[Service]\nExecStop=\nExecStop=/bin/sleep 1\nExecStop=/usr/lib/gpuvm/gpuvm-vfio detach %%i\n' \
                >/etc/systemd/system/gpuvm-vfio@.service.d/slow.conf
        systemctl daemon-reload
        plug "$gpu"
        settled
        pull "$gpu"
        until_state "$gpu" deactivating >/dev/null
        plug "$gpu"
        settled
        echo "meanwhile=$(state "$gpu")"
        journalctl --no-pager -o short-monotonic -u "gpuvm-vfio@$gpu.service" >/shared/journal
}
machine_boot all
is "$release: it ended by itself" "$status" 0

# value NAME: what the step said of it.
value() {
        sed -n "s/^$1=//p" <<<"$output" | sort -u
}
# soon NAME TEXT: within two seconds, which is the goal.
soon() {
        local ms

        ms=$(value "$1")
        diag "$1: ${ms:-nothing} ms"
        check "$release: $2, within two seconds" test "${ms/never/9999}" -le 2000
}
soon by-hand 'a unit that is started by hand, for a card that udev does not know, is not kept waiting'
soon told 'a flexible GPU that is put in is told to who follows the events'
soon told-gone 'and that it is gone'
is "$release: of an exclusive one its unit as well, each change once" "$(value told-all)" \
        "1 gpu $gpu active,1 gpu $gpu added,1 gpu $gpu inactive,1 gpu $gpu removed"
soon plugged 'a card that is put in becomes an active unit'
is "$release: both cards are units of systemd" "$(value listed)" \
        "$(printf 'gpuvm-%s.device\n' "$gpu" "$other" | sort | paste -sd,)"
is "$release: the flexible one is left to the host" "$(value flexible)" 'inactive override=(null) vfio-pci'
is "$release: a hundred events are one start" "$(value storm)" "active 1 attach $gpu"
soon pulled 'a card that is pulled out ends its unit'
is "$release: which was stopped once" "$(value ended)" "inactive 1 detach $gpu"
is "$release: a reload of systemd loses no card" "$(value reload-add)" active
is "$release: and keeps none" "$(value reload-remove)" inactive
soon real 'the program itself finds the card in order'
soon real-pulled 'and ends with it'
is "$release: a hundred times in and out, in at last" "$(value alternating-in)" active
is "$release: and out at last" "$(value alternating-out)" inactive
is "$release: put in again while its unit was still stopping: it is started once more" "$(value meanwhile)" active
[ -z "$tap_failed" ] || [ "$tap_failed" -eq 0 ] || diag "$output
$(cat "$shared/setup" "$shared/journal" "$shared/stderr" "$shared/events-errors" "$shared/events" 2>/dev/null | tail -n 40)"
done_testing
