# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016
# A made-up machine whose network somebody runs: source it, call make_bridge_machine DIR, then networkd, ifupdown or
# networkmanager for $root.
#
# What the kernel says before and after is recorded (tests/fuzz/corpus/netstate); an owner's stand-in puts the one or the
# other in place, by the files that it finds.

bridge_records=$(cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz/corpus/netstate" && pwd)

# stand_in NAME: from standard input.
stand_in() {
        mkdir -p "$root/${1%/*}"
        { printf '#!/bin/bash\necho "%s $*" >>"$GPUVM_ROOT/calls"\n' "${1##*/}" && cat; } >"$root/$1"
        chmod 755 "$root/$1"
}

put() {
        mkdir -p "$root/${1%/*}"
        cat >"$root/$1"
}

# make_bridge_machine DIR CONF-LINE...: eth0 is up, by nobody yet.
make_bridge_machine() {
        local root=$1

        mkdir -p "$root"/{etc,var/lib/gpuvm,proc/sys/net/ipv4,proc/sys/kernel/random,sys/class/net/eth0,run/gpuvm}
        echo 11111111-1111-4111-8111-111111111111 >"$root/proc/sys/kernel/random/boot_id"
        echo 'root=/dev/sda1' >"$root/proc/cmdline"
        echo 0 >"$root/proc/sys/net/ipv4/ip_forward"
        printf '%s\n' '[Network]' "${@:2}" >"$root/etc/gpuvm.conf"
        cp "$bridge_records/moving" "$root/run/gpuvm/netstate"
        stand_in usr/bin/systemd-run <<<'while [ $# -gt 0 ]; do [ "$1" != -- ] || { shift; exec "$GPUVM_ROOT$1" "${@:2}"; }; shift; done'
        stand_in usr/bin/systemctl </dev/null
        stand_in usr/sbin/ip <<'EOF'
rm -rf "$GPUVM_ROOT/sys/class/net/br0"
EOF
}

# How an owner's stand-in takes the files up: "$made" is a test for that the bridge is asked for.
become='if eval "$made"; then mkdir -p "$GPUVM_ROOT/sys/class/net/br0"; now=moved; else now=moving; fi
[ ! -e "$GPUVM_ROOT/broken" ] || [ $now = moving ] || now=onlink
cp '"$bridge_records"'/$now "$GPUVM_ROOT/run/gpuvm/netstate"'

networkd() {
        local index

        index=$(eth0_index)
        put "run/systemd/netif/links/$index" <<<"ADMIN_STATE=configured
NETWORK_FILE=/etc/systemd/network/20-wired.network"
        put etc/systemd/network/20-wired.network <<<$'[Match]\nName=eth0\n[Network]\nAddress=192.0.2.10/24\nGateway=192.0.2.1'
        stand_in usr/bin/networkctl <<<'made='\''[ -e "$GPUVM_ROOT/etc/systemd/network/00-gpuvm-br0.network" ]'\'"
$become"
}

ifupdown() {
        put run/network/ifstate <<<'eth0=eth0'
        put etc/network/interfaces <<<$'auto lo eth0\niface lo inet loopback\niface eth0 inet static\n    address 192.0.2.10/24\n    gateway 192.0.2.1'
        chmod 640 "$root/etc/network/interfaces"
        stand_in usr/sbin/ifdown </dev/null
        stand_in usr/sbin/ifup <<<'made='\''grep -q "iface br0" "$GPUVM_ROOT/etc/network/interfaces"'\'"
$become"
}

networkmanager() {
        local index

        index=$(eth0_index)
        put "run/NetworkManager/devices/$index" <<<$'[device]\nmanaged=true\nconnection-uuid=22222222-2222-4222-8222-222222222222'
        put etc/NetworkManager/system-connections/a.nmconnection <<<$'[connection]\nuuid=22222222-2222-4222-8222-222222222222\ntype=ethernet\n[ipv4]\nmethod=manual'
        stand_in usr/bin/nmcli <<<'made='\''[ -e "$GPUVM_ROOT/etc/NetworkManager/system-connections/gpuvm-br0.nmconnection" ]'\'"
$become"
}

# The number that eth0 has in the records.
eth0_index() {
        python3 - "$bridge_records/moving" <<'EOF'
import struct, sys
d = open(sys.argv[1], 'rb').read()
o = 0
while o < len(d):
    size, kind = struct.unpack_from('=IH', d, o)
    if kind == 16 and b'eth0\0' in d[o:o + size]:
        print(struct.unpack_from('=i', d, o + 20)[0])
        break
    o += (size + 3) & ~3
EOF
}
