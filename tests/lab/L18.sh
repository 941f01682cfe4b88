#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154,SC2016,SC2034 # stage.sh and guestvm.sh set what is not set here, and use what is; the machine expands the rest
# L18: two declared machines hand one GPU over by systemctl alone; the host restarts, and who has the GPU and what comes when is
# as declared; then the power is cut while it changes hands, at moments all over that: L18.sh [CUTS [SEED]]. 6, unless told
# otherwise.
#
# The guests are 512 bytes each that know the power button (../mock/bootsector.py): one that boots takes an emulated machine
# minutes. Who has a GPU is the machine whose QEMU has its IOMMU group open.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"
# shellcheck source=guestvm.sh
. "$(dirname "$0")/guestvm.sh"

cuts=${1:-6}
seed=${2:-$RANDOM}
RANDOM=$seed
# What the machine has flushed is there afterwards, as on a disk that keeps its word.
export LAB_DISK_CACHE=writeback

# declare_vm NAME GPU
declare_vm() {
        lab_ssh "mkdir -p /etc/gpuvm/vms && cat >/etc/gpuvm/vms/$1.vm" <<-END
		[Vm]
		Kind=debian
		Image=/var/lib/libvirt/images/polite.raw
		Firmware=bios
		Cpus=1
		Memory=128
		Disk=10
		[Gpu]
		Gpu=$2
		[Guest]
		SshKey=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada
		[Install]
		WantedBy=multi-user.target
	END
}

# Machines that have the GPU's IOMMU group open; each once.
owner() {
        stage_run "find /proc/[0-9]*/fd -lname /dev/vfio/\$(basename \$(readlink /sys/bus/pci/devices/$gpu/iommu_group)) 2>/dev/null |
                cut -d/ -f3 | sort -u | while read -r pid; do
                        tr '\0' '\n' </proc/\$pid/cmdline | sed -n 's/^guest=\([^,]*\).*/\1/p'
                done" | xargs
}

# The units of day, night and other, and who has the GPU.
state() {
        echo "$(stage_run 'systemctl is-active gpuvm-vm@day gpuvm-vm@night gpuvm-vm@other' | xargs), $(owner) $(drivers)"
}

# Nothing but their definitions, as libvirt has them for their next start.
definitions() {
        stage_run 'for i in day night other; do virsh -q dumpxml --inactive $i; done'
}

# hand_over FROM TO WHEN: that one is on. Sets span.
hand_over() {
        local from=$1 to=$2 since told run began=$SECONDS

        since=$(stage_run 'date +%s')
        run=$(stage_run "systemctl show -P InvocationID gpuvm-vfio@$gpu")
        check "$3: $to is started" stage_run "systemctl start gpuvm-vm@$to"
        span=$((SECONDS - began))
        is "$3: and has the GPU, $from is off" "$(state)" "${state_of[$to]}"
        # systemd forgets the times of a unit that is off and that nobody wants.
        told=$(stage_run "journalctl -b -o cat --since=@$since -u gpuvm-vm@$from -u gpuvm-vm@$to")
        like "$3: $from was asked to shut down, and did" "$told" "'$from' has shut down"
        like "$3: before $to began" "$told" "Stopped gpuvm-vm@$from\.service.*Starting gpuvm-vm@$to\.service"
        is "$3: the GPU stayed on VFIO on the way: its unit runs as before" \
                "$(stage_run "systemctl is-active gpuvm-vfio@$gpu; systemctl show -P InvocationID gpuvm-vfio@$gpu" | xargs)" "active $run"
        is "$3: and no driver of the host's saw it" \
                "$(stage_run "journalctl -b -o cat --since=@$since -u gpuvm-vfio@$gpu | grep -E '^(bind|release) |belongs to VFIO|went back' || true")" ''
        like "$3: which is told" "$told" "keep $gpu: '$from' is off, and '$to' starts next"
        scenario_time "$3: $to has it"
}

# An emulated machine that starts is slower than systemd expects of any, several times over: its own limits are not what is
# tested. Those of gpuvm's units are as they are.
patience() {
        stage_run 'mkdir -p /etc/systemd/system.conf.d
                printf "[Manager]\nDefaultTimeoutStartSec=10min\nDefaultDeviceTimeoutSec=10min\n" \
                        >/etc/systemd/system.conf.d/lab.conf
                systemctl daemon-reexec'
}

# The host tells on its serial console when all that it starts has started: on a machine that has much to do, ssh would keep it
# from that.
teller() {
        lab_ssh 'cat >/etc/systemd/system/lab-tell.service' <<-'END'
		[Service]
		Type=exec
		ExecStart=sh -c "systemctl is-system-running --wait; printf '\\nlab: up\\n' >/dev/ttyS0"
		[Install]
		WantedBy=multi-user.target
	END
        stage_run 'systemctl daemon-reload && systemctl enable -q lab-tell'
}

# wait_up [BOOT_ID]: not the boot with this one.
wait_up() {
        local deadline=$((SECONDS + 2400))

        until tr -d '\r' <"$lab_directory/serial.log" | grep -aqx 'lab: up'; do
                lab_alive || { lab_fail "QEMU ended: $(tail -n 3 "$lab_directory/qemu.log")"; return 1; }
                [ $SECONDS -lt $deadline ] || { lab_fail "the machine did not come up within 2400 s"; return 1; }
                sleep 2
        done
        lab_forget_connection
        lab_wait_boot 600 "${1-}"
}

# came_up WHEN: the host, by itself.
came_up() {
        is "$1: the host is up, and nothing failed" \
                "$(stage_run 'systemctl is-system-running; systemctl --failed --no-legend --plain' || true)" running
        is "$1: the one that is wanted first has the GPU, alone" "$(state)" "${state_of[day]}"
        is "$1: all are defined as they were" "$(definitions)" "$defined"
        scenario_time "$1: up"
}

declare -A state_of=([day]="active inactive active, day vfio-pci vfio-pci" [night]="inactive active active, night vfio-pci vfio-pci")
diag "seed $seed"
stage_up L18 bootstrapped
gpu=$stage_twin audio=${stage_twin%0}1
LAB_TIMEOUT=1200
python3 "$scenario_here/../mock/bootsector.py" polite "$lab_directory/polite.raw"
lab_put "$lab_directory/polite.raw"
stage_run 'install -m 644 /root/polite.raw /var/lib/libvirt/images/ && rm /root/polite.raw
        echo "blacklist kvm_amd" >/etc/modprobe.d/lab-kvm.conf'
guestvm_emulate
patience
teller

# Two that are wanted by the host and cannot both be had: the first by name is. A third one comes after that one, also by name:
# beside it this machine would not have the GiB free that a host keeps when the second one is made.
declare_vm day "$gpu"
declare_vm night "$gpu"
declare_vm other none
stage_run 'mkdir -p /etc/systemd/system/gpuvm-vm@other.service.d
        printf "[Unit]\nAfter=gpuvm-vm@day.service\n" >/etc/systemd/system/gpuvm-vm@other.service.d/order.conf'
vmctl apply
is "three machines are made of their files" "$status" 0
diag "$said"
is "all but the one whose GPU another has are on" "$(state)" "${state_of[day]}"
vmctl diff
is "as declared" "$status" 0
defined=$(definitions)
scenario_time "machines"

hand_over day night "at first"
hand_over night day "and back"
hand_over day night "once more"
whole=$span

booted=$lab_boot_id
stage_run 'systemctl reboot' || true
wait_up "$booted"
came_up "after a reboot"
check "after a reboot: what comes after another waited for it" stage_run \
        'set -- $(systemctl show -P ActiveEnterTimestampMonotonic gpuvm-vm@day; systemctl show -P InactiveExitTimestampMonotonic gpuvm-vm@other)
        test $1 -gt 0 && test $1 -le $2'
like "after a reboot: who was wanted as well is told" "$(stage_run 'journalctl -b -o cat -t gpuvm-generator')" \
        "/etc/gpuvm/vms/night.vm:[0-9]+: .*day, which starts with the host as well"

to=night
for ((cut = 1; cut <= cuts; cut++)); do
        # One in each part of the time that it takes.
        at=$(awk -v whole="$whole" -v cut="$cut" -v cuts="$cuts" -v random="$RANDOM" \
                'BEGIN { printf "%.2f", whole * (cut - 1 + random / 32768) / cuts }')
        stage_run "systemd-run -q sh -c 'exec journalctl -b -f -n 0 -o cat -u gpuvm-vm@* -u gpuvm-vfio@* >/dev/ttyS0'; sleep 2
                sync; systemctl start --no-block gpuvm-vm@$to"
        sleep "$at"
        lab_end
        diag "cut $cut: $to took it for $at s of $whole; the last words:
$(tail -n 3 "$lab_directory/serial.log" | tr -d '\r\033')"
        : >"$lab_directory/serial.log"
        lab_boot unused "${stage_hardware[@]}"
        wait_up
        came_up "cut $cut"
        hand_over day night "cut $cut"
        # The next time the other way round, and then from the start of the host on again.
        if [ $to = night ]; then
                to=day
        else
                to=night
                hand_over night day "cut $cut, back"
        fi
done
vmctl diff
is "all are still as declared" "$status" 0

stage_run 'rm /etc/gpuvm/vms/*.vm; systemctl daemon-reload'
check "all goes" stage_run 'vmctl delete --yes --force day night other >/root/said 2>&1 || { cat /root/said; exit 1; }'
is "and the host's driver has the GPU" "$(drivers)" "nvidia snd_hda_intel"
scenario_end
