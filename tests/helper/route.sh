#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-route beside a real libvirtd and QEMU, in namespaces of their own: route.sh DIRECTORY-OF-HELPERS

# shellcheck disable=SC2317 # the functions are called inside the namespaces
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(realpath "$(dirname "$0")")
helper=$(realpath "$1")/gpuvm-route
vmctl=$(realpath "$1")/vmctl

virsh_q() {
        virsh -q -c qemu:///system "$@"
}
# machine NAME MAC [METADATA]: on br0, and on.
machine() {
        cat >"/run/$1.xml" <<XML
<domain type="qemu"><name>$1</name>${3-}<memory unit="MiB">16</memory><vcpu>1</vcpu>
<os><type arch="x86_64">hvm</type></os><devices><interface type="bridge"><mac address="$2"/><source bridge="br0"/>
<model type="e1000"/></interface><memballoon model="none"/></devices></domain>
XML
        virsh_q define "/run/$1.xml" >/dev/null && virsh_q start "$1" >/dev/null
}
# ours MAC ADDRESS: gpuvm's element.
ours() {
        echo "<metadata><g:vm xmlns:g=\"urn:gpuvm:vm:1\" kind=\"debian\"><g:nic mac=\"$1\"/><g:address cidr=\"$2\" gateway=\"192.0.2.10\"/></g:vm></metadata>"
}
tap() {
        virsh_q domiflist "$1" | awk '{ print $1 }'
}
run_helper() {
        LD_PRELOAD=$preload "$helper" "$@"
}
# route WHAT INTERFACE: its exit status, and what there is afterwards.
route() {
        local status=0

        run_helper "$1" "$2" 2>/run/err || status=$?
        echo "$1 $status: $(ip route show proto static dev br0 | paste -sd,) / $(ip neigh show proxy | paste -sd,) / $(find /run/gpuvm/routes -type f -printf '%f\n' 2>/dev/null | sort | paste -sd,)" |
                sed -E 's/ +/ /g; s/ $//'
        [ "$status" -ne 1 ] || cat /run/err
}
# vmctl, with the interfaces of this network in /sys.
run_vmctl() {
        # shellcheck disable=SC2016 # another shell's
        unshare --mount bash -c 'mount -t sysfs sysfs /sys && LD_PRELOAD=$preload exec "$vmctl" "$@"' vmctl "$@" 2>/dev/null || true
}
# checks: what is found of the host's routes, and of the machine's own.
checks() {
        run_vmctl check --json | jq -r '.checks[] | select(.check == "routes") | "\(.result) \(.text), \(.fix)"'
        run_vmctl check a | { grep -A 2 ' route ' || true; } | tr -s ' '
}
real() {
        local a old status

        ip link add br0 type bridge
        ip link add eth0 type bridge
        ip link set br0 up
        ip link set eth0 up
        ip addr add 192.0.2.10/32 dev br0
        ip route add default via 198.51.100.1 dev eth0 onlink
        mkdir -p /run/gpuvm/phases
        machine a 52:54:00:00:00:0a "$(ours 52:54:00:00:00:0a 192.0.2.20/32)" || return
        a=$(tap a)
        # Before the host is known to route.
        route add "$a"
        echo '{"mode":"routed","bridge":"br0","uplink":"eth0"}' >/run/gpuvm/phases/bridge.json
        run_helper --dry-run add "$a"
        route add "$a"
        route add "$a"
        checks
        mkdir -p /var/lib/gpuvm
        touch /var/lib/gpuvm/bridge
        checks
        ip neigh del proxy 192.0.2.20 dev eth0
        checks
        route add "$a" >/dev/null
        # One that is off, and whose old interface is seen to be gone when the new one is there.
        virsh_q destroy a >/dev/null
        old=$a
        virsh_q start a >/dev/null
        a=$(tap a)
        [ "$old" != "$a" ] || echo 'the same name'
        route add "$a" | sed "s/$a/new/; s/$old/old/"
        route remove "$old" | sed "s/$a/new/"
        route remove "$a"
        route remove "$a"
        # Somebody else's machine, one with the host's own address, and no machine at all.
        machine b 52:54:00:00:00:0b && route add "$(tap b)"
        machine c 52:54:00:00:00:0c "$(ours 52:54:00:00:00:0c 192.0.2.10/32)" && route add "$(tap c)"
        ip link add nobody type bridge
        ip link del nobody
        route add nobody
        # Who has taken them away by hand.
        route add "$a" | sed "s/$a/new/"
        ip route del 192.0.2.20 dev br0
        ip neigh del proxy 192.0.2.20 dev eth0
        route remove "$a"
        kill "$(cat /run/libvirtd.pid)"
        while virsh_q uri >/dev/null 2>&1; do sleep 0.1; done
        status=0
        run_helper add "$a" 2>/run/err || status=$?
        echo "$status $(grep -c 'Cannot connect to libvirt.*systemctl restart gpuvm-route@' /run/err)"
        libvirtd -d
        # For whoever ends it.
        until [ -s /run/libvirtd.pid ]; do sleep 0.1; done
}
# As in storage.sh.
asan=$(ldd "$helper" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}
! nm -D "$helper" 2>/dev/null | grep -q __asan_init || preload=${preload:-libtirpc.so.3}
export helper preload vmctl
export -f virsh_q machine ours tap run_helper run_vmctl route checks real
status=0
got=$("$here/with-libvirtd.sh" bash -euo pipefail -c real) || status=$?
if [ "$status" -eq 77 ]; then
        skip_all 'needs root, libvirt-daemon, libvirt-clients, dnsmasq-base and iptables'
fi
there='192.0.2.20 scope link / 192.0.2.20 dev eth0 proxy'
is 'what a machine that is on needs, and nothing else' "$status:$got" "0:add 77: / /
route: would route 192.0.2.20: over br0 to 'a'; the host answers for it on eth0
add 0: $there / vnet0
add 0: $there / vnet0
ok 1 VM is on with a routed address, and reached by it, null
fail is not reached at 192.0.2.20: the host does not answer for it, sudo systemctl restart gpuvm-route@vnet0.service
fail route a: is not reached at 192.0.2.20: the host does not answer for it
 Have its unit make it again; 'journalctl -u gpuvm-route@vnet0' tells why it was not there
 sudo systemctl restart gpuvm-route@vnet0.service
add 0: $there / old,new
remove 0: $there / new
remove 0: / /
remove 0: / /
add 77: / /
add 1: / /
gpuvm-route: The host cannot route 192.0.2.10 to 'c': it is this host's own. Give the machine another one: 'vmctl create --ip', or Address= in its file
add 77: / /
add 0: $there / new
remove 0: / /
1 1"

# The rule, in a udevd of its own.
wants() {
        local dir rules

        mount --make-rprivate /
        mount -t tmpfs tmpfs /run
        mount -t sysfs sysfs /sys
        mkdir /run/rules
        cp "$here/../../udev/60-gpuvm.rules" /run/rules
        rules=$(readlink -f /lib/udev/rules.d)
        mount --bind /run/rules "$rules"
        for dir in /etc/udev/rules.d /usr/local/lib/udev/rules.d; do
                [ ! -d "$dir" ] || mount -t tmpfs tmpfs "$dir"
        done
        /lib/systemd/systemd-udevd --daemon 2>/dev/null
        ip link add vnet7 type bridge
        ip link add other7 type bridge
        udevadm settle --timeout=60
        for dir in vnet7 other7; do
                udevadm info --query=property "/sys/class/net/$dir" | grep -o 'gpuvm-route@.*service' || echo 'nothing'
        done
        udevadm control --exit
}
export here
export -f wants
if [ -x /lib/systemd/systemd-udevd ]; then
        is 'udev starts it with the interfaces of machines' "$(unshare -mnp --fork bash -euo pipefail -c wants)" 'gpuvm-route@vnet7.service
nothing'
else
        skip 'udev starts it with the interfaces of machines' 'no udevd here'
fi
done_testing
