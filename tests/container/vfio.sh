#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-vfio@.service under a real systemd, in its sandbox, on a PCI bus that behaves: vfio.sh RELEASE FAKESYS
#
# Two GPUs, each with audio, share an IOMMU group: the unit of the lower one owns it, that of the other follows.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie} fakesys=$2
machine_new "$release"

# The bus, with real directories instead of links for devices: it lies over /sys/bus/pci, and the one group over those of
# the kernel.
function_of() {
        local dev=$shared/pci/devices/$1 driver=$shared/pci/drivers/$4

        mkdir -p "$dev" "$driver"
        echo 0x10de >"$dev/vendor"
        printf '0x%s\n' "$2" >"$dev/device"
        printf '0x%s\n' "$3" >"$dev/class"
        echo '(null)' >"$dev/driver_override"
        echo "$4" >"$dev/fake_drivers"
        printf '\xde\x10\x84\x26' | tee "$dev/config" >"$dev/fake_config"
        : >"$dev/reset"
        echo flr >"$dev/reset_method"
        ln -s ../../../../kernel/iommu_groups/12 "$dev/iommu_group"
        ln -s "/sys/bus/pci/devices/$1" "$shared/groups/12/devices/$1"
        ln -s "/sys/bus/pci/drivers/$4" "$dev/driver"
        ln -s "/sys/bus/pci/devices/$1" "$driver/$1"
        : >"$driver/bind"
        : >"$driver/unbind"
}
mkdir -p "$shared/pci/drivers/vfio-pci" "$shared/groups/12/devices"
: >"$shared/pci/drivers_probe"
: >"$shared/pci/drivers/vfio-pci/bind"
: >"$shared/pci/drivers/vfio-pci/unbind"
function_of 0000:01:00.0 2684 030000 nouveau
function_of 0000:01:00.1 22ba 040300 snd_hda_intel
function_of 0000:02:00.0 2684 030000 nouveau
function_of 0000:02:00.1 22ba 040300 snd_hda_intel
cp "$fakesys" "$shared/fakesys.so"
# shellcheck disable=SC2016 # expanded inside
echo 'mount --bind /shared/pci /sys/bus/pci
mount --bind /shared/groups /sys/kernel/iommu_groups
touch /dev/nvidiactl /dev/nvidia0 /dev/nvidia-uvm' >"$shared/before-init"
mkdir -p "$machine/etc/systemd/system/gpuvm-vfio@.service.d"
cat >"$machine/etc/systemd/system/gpuvm-vfio@.service.d/fake.conf" <<'UNIT'
[Service]
Environment=LD_PRELOAD=/shared/fakesys.so FAKESYS_ROOT= FAKESYS_LOG=/shared/log
ReadWritePaths=/shared
ExecStartPre=/bin/sh -c 'ls /dev >/shared/dev'
UNIT

# drivers: of the four functions, in short; then the states of both units.
state() {
        local device link out=

        for device in 0000:01:00.0 0000:01:00.1 0000:02:00.0 0000:02:00.1; do
                link=$(readlink "/sys/bus/pci/devices/$device/driver") || link=none
                case ${link##*/} in vfio-pci) out+=v ;; none) out+=- ;; *) out+=h ;; esac
        done
        echo "$1: $out $(systemctl is-active gpuvm-vfio@0000:01:00.0.service) $(systemctl is-active gpuvm-vfio@0000:02:00.0.service)"
}

# Until no job is left: the stop of a follower is queued, not waited for.
settle() {
        for _ in $(seq 300); do
                [ -n "$(systemctl list-jobs --no-legend 'gpuvm-vfio@*')" ] || return 0
                sleep 0.1
        done
}

orders() {
        local first=gpuvm-vfio@0000:01:00.0.service second=gpuvm-vfio@0000:02:00.0.service

        systemctl is-system-running --wait >/dev/null
        state before
        systemctl start "$first"; echo "$?"; state 'the owner started'
        systemctl start "$second"; echo "$?"; state 'the follower too'
        systemctl stop "$first"; echo "$?"; settle; state 'the owner stopped'
        systemctl start "$second"; echo "$?"; settle; state 'the follower started'
        systemctl stop "$second"; echo "$?"; settle; state 'the follower stopped'
        systemctl start "$second"; echo "$?"; state 'and started'
        systemctl stop "$second" "$first"; echo "$?"; settle; state 'both stopped'
        systemctl start "$second" "$first"; echo "$?"; settle; state 'both started'
        systemctl stop "$first" "$second"; echo "$?"; settle; state 'both stopped again'
}
machine_boot orders
is "$release: both orders of start and stop" "$output" 'before: hhhh inactive inactive
0
the owner started: vvvv active inactive
0
the follower too: vvvv active active
0
the owner stopped: hhhh inactive inactive
0
the follower started: vvvv active active
0
the follower stopped: vvvv active inactive
0
and started: vvvv active active
0
both stopped: hhhh inactive inactive
0
both started: vvvv active active
0
both stopped again: hhhh inactive inactive'
is "$release: the overrides are as before" "$(cat "$shared"/pci/devices/*/driver_override | sort -u)" '(null)'
is "$release: in the sandbox there are NVIDIA's nodes, and no others of devices" \
        "$(grep -E '^(nvidia.*|fuse|kmsg|mem|tty0)$' "$shared/dev" | paste -sd' ')" 'nvidia0 nvidiactl'

storm() {
        local first=gpuvm-vfio@0000:01:00.0.service second=gpuvm-vfio@0000:02:00.0.service

        systemctl is-system-running --wait >/dev/null
        for _ in 1 2 3 4; do
                systemctl --no-block start "$second"
                systemctl --no-block start "$first"
                systemctl daemon-reload
                systemctl --no-block stop "$first"
                systemctl --no-block start "$second"
        done
        settle
        systemctl start "$second"; echo "$?"; settle
        state 'after the storm'
        systemctl is-failed 'gpuvm-vfio@*' | grep -c '^failed'
        wc -l </shared/log >/shared/count
}
machine_boot storm
is "$release: whatever came before, the last word counts" "$output" '0
after the storm: vvvv active active
0'
is "$release: at shutdown nothing is written" "$(wc -l <"$shared/log")" "$(<"$shared/count")"
is "$release: and the GPUs stay where they are" "$(readlink "$shared/pci/devices/0000:01:00.0/driver")" /sys/bus/pci/drivers/vfio-pci

# As bound at boot: the unit is not active, and nothing is in /run.
adopt() {
        local first=gpuvm-vfio@0000:01:00.0.service

        systemctl is-system-running --wait >/dev/null
        state 'bound at boot'
        : >/shared/log
        systemctl start "$first"; echo "$?"; state started
        wc -l </shared/log
        # Before it has changed anything.
        mkdir -p "/run/systemd/system/$first.d"
        printf '[Service]\nExecStop=\nExecStop=/usr/bin/env FAKESYS_KILL_AT=1 /usr/lib/gpuvm/gpuvm-vfio detach %%i\n' >"/run/systemd/system/$first.d/kill.conf"
        systemctl daemon-reload
        systemctl stop "$first"; settle; state 'its stop was killed'
        rm -r "/run/systemd/system/$first.d"
        systemctl daemon-reload
        wc -l </shared/log
        systemctl stop "$first"; echo "$?"; settle; state stopped
        systemctl show -P StopPropagatedFrom "$first"
}
machine_boot adopt
is "$release: what was bound at boot is adopted without a write, and goes to the host's drivers" "$output" \
        'bound at boot: vvvv inactive inactive
0
started: vvvv active inactive
0
its stop was killed: vvvv active inactive
0
0
stopped: hhhh inactive inactive
gpuvm-0000:01:00.0.device'

# One of the two is exclusive, and not the owner: the owner, which goes with it, is not taken back before that is flexible too.
mixed() {
        local second=gpuvm-vfio@0000:02:00.0.service

        setup() {
                # It has no modules here, and fails for that when this is done.
                LD_PRELOAD=/shared/fakesys.so FAKESYS_ROOT='' FAKESYS_LOG=/shared/log /usr/lib/gpuvm/gpuvm-vfio setup || true
                settle
        }
        systemctl is-system-running --wait >/dev/null
        printf '[Gpu 0000:02:00.0]\nMode=exclusive\n' >/etc/gpuvm.conf
        setup
        systemctl start "$second"; echo "$?"; settle; state started
        setup; state 'setup again'
        rm /etc/gpuvm.conf
        setup; state 'both flexible'
        printf '[Gpu 0000:02:00.0]\nMode=exclusive\n' >/etc/gpuvm.conf
        setup
        LD_PRELOAD=/shared/fakesys.so FAKESYS_ROOT='' FAKESYS_LOG=/shared/log /usr/lib/gpuvm/gpuvm-vfio attach 0000:01:00.0
        rm -rf /run/gpuvm/vfio /run/gpuvm/exclusive /run/gpuvm/tried
        state 'bound at boot'
        systemctl start "$second"; echo "$?"; settle; state started
        setup; state 'setup again'
        rm /etc/gpuvm.conf
        setup; state 'both flexible'
        find /run/gpuvm/exclusive -type f
}
machine_boot mixed
is "$release: a group with an exclusive and a flexible GPU" "$(grep -v '^gpuvm-vfio' <<<"$output")" '0
started: vvvv active active
setup again: vvvv active active
both flexible: hhhh inactive inactive
bound at boot: vvvv inactive inactive
0
started: vvvv active active
setup again: vvvv active active
both flexible: hhhh inactive inactive'

# The same in a group that may not go: before the boot nobody knew that.
stray() {
        local first=gpuvm-vfio@0000:01:00.0.service

        systemctl is-system-running --wait >/dev/null
        LD_PRELOAD=/shared/fakesys.so FAKESYS_ROOT='' FAKESYS_LOG=/shared/log /usr/lib/gpuvm/gpuvm-vfio attach 0000:01:00.0
        rm -r /run/gpuvm/vfio
        printf '[Gpu 0000:01:00.0]\nMode=exclusive\n' >/etc/gpuvm.conf
        ln -sfn /sys/bus/pci/drivers/i40e /sys/bus/pci/devices/0000:03:00.0/driver
        state 'bound at boot'
        systemctl start "$first"; echo "$?"; settle; state refused
        journalctl --no-pager -o cat -u "$first" | grep -oE 'AcceptSiblings=0000:03:00.0 allows|is with the host again'
        rm /etc/gpuvm.conf
}
function_of 0000:03:00.0 1572 020000 vfio-pci
machine_boot stray
is "$release: what was bound at boot and may not go is the host's" "$output" 'bound at boot: vvvv inactive inactive
1
refused: hhhh failed inactive
AcceptSiblings=0000:03:00.0 allows
is with the host again'
rm -r "$shared/pci/devices/0000:03:00.0" "$shared/pci/drivers/vfio-pci/0000:03:00.0" "$shared/groups/12/devices/0000:03:00.0"

# From here on the kernel takes its time over a driver: what crosses a start.
cat >"$machine/etc/systemd/system/gpuvm-vfio@.service.d/slow.conf" <<'UNIT'
[Service]
Environment=FAKESYS_SLOW=2000:drivers_probe
UNIT
begin() {
        : >/shared/log
        systemctl --no-block start "$1"
        until grep -q nouveau/unbind /shared/log; do sleep 0.05; done
}

crossed() {
        local first=gpuvm-vfio@0000:01:00.0.service second=gpuvm-vfio@0000:02:00.0.service

        systemctl is-system-running --wait >/dev/null
        begin "$second"
        systemctl --no-block stop "$first"
        systemctl start "$second"; echo "$?"; settle
        state 'the owner stopped while the follower starts'
        systemctl stop "$first"; echo "$?"; settle
        state 'stopped'
}
machine_boot crossed
is "$release: a follower's start that was asked for after the owner's stop is not lost" "$output" \
        '0
the owner stopped while the follower starts: vvvv active active
0
stopped: hhhh inactive inactive'

# A start that is cut while the kernel is at work on the first function.
cut() {
        local first=gpuvm-vfio@0000:01:00.0.service

        systemctl is-system-running --wait >/dev/null
        state before
        begin "$first"
        systemctl stop "$first"; echo "$?"; state 'stopped while it starts'
        find /run/gpuvm/vfio -type f | wc -l
        begin "$first"
        systemctl kill --signal=KILL --kill-whom=main "$first"
        until [ "$(systemctl is-active "$first")" = failed ]; do sleep 0.1; done
        state 'killed while it starts'
        find /run/gpuvm/vfio -type f | wc -l
        systemctl start "$first"; echo "$?"; state started
        : >/shared/log
        systemctl kill --signal=KILL --kill-whom=all "$first" 2>/dev/null
        state 'nothing is left to kill'
        wc -l </shared/log
        systemctl stop "$first"; echo "$?"; settle; state stopped
}
machine_boot cut
is "$release: a start that is stopped or killed gives the GPU back" "$output" 'before: hhhh inactive inactive
0
stopped while it starts: hhhh failed inactive
0
killed while it starts: hhhh failed inactive
0
0
started: vvvv active inactive
nothing is left to kill: vvvv active inactive
0
0
stopped: hhhh inactive inactive'
is "$release: and the overrides" "$(cat "$shared"/pci/devices/*/driver_override | sort -u)" '(null)'

# The machine goes down in the middle of a start: nothing is put back, and it is not waited for.
dying() {
        systemctl is-system-running --wait >/dev/null
        begin gpuvm-vfio@0000:01:00.0.service
        # The kernel is at work on what follows for two seconds from there on.
        until grep -q drivers_probe /shared/log; do sleep 0.05; done
        wc -l </shared/log >/shared/count
        systemctl list-jobs --no-legend 'gpuvm-vfio@*' | awk '{ print $3, $4 }'
}
machine_boot dying
is "$release: the machine goes down while a start is under way" "$output" 'start running'
is "$release: and nothing more is written" "$(wc -l <"$shared/log")" "$(<"$shared/count")"
is "$release: what was begun is not put back" "$(readlink "$shared/pci/devices/0000:01:00.0/driver" | grep -c nouveau)" 0

# What containers can ask for (CDI), written by NVIDIA's unit as the toolkit has it: nvidia-ctk lists the GPUs that its
# driver has.
rm "$machine/etc/systemd/system/gpuvm-vfio@.service.d/slow.conf"
cat >"$machine/usr/bin/nvidia-ctk" <<'S'
#!/bin/bash
[ "$*" = 'cdi generate' ] || exit 1
out=$NVIDIA_CTK_CDI_OUTPUT_FILE_PATH
mkdir -p "${out%/*}"
{
        printf 'cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n'
        for device in 0000:01:00.0 0000:02:00.0; do
                driver=$(readlink "/sys/bus/pci/devices/$device/driver")
                [ "${driver##*/}" = vfio-pci ] || echo "- name: $device"
        done
} >"$out.new"
mv "$out.new" "$out"
echo "$(grep -c name: "$out") of 2" >>/shared/generated
S
chmod 755 "$machine/usr/bin/nvidia-ctk"
cat >"$machine/etc/systemd/system/nvidia-cdi-refresh.service" <<'UNIT'
[Unit]
ConditionPathExists=/usr/bin/nvidia-ctk
[Service]
Type=oneshot
Environment=NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=/var/run/cdi/nvidia.yaml
ExecStart=/usr/bin/nvidia-ctk cdi generate
CapabilityBoundingSet=CAP_SYS_MODULE CAP_SYS_ADMIN CAP_MKNOD
RemainAfterExit=yes
UNIT
mkdir -p "$machine/etc/cdi"

# listed N: once N GPUs are in the specification; it is not waited for.
listed() {
        for _ in $(seq 300); do
                [ "$(grep -c name: /run/cdi/nvidia.yaml)" != "$1" ] || { echo "$1 listed"; return; }
                sleep 0.1
        done
        cat /run/cdi/nvidia.yaml
}

cdi() {
        local first=gpuvm-vfio@0000:01:00.0.service

        systemctl is-system-running --wait >/dev/null
        systemctl start "$first"; systemctl stop "$first"; settle
        ls /run/cdi/nvidia.yaml 2>/dev/null || echo 'not begun by us'
        systemctl start nvidia-cdi-refresh.service; listed 2
        systemctl start "$first"; listed 0
        systemctl stop "$first"; settle; listed 2
        echo theirs >/etc/cdi/nvidia.yaml
        systemctl start "$first"; listed 0
        cat /etc/cdi/nvidia.yaml
        journalctl --sync
        journalctl --no-pager -o cat -u "$first" | grep -c 'nvidia.yaml has the GPUs of before'
}
machine_boot cdi
is "$release: containers are told of each hand-over, where they were told before" "$output" 'not begun by us
2 listed
0 listed
2 listed
0 listed
theirs
1'

# gpuvm-reset@ and gpuvm-recover@ in theirs.
for unit in reset recover; do
        mkdir -p "$machine/etc/systemd/system/gpuvm-$unit@.service.d"
        cp "$machine/etc/systemd/system/gpuvm-vfio@.service.d/fake.conf" "$machine/etc/systemd/system/gpuvm-$unit@.service.d/"
done
reset() {
        local first=gpuvm-vfio@0000:01:00.0.service

        systemctl is-system-running --wait >/dev/null
        systemctl start "$first"; systemctl stop "$first"; settle
        : >/shared/log
        systemctl start gpuvm-reset@0000:01:00.0.service 2>/dev/null || echo 'the host has it'
        wc -l </shared/log
        systemctl start "$first"
        : >/shared/log
        systemctl start gpuvm-reset@0000:01:00.0.service; echo "nobody has it: $?"
        cat /shared/log
        systemctl start gpuvm-recover@0000:01:00.0.service; echo "nothing to recover: $?"
        wc -l </shared/log
        state 'and it is where it was'
}
machine_boot reset
is "$release: a GPU is reset where nobody has it" "$output" 'the host has it
0
nobody has it: 0
write devices/0000:01:00.0/reset 1
nothing to recover: 0
1
and it is where it was: vvvv active inactive'

# What the driver forgets is set at boot, and again when a GPU is back; where nobody asks for it, never.
mkdir -p "$machine/etc/systemd/system/gpuvm-tune.service.d" "$machine/etc/gpuvm.conf.d"
cp "$machine/etc/systemd/system/gpuvm-vfio@.service.d/fake.conf" "$machine/etc/systemd/system/gpuvm-tune.service.d/"
tuned() {
        local first=gpuvm-vfio@0000:01:00.0.service

        systemctl is-system-running --wait >/dev/null
        systemctl start "$first"; systemctl stop "$first"; settle
        runs() { journalctl --no-pager -o cat -u gpuvm-tune.service | grep -c '^Finished' || true; }
        echo "not asked for: $(runs)"
        printf '[Gpu]\nPersistence=yes\n' >/etc/gpuvm.conf.d/tune.conf
        systemctl daemon-reload
        systemctl start "$first"
        echo "on VFIO: $(runs)"
        systemctl stop "$first"; settle
        for _ in $(seq 300); do
                [ "$(runs)" = 0 ] || break
                sleep 0.1
        done
        echo "back: $(runs)"
}
tuned_at_boot() {
        systemctl is-system-running --wait >/dev/null
        systemctl show -P Result -P ExecMainCode gpuvm-tune.service | paste -sd' '
        rm /etc/gpuvm.conf.d/tune.conf
}
machine_boot tuned
is "$release: a GPU that is back is set up as it was asked for" "$output" 'not asked for: 0
on VFIO: 0
back: 1'
machine_boot tuned_at_boot
is "$release: and so are all at boot" "$output" 'success 1'
done_testing
