#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest that is made, boots and is used: guest.sh VMCTL
#
# Debian with cloud-init and the guest agent, as Debian's own images are, under a real libvirtd and an emulating QEMU. It
# gets its address by DHCP, its user and key by its seed.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

[ "$(id -u)" -eq 0 ] || skip_all 'needs root'
disk=$("$(dirname "$0")/../lab/image.sh" --cloud) || skip_all 'needs what tests/lab/image.sh says'
ssh-keygen -q -t ed25519 -N '' -C ada -f "$work/key"
qemu-img convert -O qcow2 "$disk" "$work/base.qcow2"
export work

# On a network without a way out: what the guest is to have comes from its seed.
real() {
        local address before began=$SECONDS

        # shellcheck disable=SC2317 # called below
        say() { echo "$1: ${*:2}"; }
        # shellcheck disable=SC2317
        guest() { timeout 100 env LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 "$vmctl" ssh debian-01 "$@" </dev/null; }

        ground
        mkdir -p /root/.ssh && mount -t tmpfs tmpfs /root/.ssh
        printf 'IdentityFile %s\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n' "$work/key" >/root/.ssh/config
        mv "$work/base.qcow2" /var/cache/base.qcow2
        printf '%s' '<network><name>default</name><bridge name="virbr9"/><ip address="192.0.2.1" netmask="255.255.255.0">' \
                '<dhcp><range start="192.0.2.100" end="192.0.2.199"/></dhcp></ip></network>' >/run/network.xml
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default; net-autostart default" >/dev/null
        mkdir -p /var/lib/gpuvm/creating
        state >/run/before

        vm create debian --image /var/cache/base.qcow2 --memory 768 --cpus 1 --disk 10 --no-gpu --user ada \
                --ssh-key "$(<"$work/key.pub")" --wait --timeout 1500 >/run/said 2>&1 || { cat /run/said; tail -n 30 /var/log/libvirt/qemu/*.console; }
        echo "up after $((SECONDS - began)) s" >"$work/times"
        say 'its seed is gone' "$(virsh -q -c qemu:///system domblklist debian-01 | awk '$1 == "sda" { print $2 }') $(ls $pool)"
        address=$(vm ip list | awk '$1 == "debian-01" { sub("/.*", "", $2); print $2; exit }')
        say 'its address is of the range' "${address%.*} $(("${address##*.}" >= 100))"
        say 'list shows it as well' "$(vm list | awk -v a="$address" '$1 == "debian-01" { sub("/.*", "", $NF); print $NF == a }')"
        say 'ssh' "$(guest whoami)" "$(guest hostname)" "$(guest sudo -n id -u)"
        # cloud-init goes on without the archive that it cannot reach here.
        say 'it is well' "$(vm check debian-01 --json | python3 -c 'import json, sys
print(*(f["check"] + ":" + f["result"] for f in json.load(sys.stdin)[0]["findings"] if f["check"] != "cloud-init"))')"
        say 'as info tells from then on' "$(vm info debian-01 | grep -c '^Checked')"
        say 'its disk has the size asked for' "$(guest df --output=size -BG / | tail -n 1 | tr -d ' G')"
        guest 'echo kept >kept; sync'

        began=$SECONDS
        vm restart debian-01 >/run/said 2>&1 || cat /run/said
        until [ "$(guest cat kept 2>/dev/null)" = kept ] && [ "$(guest cat /proc/uptime | cut -d. -f1)" -lt $((SECONDS - began + 5)) ]; do
                [ $((SECONDS - began)) -lt 900 ] || { echo 'never came back'; break; }
                sleep 2
        done
        echo "back after $((SECONDS - began)) s" >>"$work/times"
        say 'what was written is there after a restart' "$(guest cat kept)"
        began=$SECONDS
        before=$(grep -c 'reboot: Power down' /var/log/libvirt/qemu/debian-01.console)
        vm stop debian-01 >/run/said 2>&1 || cat /run/said
        echo "off after $((SECONDS - began)) s" >>"$work/times"
        say 'it shuts down when asked' "$(vm list | awk '$1 == "debian-01" { print $3 }') $(($(grep -c 'reboot: Power down' /var/log/libvirt/qemu/debian-01.console) - before))"
        vm delete --yes --quiet debian-01
        state | diff /run/before - && echo 'nothing is left of it'
}
create_real "$work" 3000
if [ "$status" -eq 77 ]; then
        skip_all 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
fi
diag "$(cat "$work/times")"
is 'a guest boots, is used, restarted, stopped and removed' "$got" 'its seed is gone: - debian-01.qcow2
its address is of the range: 192.0.2 1
list shows it as well: 1
ssh: ada debian-01 0
it is well: state:ok agent:ok address:ok ssh:ok ping:ok
as info tells from then on: 1
its disk has the size asked for: 10
what was written is there after a restart: kept
it shuts down when asked: off 1
nothing is left of it'
done_testing
