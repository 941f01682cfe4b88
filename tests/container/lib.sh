# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034 # output and status are for the scripts that source this
# Container: a machine with a real systemd as PID 1, without a virtual machine. Source it after ../lib.sh.
#
# Its root is an overlay on a cached tree (./tree), so it is fresh each time, starts in half a second, keeps what was
# written from one boot to the next, and tells a restart (133) from a power-off (0). What PID 1 shall believe about the
# hardware is bound over /proc and /sys before it starts. The programs and units are the real ones, from a build
# without sanitizers, in the places where a package puts them.
#
#     machine_new trixie              # sets $machine (its root) and $shared (/shared inside)
#     machine_boot STEP               # boots; STEP is a function of the script, run inside when the boot is over
#     machine_drop

container_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$container_dir/../.." && pwd)
container_cache=${GPUVM_LAB_CACHE:-/var/cache/gpuvm-lab}
# What ends one that hangs: a boot that installs packages takes a slow machine minutes.
boot_limit=${GPUVM_BOOT_LIMIT:-400}

# container_require: skips the whole script where the machine that runs the tests cannot do this.
container_require() {
        [ "$(id -u)" -eq 0 ] || skip_all 'needs root'
        command -v systemd-nspawn >/dev/null || skip_all 'needs systemd-nspawn'
        command -v mmdebstrap >/dev/null || skip_all 'needs mmdebstrap'
}

# container_build: installs a plain build into $container_stage. Built once, then only what changed.
container_build() {
        local build log

        build=$container_cache/container-build-$(printf '%s' "$source_dir" | sha256sum | cut -c1-12)
        log=$build.log

        mkdir -p "$container_cache"
        container_stage=$(mktemp -d)
        chmod 755 "$container_stage"
        at_exit rm -rf "$container_stage"
        flock "$build.lock" "$container_dir/build" "$source_dir" "$build" "$container_stage" >"$log" 2>&1 && return
        diag "$(grep -E 'ERROR|error:|FAILED' "$log" | head -n 20)"
        return 1
}

# machine_new RELEASE [PACKAGE...]: with packages beside those that every machine has.
machine_new() {
        machine_work=$(mktemp -d /var/tmp/gpuvm-container-XXXXXX)
        at_exit machine_drop_at "$machine_work"
        machine_place "$machine_work"
        machine_mount "$1" "$machine_work" "${@:2}"
        machine_install "$1"
}

# machine_place DIR: where the machine is from now on.
machine_place() {
        machine=$1/root
        shared=$1/shared
        mkdir "$machine" "$shared"
}

# machine_mount RELEASE DISK [PACKAGE...]: what the machine writes goes below the directory DISK.
machine_mount() {
        local tree

        tree=$("$container_dir/tree" "$1" "${@:3}")
        mkdir -p "$2/upper" "$2/overlay"
        mount -t overlay overlay -o "lowerdir=$tree,upperdir=$2/upper,workdir=$2/overlay" "$machine"
}

# machine_install RELEASE: the programs and units, and what runs the test's steps.
machine_install() {
        [ -n "${container_stage-}" ] || container_build
        tar -C "$container_stage" -c . | tar -C "$machine" -x --keep-directory-symlink
        machine_boots=0
        machine_hardware
        machine_driver
        [ "$1" != bookworm ] || machine_keep_proc
}

# systemd 252 mounts a new /proc for these options, and that one shows the host's boot id and command line, not the
# container's. Later releases keep ours, and there the units run with all they have.
machine_keep_proc() {
        local unit

        for unit in reboot resume; do
                mkdir -p "$machine/etc/systemd/system/gpuvm-$unit.service.d"
                printf '[Service]\nProtectProc=default\nProtectKernelTunables=no\nProtectControlGroups=no\n' \
                        >"$machine/etc/systemd/system/gpuvm-$unit.service.d/keep-proc.conf"
        done
}

# machine_guest KIND NAME METADATA: a guest of bootsector.py's with its disk in the pool, for libvirt as /shared/NAME.xml.
machine_guest() {
        local disk=/var/lib/libvirt/images/gpuvm/$2.raw

        mkdir -p "$machine/${disk%/*}"
        python3 "$container_dir/../mock/bootsector.py" "$1" "$machine/$disk"
        cat >"$shared/$2.xml" <<XML
<domain type="qemu"><name>$2</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:disk path="$disk"/>$3</g:vm></metadata>
<memory unit="MiB">64</memory><os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
<devices><disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="$disk"/><target dev="sda" bus="sata"/></disk>
<serial type="pty"/></devices></domain>
XML
}

# A machine with an Intel processor and nothing else that matters: tests change what they are about.
machine_hardware() {
        echo 'root=/dev/vda1 ro quiet' >"$shared/cmdline"
        cat >"$shared/init" <<'INIT'
#!/bin/sh
mount --bind /shared/cmdline /proc/cmdline
if [ -e /shared/before-init ]; then . /shared/before-init; fi
exec /lib/systemd/systemd "$@"
INIT
        chmod +x "$shared/init"
}

# Runs the step when the boot is over, as Type=simple: it may wait for units that the boot queued.
machine_driver() {
        mkdir -p "$machine/etc/systemd/system/multi-user.target.wants"
        cat >"$machine/etc/systemd/system/driver.service" <<'UNIT'
[Unit]
Description=Test Driver
After=multi-user.target
SuccessAction=none

[Service]
Type=simple
ExecStart=/bin/bash /shared/driver
StandardOutput=file:/shared/stdout
StandardError=file:/shared/stderr
TimeoutStopSec=5s
UNIT
        ln -sf ../driver.service "$machine/etc/systemd/system/multi-user.target.wants/driver.service"
        ln -sf /dev/null "$machine/etc/systemd/system/systemd-firstboot.service"
        ln -sf /dev/null "$machine/etc/systemd/system/console-getty.service"
        # There is no network to wait for.
        ln -sf /dev/null "$machine/etc/systemd/system/systemd-networkd-wait-online.service"
        ln -sf /dev/null "$machine/etc/systemd/system/apt-daily.timer"
        ln -sf /dev/null "$machine/etc/systemd/system/apt-daily-upgrade.timer"
        mkdir -p "$machine/var/log/journal"
}

# machine_boot STEP: sets status to how it ended (0 powered off, 133 restarts, 137 hung) and output to what the step
# printed. A step that returns powers the machine off; it may call other functions of the script.
machine_boot() {
        machine_boots=$((machine_boots + 1))
        : >"$shared/stdout"
        : >"$shared/stderr"
        {
                declare -f
                printf '%s\nsystemctl poweroff --no-block --check-inhibitors=no\n' "$1"
        } >"$shared/driver"
        status=0
        machine_spawn || status=$?
        output=$(<"$shared/stdout")
        if [ "$status" -ne 0 ] && [ "$status" -ne 133 ]; then
                diag "boot $machine_boots ended with $status
$(tail -n 30 "$shared/console" "$shared/stderr")"
        fi
}

# machine_spawn: the machine from its start to its end, whose status is returned. Its process is in $shared/nspawn:
# with that killed, the machine is off at once.
machine_spawn() {
        # shellcheck disable=SC2016 # expanded by the inner shell
        timeout --signal=KILL "$boot_limit" unshare -m bash -c '
                mount --make-rprivate /
                umount -l /sys/fs/cgroup
                mount -t cgroup2 none /sys/fs/cgroup
                group=/sys/fs/cgroup/gpuvm.$$
                mkdir -p "$group"
                echo $$ >"$group/cgroup.procs"
                systemd-nspawn --quiet --directory="$1" --register=no --keep-unit --private-network --bind="$2:/shared" \
                        --console=read-only --kill-signal=SIGRTMIN+3 -- /shared/init </dev/null >"$2/console" 2>&1 &
                echo $! >"$2/nspawn"
                wait $!
                status=$?
                echo $$ >/sys/fs/cgroup/cgroup.procs
                find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
                exit $status' sh "$machine" "$shared"
}

# part NAME: of the output what the step printed after "-- NAME", up to the next such line, wherever that was.
part() {
        awk -v name="$1" '/^-- / { at = $2 == name; next } at' <<<"$output"
}

# machine_journal ARGUMENT...: journalctl over everything that the machine has logged in all its boots.
machine_journal() {
        journalctl --no-pager --quiet --directory="$machine/var/log/journal" "$@"
}

# stub PHASE LINE...: a stand-in for a phase's program; it notes that it ran.
stub() {
        local phase=$1

        shift
        mkdir -p "$machine/etc/systemd/system/gpuvm-$phase.service.d"
        cat >"$machine/etc/systemd/system/gpuvm-$phase.service.d/stub.conf" <<UNIT
[Service]
ExecStart=
ExecStart=/bin/bash /shared/stub-$phase
ProtectSystem=no
ReadWritePaths=
ProtectProc=default
ProtectKernelTunables=no
ProtectControlGroups=no
SystemCallFilter=
CapabilityBoundingSet=~
UNIT
        {
                echo "echo $phase \$INVOCATION_ID >>/shared/ran"
                [ $# -eq 0 ] || printf '%s\n' "$@"
        } >"$shared/stub-$phase"
}

# stub_all: every phase but reboot does nothing, and notes it.
stub_all() {
        local phase

        for phase in preflight packages nvidia kvm iommu vfio bridge storage verify; do
                stub "$phase"
        done
}

# ran: the phases that ran so far, in order.
ran() {
        cut -d' ' -f1 "$shared/ran" 2>/dev/null | paste -sd' '
}

machine_drop_at() {
        mountpoint -q "$1/root" && umount "$1/root"
        rm -rf "$1"
}

machine_drop() {
        machine_drop_at "$machine_work"
}
