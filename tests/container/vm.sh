#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-vm@.service under a real systemd, in its sandbox, with a real libvirtd and QEMU, and GPUs of a PCI bus that behaves:
# vm.sh RELEASE FAKESYS
#
# The machines are 512 bytes each (../mock/bootsector.py). They do not see the GPU: it is on no bus of the kernel's.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=gpus.sh
. "$(dirname "$0")/gpus.sh"

container_require
release=${1:-trixie} fakesys=$2
boot_limit=${GPUVM_BOOT_LIMIT:-300}
archive=libarchive13t64
[ "$release" != bookworm ] || archive=libarchive13
machine_new "$release" libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils "$archive" libxml2

gpus_new "$fakesys" 2684 0000:01:00.0=12 0000:02:00.0=13 0000:03:00.0=14 0000:04:00.0=14
gpus_libvirt
mkdir -p "$machine/etc/systemd/system/gpuvm-vm@deaf.service.d" "$machine/etc/systemd/system/gpuvm-vm@polite.service.d"
printf '[Service]\nTimeoutStopSec=6s\n' >"$machine/etc/systemd/system/gpuvm-vm@deaf.service.d/short.conf"
printf '[Unit]\nAfter=gpuvm-vfio@0000:01:00.0.service\n' >"$machine/etc/systemd/system/gpuvm-vm@polite.service.d/gpus.conf"

# define NAME [METADATA]: of that kind of machine.
define() {
        local name=$1

        python3 "$(dirname "$0")/../mock/bootsector.py" "$name" "$machine/var/lib/libvirt/images/$name.raw"
        cat >"$shared/$name.xml" <<XML
<domain type="qemu"><name>$name</name>
<metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:log path="/var/log/libvirt/qemu/$name.console"/>${2-}</g:vm></metadata>
<memory unit="MiB">16</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
<devices><disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/var/lib/libvirt/images/$name.raw"/>
<target dev="sda" bus="sata"/></disk><serial type="pty"><log file="/var/log/libvirt/qemu/$name.console" append="on"/></serial>
<memballoon model="none"/></devices></domain>
XML
}
define polite '<g:gpu address="0000:01:00.0"/>'
define deaf
define 'done'
sed 's/polite</refused</; s/01:00.0/09:00.0/' "$shared/polite.xml" >"$shared/refused.xml"
sed 's/polite/other/g' "$shared/polite.xml" >"$shared/other.xml"
cp "$machine/var/lib/libvirt/images/polite.raw" "$machine/var/lib/libvirt/images/other.raw"
# They share one GPU by its name, and one by its IOMMU group; another one is one machine's alone.
mkdir "$shared/pair"
sed 's#<g:gpu [^>]*>#&<g:gpu address="0000:02:00.0"/><g:gpu address="0000:03:00.0"/>#' "$shared/polite.xml" >"$shared/pair/polite.xml"
sed 's#<g:gpu [^>]*>#&<g:gpu address="0000:04:00.0"/>#' "$shared/other.xml" >"$shared/pair/other.xml"
# Where virtiofsd is a package of its own it is not started in the end.
sed 's/deaf/sharing/g; s#<vcpu>#<memoryBacking><source type="memfd"/><access mode="shared"/></memoryBacking>&#
s#<memballoon#<filesystem type="mount" accessmode="passthrough"><driver type="virtiofs"/><source dir="/srv/models"/><target dir="gpuvm-models"/></filesystem>&#' \
        "$shared/deaf.xml" >"$shared/sharing.xml"
cp "$machine/var/lib/libvirt/images/deaf.raw" "$machine/var/lib/libvirt/images/sharing.raw"
mkdir -p "$machine/srv/models"
sed 's/polite/watched/g; s#<g:gpu [^>]*>##; s#<memballoon#<interface type="network"><mac address="52:54:00:00:00:07"/><source network="leased"/><model type="e1000"/></interface>&#' \
        "$shared/polite.xml" >"$shared/watched.xml"
cp "$machine/var/lib/libvirt/images/polite.raw" "$machine/var/lib/libvirt/images/watched.raw"

# say WHAT NAME: exit status, its unit, its machine, and who has the GPU.
say() {
        local r=$? link

        link=$(readlink /sys/bus/pci/devices/0000:01:00.0/driver)
        echo "$1: $r $(systemctl is-active "gpuvm-vm@$2") $(virsh -q -c qemu:///system domstate "$2" | head -n 1 | tr -d ' ') ${link##*/}"
}
# Until the unit is in that state and no job is left.
settle() {
        for _ in $(seq 300); do
                [ "$(systemctl is-active "gpuvm-vm@$1")" != "$2" ] || [ -n "$(systemctl list-jobs --no-legend 'gpuvm-*')" ] || return 0
                sleep 0.1
        done
}
# OnFailure= and Restart= of any unit: who is to be told is, and it starts again with its GPU.
crashes() {
        local drop_in=/run/systemd/system/$1.d/crash.conf

        mkdir -p "${drop_in%/*}"
        # shellcheck disable=SC2016 # the shell of the unit
        printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo told of $MONITOR_UNIT >/run/told"\n' >/run/systemd/system/told.service
        printf '[Unit]\nOnFailure=told.service\n' >"$drop_in"
        systemctl daemon-reload
        systemctl reset-failed "$1"
        systemctl start "$1"
        kill -KILL "$(cat /run/libvirt/qemu/polite.pid)"
        for _ in $(seq 300); do
                [ ! -s /run/told ] || break
                sleep 0.1
        done
        settle polite failed; say "$(cat /run/told)" polite
        printf '[Service]\nRestart=on-failure\n' >"$drop_in"
        systemctl daemon-reload
        systemctl reset-failed "$1"
        systemctl start "$1"
        kill -KILL "$(cat /run/libvirt/qemu/polite.pid)"
        for _ in $(seq 300); do
                [ "$(systemctl show --value -p NRestarts "$1") $(systemctl is-active "$1")" != '1 active' ] || break
                sleep 0.1
        done
        say 'crashed, and started again' polite
        systemctl stop "$1"; settle polite inactive; say 'and stopped for good' polite
        rm "$drop_in" /run/systemd/system/told.service
        systemctl daemon-reload
        systemctl reset-failed "$1" 2>/dev/null
}
lives() {
        local main unit=gpuvm-vm@polite.service

        systemctl is-system-running --wait >/dev/null
        for main in polite deaf 'done' refused sharing; do
                virsh -q -c qemu:///system define "/shared/$main.xml" >/dev/null
        done
        systemctl start "$unit"; say started polite
        systemctl stop "$unit"; settle polite inactive; say stopped polite
        journalctl --sync
        journalctl --no-pager -q -t polite -o cat | head -n 1

        systemctl start gpuvm-vfio@0000:01:00.0.service
        systemctl start "$unit"
        systemctl stop "$unit"; settle polite inactive; say 'with a GPU of the administrator' polite
        systemctl stop gpuvm-vfio@0000:01:00.0.service

        systemctl start gpuvm-vm@done.service || true
        settle 'done' inactive; say "by itself, $(systemctl show --value -p Result gpuvm-vm@done)" 'done'

        systemctl start "$unit"
        kill -KILL "$(cat /run/libvirt/qemu/polite.pid)"
        settle polite failed; say "crashed, $(systemctl show --value -p Result "$unit")" polite
        systemctl show --value -p StatusText "$unit"
        crashes "$unit"

        systemctl start "$unit"
        main=$(systemctl show --value -p MainPID "$unit")
        kill -KILL "$main"
        for _ in $(seq 100); do
                [ "$(systemctl show --value -p NRestarts "$unit") $(systemctl is-active "$unit")" != '1 active' ] || break
                sleep 0.1
        done
        say 'helper killed' polite
        [ "$main" != "$(systemctl show --value -p MainPID "$unit")" ] || echo 'not started again'
        systemctl restart libvirtd.service; say 'libvirtd restarted' polite
        systemctl stop libvirtd.service 2>/dev/null
        sleep 1
        systemctl start libvirtd.service; say 'libvirtd stopped and started' polite
        systemctl restart "$unit"; settle polite active; say restarted polite
        systemctl stop "$unit"; settle polite inactive; say 'stopped after all' polite

        systemctl start gpuvm-vm@deaf.service; say 'a deaf one' deaf
        systemctl stop gpuvm-vm@deaf.service; say 'stopped at last' deaf
        journalctl --sync
        journalctl --no-pager -q -u gpuvm-vm@deaf -o cat | grep -c 'did not shut down in time'
        systemctl start gpuvm-vm@refused.service 2>/dev/null; say 'without its GPU' refused
        systemctl show --value -p StatusText gpuvm-vm@refused.service | cut -c 1-39
        systemctl start gpuvm-vm@sharing.service 2>/dev/null; say 'what it shares is writable' sharing
        systemctl show --value -p StatusText gpuvm-vm@sharing
        mount --bind -o ro /srv/models /srv/models
        systemctl start gpuvm-vm@sharing.service 2>/dev/null
        echo "read-only, refused: $(systemctl show --value -p StatusText gpuvm-vm@sharing | grep -c 'not mounted')"
        virsh -q -c qemu:///system destroy sharing 2>/dev/null
        systemctl stop gpuvm-vm@sharing.service
        systemctl start gpuvm-vm@nobody.service 2>/dev/null; echo "none: $?"
        systemctl enable -q "$unit"
}
boots() {
        systemctl is-system-running --wait >/dev/null
        settle polite active; say 'at boot' polite
        virsh -q -c qemu:///system domuuid polite >/shared/uuid
}
# What vmctl makes: the machine, its unit and its settings, and all of it gone again.
unit_of() {
        echo "$1: $2 $(systemctl is-active "gpuvm-vm@$3") $(systemctl is-enabled "gpuvm-vm@$3" 2>/dev/null) $(vmctl list --quiet | grep -cx "$3")"
}
left() {
        find /var/lib/libvirt/images/gpuvm /var/lib/gpuvm/creating /run/gpuvm/vms/second -type f 2>/dev/null
        find /etc/systemd/system /var/log/libvirt/qemu \( -name '*first*' -o -name '*second*' -o -name '*third*' \) ! -name '*.log' ! -name 'systemd-*'
        virsh -q -c qemu:///system list --all --name | grep -E 'first|second|third'
}
makes() {
        local key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada'
        local machine=(debian --image /var/lib/libvirt/images/base.raw --firmware bios --network lan --memory 128 --cpus 1 --ssh-key "$key" --quiet)

        systemctl is-system-running --wait >/dev/null
        mkdir -p /var/lib/libvirt/images/gpuvm
        cp /var/lib/libvirt/images/polite.raw /var/lib/libvirt/images/base.raw
        virsh -q -c qemu:///system 'net-define /shared/network.xml; net-start lan' >/dev/null
        systemctl stop gpuvm-vm@polite
        virsh -q -c qemu:///system undefine polite >/dev/null
        vmctl create "${machine[@]}" --no-gpu --autostart --name first; unit_of made $? first
        vmctl info --json first | grep -o '"autostart": *true'
        vmctl stop first; unit_of stopped $? first
        vmctl start --json first | tr -d ' \n'; unit_of started $? first
        vmctl restart first; unit_of restarted $? first
        virsh -q -c qemu:///system destroy first; settle first inactive
        unit_of destroyed 0 first
        systemctl start gpuvm-vm@first
        vmctl delete --yes --force --quiet first; unit_of deleted $? first
        # Its GPU is on no bus of the kernel's, so QEMU does not find it.
        vmctl create "${machine[@]}" --gpu 0000:01:00.0 --name second 2>/shared/second; unit_of 'with a GPU' $? second
        readlink /sys/bus/pci/devices/0000:01:00.0/driver
        systemctl show --value -p ActiveEnterTimestampMonotonic gpuvm-vfio@0000:01:00.0.service | grep -c '[1-9]'
        left
        # Killed while the GPU is on its way: the next one takes all of it back.
        printf '[Service]\nExecStartPre=/bin/sleep 5\n' >/etc/systemd/system/gpuvm-vfio@.service.d/slow.conf
        systemctl daemon-reload
        vmctl create "${machine[@]}" --gpu 0000:01:00.0 --name third 2>/dev/null &
        for _ in $(seq 300); do
                [ "$(systemctl is-active gpuvm-vfio@0000:01:00.0.service)" != activating ] || break
                sleep 0.1
        done
        kill -KILL $!
        left | grep -o 'gpuvm/third.qcow2'
        vmctl create "${machine[@]}" --image /nonexistent --no-gpu --name four 2>&1 | grep -o 'Took back what 1 machine'
        unit_of killed 0 third
        readlink /sys/bus/pci/devices/0000:01:00.0/driver
        left
}
# declare_it NAME GPU...
declare_it() {
        virsh -q -c qemu:///system define "/shared/pair/$1.xml" >/dev/null
        printf '[Vm]\nKind=debian\n[Gpu]\nGpu=%s\n' "${*:2}" >"/etc/gpuvm/vms/$1.vm"
}
# Two that are declared with one GPU: who is started has it, and the other one was shut down for that.
hands_over() {
        local name

        systemctl is-system-running --wait >/dev/null
        mkdir -p /etc/gpuvm/vms
        declare_it polite 01:00.0 02:00.0 03:00.0
        declare_it other 01:00.0 04:00.0
        systemctl disable -q gpuvm-vm@polite
        printf '[Install]\nWantedBy=multi-user.target\n' >>/etc/gpuvm/vms/other.vm
        printf '[Vm]\nKnid=debian\n[Install]\nWantedBy=multi-user.target\n' >/etc/gpuvm/vms/broken.vm
        systemctl daemon-reload
        for name in polite other polite other; do
                systemctl start "gpuvm-vm@$name"; say "$name" "$name"
                systemctl list-units --no-legend --plain --state active 'gpuvm-vm@*' | awk '{ print $1 }'
        done
        journalctl --sync
        journalctl --no-pager -q -b -u gpuvm-vm@polite -o cat | grep -c 'has shut down'
        # Both at once: one has it in the end, and nobody is left half way.
        systemctl start --no-block gpuvm-vm@polite
        systemctl start --no-block gpuvm-vm@other
        settle other active; say 'the last word' other
        settle polite inactive; say 'and the one before' polite
}
# until_true COMMAND...: for at most half a minute.
until_true() {
        for _ in $(seq 300); do
                ! "$@" || return 0
                sleep 0.1
        done
        echo "never: $*"
}
# driver_is GPU DRIVER
driver_is() {
        [ "$(readlink "/sys/bus/pci/devices/0000:$1/driver")" = "/sys/bus/pci/drivers/$2" ]
}
# The runs of the units of the GPUs that two share: which is another one once the host's driver has had it.
runs() {
        systemctl show -P InvocationID gpuvm-vfio@0000:01:00.0 gpuvm-vfio@0000:03:00.0 | xargs
}
# noted: for whom which GPU was taken.
noted() {
        (cd /run/gpuvm/vms && find . -name '0000:*' | sort | xargs)
}
nothing_noted() {
        [ -z "$(noted)" ]
}
# ups NAME: how often its guest has come up.
ups() {
        grep -ac 'guest:.* up' "/var/log/libvirt/qemu/$1.console" 2>/dev/null || true
}
came_up() {
        [ "$(ups "$1")" != "$2" ]
}
# power_on NAME: and waits until its guest hears the power button, which is asked again after 20 s only.
power_on() {
        local before

        before=$(ups "$1")
        systemctl start "gpuvm-vm@$1"
        until_true came_up "$1" "$before"
}
# What the two of before share stays on VFIO between them, and nothing else does.
keeps() {
        local before

        systemctl is-system-running --wait >/dev/null
        settle other active
        printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/idler.service
        printf '[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\nTimeoutStartSec=infinity\n' >/etc/systemd/system/slow.service
        systemctl daemon-reload
        power_on polite
        noted
        echo idler.service >/run/gpuvm/vms/polite/0000:01:00.0
        before=$(runs)
        power_on other
        until_true driver_is 02:00.0 nouveau
        [ "$(runs)" = "$before" ] || echo "to the next: $before, then $(runs)"
        noted
        systemctl is-active idler
        systemctl restart gpuvm-vm@other
        [ "$(runs)" = "$before" ] || echo "once more: $before, then $(runs)"
        say 'once more' other
        systemctl stop gpuvm-vm@other
        until_true driver_is 01:00.0 nouveau
        until_true driver_is 04:00.0 nouveau
        until_true systemctl -q is-active idler
        systemctl stop idler
        until_true nothing_noted
        # The next one does not start.
        power_on polite
        mv /var/lib/libvirt/images/other.raw /var/lib/libvirt/images/away.raw
        systemctl start gpuvm-vm@other 2>/dev/null; echo "no disk: $?"
        until_true driver_is 01:00.0 nouveau
        until_true driver_is 03:00.0 nouveau
        mv /var/lib/libvirt/images/away.raw /var/lib/libvirt/images/other.raw
        systemctl reset-failed gpuvm-vm@other
        # Nobody starts the next one after all: once by a job that is cancelled, once by one that fails.
        mkdir /run/systemd/system/gpuvm-vm@other.service.d
        printf '[Unit]\nRequires=slow.service\nAfter=slow.service\n' >/run/systemd/system/gpuvm-vm@other.service.d/slow.conf
        systemctl daemon-reload
        for name in gpuvm-vm@other slow; do
                power_on polite
                before=$(runs)
                systemctl start --no-block gpuvm-vm@other
                until_true [ -e /run/gpuvm/vms/other/0000:03:00.0 ]
                until_true driver_is 02:00.0 nouveau
                say "$name" other
                [ "$(runs)" = "$before" ] || echo "$name: $before, then $(runs)"
                systemctl stop "$name"
                until_true driver_is 01:00.0 nouveau
                until_true driver_is 03:00.0 nouveau
        done
        journalctl --sync
        journalctl --no-pager -q -b -u gpuvm-vm@polite -u gpuvm-vm@other -o cat | sed -n 's/: it stays on VFIO$//p' | sort | uniq -c | sed 's/^ *//'
        rm -r /run/systemd/system/gpuvm-vm@other.service.d
        systemctl daemon-reload
        systemctl stop slow
        systemctl list-units --failed --no-legend --plain 'gpuvm-vm-settle@*'
}
declared_at_boot() {
        systemctl is-system-running --wait >/dev/null
        settle other active; say 'declared, and wanted at boot' other
        systemctl is-active gpuvm-vm@polite gpuvm-vm@broken
        rm -r /etc/gpuvm
        systemctl daemon-reload
        for name in other polite; do
                systemctl stop "gpuvm-vm@$name"; settle "$name" inactive
                virsh -q -c qemu:///system undefine "$name" >/dev/null
        done
}
# A declared one that shares models on a mount of their own.
mounts() {
        systemctl is-system-running --wait >/dev/null
        mkdir -p /etc/gpuvm/vms
        printf '[Vm]\nKind=llm\nReady=started\n[Llm]\nModelStore=/srv/models\n' >/etc/gpuvm/vms/sharing.vm
        printf '[Mount]\nWhat=tmpfs\nWhere=/srv/models\nType=tmpfs\nOptions=size=none\n' >/etc/systemd/system/srv-models.mount
        systemctl daemon-reload
        vmctl start sharing 2>&1 | grep -v '^ '
        say "not without its mount" sharing
        sed -i 's#=size=none#=ro#' /etc/systemd/system/srv-models.mount
        systemctl daemon-reload
        systemctl start gpuvm-vm@sharing 2>/dev/null
        echo "mounted first: $(findmnt -rno OPTIONS /srv/models | cut -c 1-2), refused: $(systemctl show --value -p StatusText gpuvm-vm@sharing | grep -c 'not mounted')"
        virsh -q -c qemu:///system destroy sharing 2>/dev/null
        systemctl stop gpuvm-vm@sharing
        rm /etc/gpuvm/vms/sharing.vm
}
# lease SECONDS: the network's record of an address that the machine 'watched' has had for so long.
lease() {
        printf '[{"ip-address":"192.0.2.7","mac-address":"52:54:00:00:00:07","expiry-time":%s}]' $(($(date +%s) - $1 + 3600)) \
                >/var/lib/libvirt/dnsmasq/virbr8.status
}
# It loses its address, which is all that it was to have: it is shut down and started again, three times, and then left.
watches() {
        local i unit=gpuvm-vm@watched.service

        mkdir -p /etc/gpuvm/vms /var/lib/libvirt/dnsmasq
        printf '[Vm]\nKind=debian\nReady=address\nReadySec=60\nWatchdog=restart\nWatchdogSec=6\n' >/etc/gpuvm/vms/watched.vm
        virsh -q -c qemu:///system 'define /shared/watched.xml; net-define /shared/leased.xml; net-start leased' >/dev/null
        systemctl daemon-reload
        # That it runs is enough for who has not said that he waits.
        vmctl start --quiet watched; say 'without an address' watched
        for i in 0 1 2 3; do
                lease 0
                settle watched active; say "$(systemctl show --value -p NRestarts "$unit"), with one" watched
                lease 7200
                [ "$i" != 3 ] || break
                for _ in $(seq 400); do
                        [ "$(systemctl show --value -p NRestarts "$unit")" = "$i" ] || break
                        sleep 0.1
                done
        done
        for _ in $(seq 300); do
                ! journalctl --no-pager -q -b -u "$unit" -o cat | grep 'is left as it is' || break
                sleep 0.1
        done
        say "$(systemctl show --value -p NRestarts "$unit"), and again" watched
        journalctl --sync
        journalctl --no-pager -q -b -u "$unit" -o cat | grep -c 'has shut down, and starts again'
        systemctl stop "$unit"; settle watched inactive; say 'stopped all the same' watched
        systemctl show --value -p Result "$unit"
}
printf '<network><name>leased</name><forward mode="open"/><bridge name="virbr8"/><dns enable="no"/><ip address="192.0.2.1" netmask="255.255.255.0"/></network>' \
        >"$shared/leased.xml"
printf '<network><name>lan</name><bridge name="virbr9" stp="off"/></network>' >"$shared/network.xml"
machine_boot lives
is "$release: from start to stop, and what comes between" "$output" 'started: 0 active running vfio-pci
stopped: 0 inactive shutoff nouveau
guest: up and ?
with a GPU of the administrator: 0 inactive shutoff vfio-pci
by itself, success: 0 inactive shutoff nouveau
crashed, exit-code: 0 failed shutoff nouveau
'"'polite' has crashed; /var/log/libvirt/qemu/polite.log may tell why. 'vmctl start' starts it again"'
told of gpuvm-vm@polite.service: 0 failed shutoff nouveau
crashed, and started again: 0 active running vfio-pci
and stopped for good: 0 inactive shutoff nouveau
helper killed: 0 active running vfio-pci
libvirtd restarted: 0 active running vfio-pci
libvirtd stopped and started: 0 active running vfio-pci
restarted: 0 active running vfio-pci
stopped after all: 0 inactive shutoff nouveau
a deaf one: 0 active running nouveau
stopped at last: 0 inactive shutoff nouveau
1
without its GPU: 1 failed shutoff nouveau
GPU 0000:09:00.0 was not handed over to
what it shares is writable: 1 failed shutoff nouveau
'\''/srv/models'\'' is not mounted read-only, and '\''sharing'\'', which shares it, could write to it. '\''sudo mount /srv/models'\'' mounts it as /etc/fstab says; a line that is gone there was like '\''DIRECTORY /srv/models none bind,ro'\''
read-only, refused: 0
none: 1'
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr")
$(machine_journal -o cat -n 60)"
machine_boot boots
is "$release: it comes with the host" "$output" 'at boot: 0 active running vfio-pci'
is "$release: and goes before libvirt does" "$(machine_journal -b -o cat | grep -E "^'polite' has shut down|^Stopped libvirtd.service|^Stopped .*irtualization daemon" | head -n 1)" \
        "'polite' has shut down"
is "$release: nothing is handed back then" "$(machine_journal -b -o cat | grep -c "stop gpuvm-vfio@0000:01:00.0.service: 'polite' is off" || true)" 0
[ "$tap_failed" -eq 0 ] || diag "$(machine_journal -b -o cat -n 60)"
gpus_reset
machine_boot makes
is "$release: vmctl makes it whole, and takes it away" "$output" 'made: 0 active enabled 1
"autostart":true
first is off
stopped: 0 inactive enabled 1
[{"name":"first","state":"running","changed":true,"status":0}]started: 0 active enabled 1
first is off
first is running
restarted: 0 active enabled 1
destroyed: 0 inactive enabled 1
deleted: 0 inactive disabled 0
with a GPU: 1 inactive disabled 0
/sys/bus/pci/drivers/nouveau
1
gpuvm/third.qcow2
Took back what 1 machine
killed: 0 inactive disabled 0
/sys/bus/pci/drivers/nouveau'
like "$release: and says what failed" "$(<"$shared/second")" "Cannot start 'second'.*has been taken back"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr" "$shared/second")
$(machine_journal -b -o cat -n 60)"
gpus_reset
machine_boot hands_over
is "$release: two declared machines hand their GPU over" "$output" 'polite: 0 active running vfio-pci
gpuvm-vm@polite.service
other: 0 active running vfio-pci
gpuvm-vm@other.service
polite: 0 active running vfio-pci
gpuvm-vm@polite.service
other: 0 active running vfio-pci
gpuvm-vm@other.service
2
the last word: 0 active running vfio-pci
and the one before: 0 inactive shutoff vfio-pci'
[ "$tap_failed" -eq 0 ] || diag "$(machine_journal -b -o cat -n 60)"
gpus_reset
machine_boot keeps
is "$release: the GPU that they share does not pass through the host" "$output" './polite/0000:01:00.0 ./polite/0000:02:00.0 ./polite/0000:03:00.0 ./polite/0000:04:00.0
./other/0000:01:00.0 ./other/0000:03:00.0 ./other/0000:04:00.0
inactive
once more: 0 active running vfio-pci
no disk: 1
gpuvm-vm@other: 0 inactive shutoff vfio-pci
slow: 0 inactive shutoff vfio-pci
1 keep 0000:01:00.0: '"'other' is off, and 'other' starts next
1 keep 0000:01:00.0: 'other' is off, and 'polite' starts next
4 keep 0000:01:00.0: 'polite' is off, and 'other' starts next
1 keep 0000:03:00.0: 'other' is off, and 'other' starts next
1 keep 0000:03:00.0: 'other' is off, and 'polite' starts next
4 keep 0000:03:00.0: 'polite' is off, and 'other' starts next
1 keep 0000:04:00.0: 'other' is off, and 'other' starts next
1 keep 0000:04:00.0: 'other' is off, and 'polite' starts next
1 keep 0000:04:00.0: 'polite' is off, and 'other' starts next"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr")
$(machine_journal -b -o cat -n 90)"
gpus_reset
machine_boot declared_at_boot
is "$release: a declared one comes with the host" "$output" 'declared, and wanted at boot: 0 active running vfio-pci
inactive
inactive'
[ "$tap_failed" -eq 0 ] || diag "$(machine_journal -b -o cat -n 60)"
machine_boot mounts
is "$release: one that shares models comes after their mount, and not without" "$output" "vmctl: Cannot start 'sharing': a unit that gpuvm-vm@sharing.service requires has failed, like the mount of the models that it shares. 'systemctl --failed' lists it
not without its mount: 0 inactive shutoff nouveau
mounted first: ro, refused: 0"
[ "$tap_failed" -eq 0 ] || diag "$(machine_journal -b -o cat -n 60)"
machine_boot watches
is "$release: one that is not well is started again, three times" "$output" 'without an address: 0 activating running nouveau
0, with one: 0 active running nouveau
1, with one: 0 active running nouveau
2, with one: 0 active running nouveau
3, with one: 0 active running nouveau
'"'watched' is left as it is: it was started again for that three times within an hour"'
3, and again: 0 active running nouveau
3
stopped all the same: 0 inactive shutoff nouveau
success'
[ "$tap_failed" -eq 0 ] || diag "$(machine_journal -b -o cat -n 60)"
done_testing
