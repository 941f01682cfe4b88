#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Units with a network of their own see what the host cannot do without, and no more: sandbox.sh RELEASE
#
# A script in place of each unit's program looks around; all else of the unit is as it is.
#
# shellcheck disable=SC2317 # the step is called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
units='preflight verify iommu vfio vfio@0000:01:00.0'
machine_new "$release"

# Under names of their own, so that no phase before them is needed.
for unit in $units; do
        file=$machine/etc/systemd/system/look-$unit.service
        cp "$machine/usr/lib/systemd/system/gpuvm-${unit/@*/@}.service" "$file"
        mkdir "$file.d"
        printf '[Service]\nExecStart=\nExecStart=/bin/bash /shared/look\nExecStop=\nExecStopPost=\nRemainAfterExit=no\n' >"$file.d/look.conf"
        printf 'StandardOutput=file:/shared/seen-%s\n' "$unit" >>"$file.d/look.conf"
        # As for the EFI variables.
        [ "$unit" != iommu ] || echo 'ReadWritePaths=-/sys/kernel/mm' >>"$file.d/look.conf"
done

# One whole /sys, as a host has it: what systemd-nspawn puts together would be seen in any network.
cat >"$shared/before-init" <<'INIT'
mkdir /run/group
mount --bind /sys/fs/cgroup /run/group
mount -t sysfs -o ro sysfs /sys
mount --bind /run/group /sys/fs/cgroup
umount /run/group
INIT

# A file system below /sys stands in for the EFI variables. The network that a process has is its own affair.
cat >"$shared/look" <<'LOOK'
echo "cards: $(ls /sys/class/net | xargs)"
echo "routes: $(tail -n +2 /proc/1/net/route | cut -f 1,2 | xargs)"
echo "mounts: $(cut -d ' ' -f 3,5 /proc/1/mountinfo | cksum)"
echo "below /sys: $(cat /sys/kernel/mm/stand-in)"
if { echo x >/sys/kernel/mm/probe; } 2>/dev/null; then echo '/sys can be written'; fi
for device in kvm nvidiactl nvidia-uvm other; do
        if [ -e "/dev/$device" ]; then echo "/dev/$device is seen"; fi
done
echo "network: $(readlink /proc/self/ns/net)"
LOOK

look_around() {
        local unit

        ip link add host0 type veth peer name host1
        ip link set lo up
        ip route add default dev lo
        mkdir -p /home
        mount -t tmpfs none /home
        mount -t tmpfs none /sys/kernel/mm
        echo here >/sys/kernel/mm/stand-in
        touch /dev/kvm /dev/nvidiactl /dev/nvidia-uvm /dev/other
        bash /shared/look >/shared/seen-outside
        for unit in $1; do
                systemctl start "look-$unit.service" || journalctl --no-pager -n 20 -u "look-$unit.service" >&2
        done
}
machine_boot "look_around '$units'"

# part FILE PATTERN: those of its lines.
part() {
        grep -E "$2" "$shared/seen-$1" || true
}
all='/dev/kvm is seen, /dev/nvidiactl is seen, /dev/nvidia-uvm is seen, /dev/other is seen'
common='^(cards|routes|mounts|below)'
outside=$(part outside "$common")
like "$release: there was something to see" "$outside" 'cards: host0 host1 lo.routes: lo 00000000.mounts: [0-9 ]+.below /sys: here'
for unit in $units; do
        is "$release: $unit sees the host's cards, routes and mounts" "$(part "$unit" "$common")" "$outside"
        network=$(part "$unit" '^network: net:')
        check "$release: $unit has a network of its own" test -n "$network" -a "$network" != "$(part outside ^network)"
        case $unit in
        vfio@*) want='/sys can be written, /dev/nvidiactl is seen' ;;
        preflight) want='/dev/kvm is seen' ;;
        # It computes on the host's GPUs.
        verify) want='/dev/kvm is seen, /dev/nvidiactl is seen, /dev/nvidia-uvm is seen' ;;
        iommu) want="/sys can be written, $all" ;;
        *) want=$all ;;
        esac
        is "$release: $unit may do what it has to, and no more" "$(part "$unit" '^/' | paste -sd, | sed 's/,/, /g')" "$want"
done
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 60 "$shared/stderr")"
done_testing
