#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl events: on libvirt's test driver, and with a real libvirtd that goes and comes back: events.sh VMCTL
#
# shellcheck disable=SC2317 # the steps are called inside the namespaces
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
mock=$(realpath "$(dirname "$0")/../mock")
work=$(mktemp -d)
at_exit rm -rf "$work"

like 'without --follow the state of each' "$("$vmctl" -c test:///default events)" '^[0-9T:Z-]+ vm test running$'
like 'as JSON' "$("$vmctl" -c test:///default events --json)" '^\{"time":"[^"]+Z","kind":"vm","object":"test","event":"running","detail":""\}$'
# until_in PATTERN: for at most half a minute, while it runs.
until_in() {
        local i

        for ((i = 0; i < 300; i++)); do
                ! grep -q -- "$1" "$work/events" || return 0
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.1
        done
        echo "no '$1'"
}
"$vmctl" -c test:///default events --follow >"$work/events" </dev/null &
pid=$!
until_in 'vm test running' >/dev/null
kill -INT "$pid" || true
wait "$pid" && status=0 || status=$?
like 'Ctrl-C ends it' "$status:$(<"$work/events")" '^0:.* vm test running$'

# See ../helper/vm.sh.
asan=$(ldd "$vmctl" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}

real() {
        local pid status=0

        python3 "$mock/bootsector.py" polite /var/cache/one.raw
        cat >/run/one.xml <<'XML'
<domain type="qemu"><name>one</name><memory unit="MiB">16</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os>
<features><acpi/></features><devices><disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/var/cache/one.raw"/>
<target dev="sda" bus="sata"/></disk><memballoon model="none"/></devices></domain>
XML
        # That it lists another one shows that it has asked for events.
        sed 's/>one</>other</' /run/one.xml >/run/other.xml
        virsh -q -c qemu:///system define /run/other.xml >/dev/null
        LD_PRELOAD=$preload "$vmctl" events --follow >"$work/events" 2>"$work/err" &
        pid=$!
        until_in 'vm other off'
        virsh -q -c qemu:///system define /run/one.xml >/dev/null
        until_in 'vm one defined'
        virsh -q -c qemu:///system start one >/dev/null
        until_in 'vm one started'
        virsh -q -c qemu:///system suspend one >/dev/null
        virsh -q -c qemu:///system resume one >/dev/null
        until_in 'vm one resumed'
        kill "$(cat /run/libvirtd.pid)"
        until_in 'libvirt qemu:///system is gone'
        # Its clients are gone a moment before itself, and no other one starts beside it.
        while [ -e /run/libvirtd.pid ]; do
                sleep 0.1
        done
        libvirtd -d
        until_in 'vm one running'
        virsh -q -c qemu:///system destroy one >/dev/null
        until_in 'vm one stopped'
        virsh -q -c qemu:///system undefine one >/dev/null
        until_in 'vm one removed'
        kill -INT "$pid"
        wait "$pid" || status=$?
        # How QEMU gets to where it is differs from version to version.
        sed 's/^[^ ]* //; /shutting down$/d; /resumed$/d; /^vm other /d' "$work/events"
        echo "ended: $status"
}
{
        declare -p work vmctl mock preload
        declare -f until_in real
        echo real
} >"$work/real"
status=0
got=$("$(dirname "$0")/../helper/with-libvirtd.sh" timeout 200 bash -uo pipefail "$work/real" 2>"$work/real.err") || status=$?
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-system-x86, dnsmasq-base and iptables'
        done_testing
        exit
fi
is 'with a real libvirtd that goes and comes back' "$got" 'vm one defined
vm one started
vm one paused
libvirt qemu:///system is gone: waiting for it
libvirt qemu:///system answers
vm one running
vm one stopped: as if its plug were pulled
vm one removed
ended: 0'
[ "$tap_failed" -eq 0 ] || diag "$(cat "$work/real.err" "$work/err" "$work/events" | grep -v "^$" | tail -n 20)"
done_testing
