#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks that are not two addresses and two gateways: bridgecases.sh RELEASE OWNER CASE TCPFLOW
#
#     dhcp      one of fifty addresses, by a server that goes by who asks
#     ipv6      no IPv4 at all
#     onlink    a single address, and a gateway that is not in its network, as hosters do: a routed bridge
#     filter    frames go through a packet filter that drops what is forwarded
#     firewalld the same, by a daemon that keeps its rules to itself
#     zone      the administrator has bound the uplink to a zone of firewalld's
#     zones     a routed bridge, and firewalld
#     guests    what guests on libvirt's own network reach of the host
#     taken     somebody else has a bridge of that name
#     fifty     there and back fifty times, with one connection alive through all of it
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=bridgelib.sh
. "$(dirname "$0")/bridgelib.sh"
# shellcheck source=gpus.sh
. "$(dirname "$0")/gpus.sh"

container_require
release=$1 owner=$2 case=$3 tcpflow=$4
what="$release, $owner, $case"
case $case in
dhcp) packages=(dnsmasq-base) ;;
onlink)
        archive=libarchive13t64
        [ "$release" != bookworm ] || archive=libarchive13
        packages=(libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils "$archive" libxml2)
        ;;
filter | guests) packages=(iptables nftables) ;;
firewalld | zone | zones) packages=(firewalld) ;;
*) packages=() ;;
esac
# ifupdown leaves DHCP to a program.
[ "$owner$case" != ifupdowndhcp ] || packages+=(isc-dhcp-client)
bridge_machine "$release" "$owner" "${packages[@]}"

# Debian 12's firewalld does not start without the names of protocols, and does not ask for their package.
case $case in
firewalld | zone | zones) printf 'icmp 1\ntcp 6\nudp 17\ngre 47\nesp 50\nah 51\nipv6-icmp 58\nsctp 132\nigmp 2\nvrrp 112\n' >"$machine/etc/protocols" ;;
esac

[ "$case" != onlink ] || gpus_libvirt

# eth0_is LINE...: networkd's file of it.
eth0_is() {
        mkdir -p "$machine/etc/systemd/network"
        printf '%s\n' '[Match]' 'Name=eth0' '[Network]' "$@" >"$machine/etc/systemd/network/20-eth0.network"
        ln -sf /lib/systemd/system/systemd-networkd.service "$machine/etc/systemd/system/multi-user.target.wants/"
}

no_networkd() {
        ln -sf /dev/null "$machine/etc/systemd/system/systemd-networkd.service"
}

case $owner/$case in
networkd/dhcp) eth0_is DHCP=ipv4 IPv6AcceptRA=no ;;
ifupdown/dhcp)
        printf '%s\n' 'auto lo' 'iface lo inet loopback' 'auto eth0' 'iface eth0 inet dhcp' >"$machine/etc/network/interfaces"
        no_networkd
        ;;
NetworkManager/dhcp)
        mkdir -p "$machine/etc/NetworkManager/"{system-connections,conf.d}
        printf '%s\n' '[connection]' 'id=a' 'uuid=22222222-2222-4222-8222-222222222222' 'type=ethernet' 'interface-name=eth0' \
                '[ipv4]' 'method=auto' '[ipv6]' 'method=disabled' >"$machine/etc/NetworkManager/system-connections/a.nmconnection"
        chmod 600 "$machine/etc/NetworkManager/system-connections/a.nmconnection"
        printf '%s\n' '[main]' 'plugins=keyfile' '[keyfile]' 'unmanaged-devices=none' '[device-veth]' 'match-device=driver:veth' \
                'managed=1' >"$machine/etc/NetworkManager/conf.d/veth.conf"
        no_networkd
        ;;
networkd/ipv6) eth0_is Address=2001:db8::10/64 Gateway=2001:db8::1 IPv6AcceptRA=no ;;
networkd/onlink | networkd/zones)
        eth0_is Address=192.0.2.10/32 IPv6AcceptRA=no '[Route]' Gateway=198.51.100.1 GatewayOnLink=yes
        cat >>"$shared/before-init" <<'EOT'
ip -n far addr flush dev far0 scope global
ip -n far addr add 198.51.100.1/24 dev far0
ip -n far route add 192.0.2.10/32 dev far0
EOT
        # A hoster's router asks by ARP who has it; or it was told.
        via=dev\ far0
        [ "$case" = onlink ] || via='via 192.0.2.10'
        echo "ip -n far route add 192.0.2.20/32 $via" >>"$shared/before-init"
        ;;
networkd/*) eth0_is Address=192.0.2.10/24 Address=2001:db8::10/64 Gateway=192.0.2.1 Gateway=2001:db8::1 IPv6AcceptRA=no ;;
esac

# The server of the far end, before anybody asks.
[ "$case" != dhcp ] || cat >"$machine/etc/systemd/system/far.service" <<'EOT'
[Unit]
DefaultDependencies=no
Before=network-pre.target
Wants=network-pre.target
[Service]
ExecStart=/sbin/ip netns exec far /usr/sbin/dnsmasq -k -C /dev/null -p 0 -i far0 --dhcp-leasefile=/run/leases \
        --dhcp-range=192.0.2.50,192.0.2.99,1h --dhcp-option=3,192.0.2.1 --no-ping
EOT
[ "$case" != dhcp ] || {
        mkdir -p "$machine/etc/systemd/system/sysinit.target.wants"
        ln -sf ../far.service "$machine/etc/systemd/system/sysinit.target.wants/far.service"
}

routes_by() {
        ip route show default | grep -q " dev $1 " || ip -6 route show default | grep -q " dev $1 "
}

# user ADDRESS: logs in, and stays.
user() {
        /shared/tcpflow listen 22 &
        wait_until 60 timeout 5 ip netns exec far /shared/tcpflow probe "$1" 22 0
        ip netns exec far /shared/tcpflow probe "$1" 22 3000 >/shared/flow 2>&1 &
        probe=$!
        wait_until 60 is_connected
}

user_leaves() {
        kill "$probe"
        wait "$probe"
        echo "user $?"
}

# vm ADDRESS/PREFIX: a namespace with one end of a cable in br0, where somebody listens.
vm() {
        ip netns add vm
        ip link add vm0 type veth peer name eth0 netns vm
        ip link set vm0 master br0 up
        ip -n vm link set lo up
        ip -n vm link set eth0 up
        ip -n vm addr add "$1" dev eth0
        ip netns exec vm /shared/tcpflow listen 80 &
}

# reaches ADDRESS: the far end does the one of the VM.
reaches() {
        timeout 5 ip netns exec far /shared/tcpflow probe "$1" 80 0 >/dev/null 2>&1
}

mode() {
        sed -n 's/.*"mode": *"\([^"]*\)".*/\1/p' /run/gpuvm/phases/bridge.json
}

rules() {
        iptables -S FORWARD | grep -c gpuvm-bridge
}

# There, with somebody logged in, and back.
there_and_back() {
        wait_until 100 routes_by eth0
        address=$(ip -o addr show dev eth0 scope global | awk '{ sub("/.*", "", $4); print $4 }')
        before=$(network)
        files >/shared/files-before
        user "$address"
        systemctl start gpuvm-bridge.service
        echo "unit $? $(mode)"
        after=$(network)
        [ "${after//br0/eth0}" = "$before" ] && echo 'the same' || echo "$before, and then $after"
        routes_by br0 && echo 'by br0'
        cat /proc/sys/net/ipv6/conf/{default,br0}/accept_dad
        user_leaves
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $?"
        wait_until 100 routes_by eth0
        [ "$(network)" = "$before" ] && echo 'as before'
        files | diff - /shared/files-before && echo 'file by file'
        /usr/lib/gpuvm/gpuvm-bridge status
}

test_there_and_back() {
        machine_boot there_and_back
        is "$what: moved, and back, and nobody lost his connection" "$output" 'unit 0 bridged
the same
by br0
1
1
user 0
revert 0
as before
file by file
gpuvm has changed nothing of the network.'
        diag "$(cat "$shared/flow")"
}

test_dhcp() {
        test_there_and_back
}

test_ipv6() {
        test_there_and_back
}

# What it takes to have a tap of a machine's, which does nothing else.
cat >"$shared/machine.xml" <<'XML'
<domain type="qemu"><name>a</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:nic mac="52:54:00:00:00:0a"/>
<g:address cidr="192.0.2.20/32" gateway="192.0.2.10"/></g:vm></metadata><memory unit="MiB">16</memory><vcpu>1</vcpu>
<os><type arch="x86_64">hvm</type></os><devices><interface type="bridge"><mac address="52:54:00:00:00:0a"/>
<source bridge="br0"/><model type="e1000"/></interface><memballoon model="none"/></devices></domain>
XML

# Its unit, in its sandbox. Nobody makes units of interfaces here: there is no udevd.
route_unit() {
        sed '/^BindsTo=\|^After=sys-subsystem-net/d' /usr/lib/systemd/system/gpuvm-route@.service >/etc/systemd/system/gpuvm-route@.service
        systemctl daemon-reload
        systemctl start libvirtd
        virsh -q -c qemu:///system define /shared/machine.xml >/dev/null
}

# planned WHAT: of a machine that vmctl would make with this address.
planned() {
        vmctl create debian --no-gpu --ip 192.0.2.20 --dry-run 2>&1 | awk -v what="$1" '$1 == what { print $2 }'
}

proxies() {
        ip neigh show proxy | wc -l
}

onlink() {
        wait_until 100 routes_by eth0
        before=$(network)
        files >/shared/files-before
        user 192.0.2.10
        iptables -P FORWARD DROP
        cat /proc/sys/net/ipv4/ip_forward
        systemctl start gpuvm-bridge.service
        echo "unit $? $(mode)"
        user_leaves
        routes_by eth0 && echo 'by eth0'
        ls /sys/class/net/br0/brif
        echo "$(ip -o -4 addr show dev br0 | awk '{ print $4 }') $(cat /proc/sys/net/ipv4/ip_forward) $(rules)"
        address=$(planned address) gateway=$(planned gateway)
        echo "$address by $gateway"
        vm "$address"
        ip -n vm route add default via "$gateway" dev eth0 onlink
        route_unit
        virsh -q -c qemu:///system start a >/dev/null
        reaches 192.0.2.20 || echo 'not without a route'
        systemctl start gpuvm-route@vnet0
        wait_until 60 reaches 192.0.2.20 && echo 'the VM is reached'
        ip netns exec far /shared/tcpflow listen 81 &
        wait_until 60 ip netns exec vm /shared/tcpflow probe 198.51.100.1 81 0 && echo 'and reaches others'
        systemctl restart systemd-networkd
        wait_until 100 routes_by eth0
        wait_until 60 reaches 192.0.2.20 && echo 'also with networkd started again'
        systemctl stop gpuvm-route@vnet0
        echo "$(ip route show 192.0.2.20)$(proxies)"
        systemctl start gpuvm-route@vnet0
        proxies
        setpriv --reuid=1000 --clear-groups /usr/lib/gpuvm/gpuvm-bridge status
        ip link del vm0
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $? $(cat /proc/sys/net/ipv4/ip_forward) $(rules) $(proxies)"
        virsh -q -c qemu:///system destroy a >/dev/null
        (cd /sys/class/net && echo *)
        files | diff - /shared/files-before && echo 'file by file'
}

test_onlink() {
        machine_boot onlink
        is "$what: a routed bridge beside the uplink, through which VMs are reached, and all of it goes at once" "$output" '0
unit 0 routed
user 0
by eth0
192.0.2.10/32 1 2
192.0.2.20/32 by 192.0.2.10
not without a route
the VM is reached
and reaches others
also with networkd started again
0
1
br0 (routed, kept) of eth0, run by systemd-networkd
revert 0 0 0 0
eth0 lo
file by file'
        diag "$(machine_journal -o cat -u 'gpuvm-route@*' | tail -n 10)"
}

# Two that drop what they do not know: iptables' own chain, and one in a table of the administrator's.
drop() {
        iptables -P FORWARD DROP
        nft 'add table inet own; add chain inet own forward { type filter hook forward priority 0; policy drop; }'
}

nft_rules() {
        nft list chain inet own forward | grep -c 'comment "gpuvm-bridge"'
}

filter() {
        settle eth0 >/dev/null
        drop
        systemctl start gpuvm-bridge.service
        echo "unit $? $(mode) $(rules)"
        vm 192.0.2.20/24
        wait_until 60 reaches 192.0.2.20 && echo 'the VM is reached'
        iptables -F FORWARD
        reaches 192.0.2.20 || echo 'not without the rule'
        systemctl start gpuvm-bridge.service
        echo "again $? $(rules) $(nft_rules)"
        nft flush chain inet own forward
        reaches 192.0.2.20 || echo 'not without the other one'
        systemctl start gpuvm-bridge.service
        echo "and again $? $(rules) $(nft_rules)"
        reaches 192.0.2.20 && echo 'the VM is reached'
}

# The rules went with the kernel; udev, which a container has not, starts the unit when there is a bridge.
filter_after_boot() {
        settle br0 >/dev/null
        drop
        systemctl start gpuvm-bridge-forward.service
        echo "unit $? $(rules) $(nft_rules)"
        vm 192.0.2.20/24
        wait_until 60 reaches 192.0.2.20 && echo 'the VM is reached'
        ip link del vm0
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $? $(rules) $(nft_rules)"
        systemctl start gpuvm-bridge-forward.service
        echo "$(systemctl show -P ConditionResult gpuvm-bridge-forward.service) $(rules)"
}

test_filter() {
        machine_boot filter
        is "$what: what VMs send is let through, by one rule in each chain" "$output" 'unit 0 bridged 1
the VM is reached
not without the rule
again 0 1 1
not without the other one
and again 0 1 1
the VM is reached'
        machine_boot filter_after_boot
        is "$what: after a restart as well, until the bridge is taken back" "$output" 'unit 0 1 1
the VM is reached
revert 0 0 0
no 0'
}

# zones INTERFACE: firewalld's, of now and for good.
zones() {
        echo "$1: $(firewall-cmd --get-zone-of-interface="$1" 2>/dev/null), $(firewall-cmd --permanent --get-zone-of-interface="$1" 2>/dev/null)"
}

# answers PORT: of the host, to the far end.
answers() {
        timeout 5 ip netns exec far /shared/tcpflow probe 192.0.2.10 "$1" 0 >/dev/null 2>&1
}

# What the host itself takes is what its zone says, with the bridge as without.
host() {
        answers 22 && echo 'the host takes SSH'
        answers 80 || echo 'and nothing else'
}

firewalld() {
        settle eth0 >/dev/null
        wait_until 60 firewall-cmd --state
        /shared/tcpflow listen 22 &
        /shared/tcpflow listen 80 &
        wait_until 60 answers 22
        host
        systemctl start gpuvm-bridge.service
        echo "unit $? $(mode)"
        zones br0
        vm 192.0.2.20/24
        wait_until 60 reaches 192.0.2.20 && echo 'the VM is reached'
        host
        firewall-cmd --remove-interface=br0 >/dev/null
        reaches 192.0.2.20 || echo 'not without it'
        firewall-cmd --reload >/dev/null
        reaches 192.0.2.20 && echo 'with its files loaded again it is'
        cp /var/lib/gpuvm/bridge /shared/state
        systemctl start gpuvm-bridge.service
        echo "again $?"
        cmp /var/lib/gpuvm/bridge /shared/state
}

firewalld_after_boot() {
        settle br0 >/dev/null
        wait_until 60 firewall-cmd --state
        /shared/tcpflow listen 22 &
        zones br0
        vm 192.0.2.20/24
        wait_until 60 reaches 192.0.2.20 && echo 'the VM is reached'
        wait_until 60 answers 22
        ip link del vm0
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $?"
        zones br0
        ls /etc/firewalld/zones/*.xml 2>/dev/null
}

test_firewalld() {
        machine_boot firewalld
        is "$what: VMs are let through, and the host takes no more than before" "$output" 'the host takes SSH
and nothing else
unit 0 bridged
br0: public, public
the VM is reached
the host takes SSH
and nothing else
not without it
with its files loaded again it is
again 0'
        machine_boot firewalld_after_boot
        is "$what: after a restart as well, until the bridge is taken back" "$output" 'br0: public, public
the VM is reached
revert 0
br0: , '
}

# The default zone lets nobody in: with the bridge there, nobody could log in any more.
zone() {
        settle eth0 >/dev/null
        wait_until 60 firewall-cmd --state
        firewall-cmd --permanent --zone=work --add-interface=eth0 >/dev/null
        firewall-cmd --set-default-zone=drop >/dev/null
        firewall-cmd --reload >/dev/null
        cp /etc/firewalld/zones/work.xml /shared/work.xml
        /shared/tcpflow listen 22 &
        /shared/tcpflow listen 80 &
        wait_until 60 answers 22
        systemctl start gpuvm-bridge.service
        echo "unit $? $(mode)"
        zones br0
        host
}

zone_after_boot() {
        settle br0 >/dev/null
        wait_until 60 firewall-cmd --state
        /shared/tcpflow listen 22 &
        /shared/tcpflow listen 80 &
        wait_until 60 answers 22
        host
        systemctl stop firewalld.service
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $?"
        systemctl start firewalld.service
        wait_until 60 firewall-cmd --state
        zones br0
        zones eth0
        cmp /etc/firewalld/zones/work.xml /shared/work.xml && echo 'as it was'
}

test_zone() {
        machine_boot zone
        is "$what: the bridge is in the uplink's zone" "$output" 'unit 0 bridged
br0: work, work
the host takes SSH
and nothing else'
        machine_boot zone_after_boot
        is "$what: after a restart as well, and taken back where firewalld does not run" "$output" 'the host takes SSH
and nothing else
revert 0
br0: , 
eth0: work, work
as it was'
}

# The VM, to the far end.
goes_out() {
        timeout 5 ip netns exec vm /shared/tcpflow probe 198.51.100.1 81 0 >/dev/null 2>&1
}

# Both sides of a routed bridge have to be bound, and neither was.
routed_zones() {
        wait_until 100 routes_by eth0
        wait_until 60 firewall-cmd --state
        /shared/tcpflow listen 22 &
        /shared/tcpflow listen 80 &
        wait_until 60 answers 22
        systemctl start gpuvm-bridge.service
        echo "unit $? $(mode)"
        zones br0
        zones eth0
        host
        vm 192.0.2.20/32
        ip -n vm route add 192.0.2.10 dev eth0
        ip -n vm route add default via 192.0.2.10
        ip route add 192.0.2.20 dev br0
        ip netns exec far /shared/tcpflow listen 81 &
        wait_until 60 reaches 192.0.2.20 && echo 'the VM is reached'
        wait_until 60 goes_out && echo 'and reaches others'
        firewall-cmd --reload >/dev/null
        reaches 192.0.2.20 && goes_out && echo 'with its files loaded again as well'
        firewall-cmd --zone=public --remove-interface=eth0 >/dev/null
        goes_out || echo 'not without the uplink'
        ip link del vm0
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $?"
        zones br0
        zones eth0
        ls /etc/firewalld/zones/*.xml 2>/dev/null
}

test_zones() {
        machine_boot routed_zones
        is "$what: VMs are let through, and the host takes no more than before" "$output" 'unit 0 routed
br0: public, public
eth0: public, public
the host takes SSH
and nothing else
the VM is reached
and reaches others
with its files loaded again as well
not without the uplink
revert 0
br0: , 
eth0: , '
}

# libvirt's bridge with a guest, and a made-up machine on which libvirt has all that is wanted of it.
guest() {
        ip link add virbr0 type bridge
        ip link set virbr0 up
        ip addr add 192.168.122.1/24 dev virbr0
        ip netns add vm
        ip link add vm0 type veth peer name eth0 netns vm
        ip link set vm0 master virbr0 up
        ip -n vm link set lo up
        ip -n vm link set eth0 up
        ip -n vm addr add 192.168.122.2/24 dev eth0
        ip -n vm route add default via 192.168.122.1
        mkdir -p /tmp/m/{etc/libvirt/{storage,qemu/networks}/autostart,run/libvirt/{storage,network},var/cache/gpuvm}
        touch /tmp/m/var/cache/gpuvm/CACHEDIR.TAG
        for place in etc/libvirt/storage{,/autostart} run/libvirt/storage; do
                echo '<pool><target><path>/var/lib/libvirt/images/gpuvm</path></target></pool>' >"/tmp/m/$place/gpuvm.xml"
        done
        touch /tmp/m/{etc/libvirt/qemu/networks{,/autostart},run/libvirt/network}/default.xml
}

# allow PORTS: with GuestToHost=
allow() {
        printf '[Bootstrap]\nBridge=no\n[Network]\nGuestToHost=%s\n' "$1" >/tmp/m/etc/gpuvm.conf
        /usr/lib/gpuvm/gpuvm-storage --root=/tmp/m >/shared/storage 2>&1 || echo "storage $?"
        cp /tmp/m/var/lib/gpuvm/guests.nft /var/lib/gpuvm/ 2>/dev/null
        systemctl start gpuvm-bridge-forward.service
        echo "$1: $?"
}

# reached ADDRESS PORT...: which of them the guest reaches.
reached() {
        local port

        for port in "${@:2}"; do
                timeout 3 ip netns exec vm /shared/tcpflow probe "$1" "$port" 0 >/dev/null 2>&1 && echo "$port"
        done | xargs echo "$1:"
}

guests() {
        settle eth0 >/dev/null
        guest
        for port in 22 53 80 5001; do
                /shared/tcpflow listen $port &
        done
        wait_until 60 timeout 5 ip netns exec vm /shared/tcpflow probe 192.168.122.1 5001 0
        allow all
        reached 192.168.122.1 22 53 80 5001
        allow tcp/22,tcp/5000-5010
        reached 192.168.122.1 22 53 80 5001
        reached 192.0.2.10 22 80
        ip netns exec vm /shared/tcpflow listen 80 &
        wait_until 60 timeout 5 /shared/tcpflow probe 192.168.122.2 80 0 && echo 'the host reaches the guest'
        answers 80 && echo 'and others the host'
        allow none
        reached 192.168.122.1 22 53 80 5001
        allow all
        reached 192.168.122.1 22 53 80 5001
        allow none
        nft list tables | grep -c gpuvm
        cp -a /tmp/m/var/lib/gpuvm/ledger /var/lib/gpuvm/
        gpuvm-undo storage >/shared/undo 2>&1
        echo "undo $? $(nft list tables | grep -c gpuvm) $(ls /var/lib/gpuvm/guests.nft 2>/dev/null)"
}

test_guests() {
        machine_boot guests
        is "$what: the host is as open to them as GuestToHost= says" "$output" 'all: 0
192.168.122.1: 22 53 80 5001
tcp/22,tcp/5000-5010: 0
192.168.122.1: 22 53 5001
192.0.2.10: 22
the host reaches the guest
and others the host
none: 0
192.168.122.1: 53
all: 0
192.168.122.1: 22 53 80 5001
none: 0
1
undo 0 0 '
}

taken() {
        settle eth0
        files >/shared/files-before
        for mode in auto bridged; do
                printf '[Network]\nMode=%s\n' $mode >/etc/gpuvm.conf.d/50-test.conf
                systemctl start gpuvm-bridge.service
                echo "unit $? $(mode)"
        done
        sed -n 's/.*"reason": *"\(.*\)".*/\1/p' /run/gpuvm/phases/bridge.json
        network
        files | diff - /shared/files-before && echo 'file by file'
        /usr/lib/gpuvm/gpuvm-bridge status
}

test_taken() {
        printf 'ip link add br0 type bridge\nip link set br0 up\n' >>"$shared/before-init"
        machine_boot taken
        is "$what: nothing is touched, and Mode=bridged says why" "$output" "$(network_on eth0)
unit 0 nat
unit 1 nat
the name br0 is taken by a bridge that is not gpuvm's
$(network_on eth0)
file by file
gpuvm has changed nothing of the network."
}

fifty() {
        settle eth0 >/dev/null
        user 192.0.2.10
        for ((n = 1; n <= 50; n++)); do
                systemctl start gpuvm-bridge.service || echo "run $n ended with $?"
                is_on br0 || echo "run $n: $(network)"
                /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1 || echo "revert $n ended with $?"
                wait_until 100 is_on eth0
        done
        user_leaves
}

test_fifty() {
        boot_limit=3000
        machine_boot fifty
        is "$what: nobody lost his connection" "$output" 'user 0'
        read -r echoes silence gap <"$shared/flow" || true
        diag "50 bridges made and taken back: $echoes bytes echoed, silent for at most $silence ms, the line for $gap ms"
        check "$what: at most a second without packets" test "${gap:-99999}" -le 1000
}

"test_$case"
done_testing
