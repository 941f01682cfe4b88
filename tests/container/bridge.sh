#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The network made a bridge by its real owner, with somebody logged in: bridge.sh RELEASE OWNER TCPFLOW
#
# eth0 of the machine leads to a namespace of its own, where the gateway is, and a user with a TCP connection to port 22.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie} owner=${2:-networkd} tcpflow=$3
case $owner in
networkd) more= ;;
netplan) more=netplan.io ;;
ifupdown) more=ifupdown ;;
NetworkManager) more=network-manager ;;
esac
# shellcheck disable=SC2086 # none or one
machine_new "$release" $more
cp "$tcpflow" "$shared/tcpflow"
cp "$source_dir/helpers/lib/journal.h" "$shared/"

configure_networkd() {
        mkdir -p "$machine/etc/systemd/network"
        printf '%s\n' '[Match]' 'Name=eth0' '[Network]' 'Address=192.0.2.10/24' 'Address=2001:db8::10/64' 'Gateway=192.0.2.1' \
                'Gateway=2001:db8::1' 'IPv6AcceptRA=no' >"$machine/etc/systemd/network/20-eth0.network"
        ln -sf /lib/systemd/system/systemd-networkd.service "$machine/etc/systemd/system/multi-user.target.wants/"
}

configure_netplan() {
        mkdir -p "$machine/etc/netplan"
        echo 'network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.10/24, "2001:db8::10/64"], accept-ra: false,
  routes: [{to: default, via: 192.0.2.1}, {to: "::/0", via: "2001:db8::1"}]}}}' >"$machine/etc/netplan/50-a.yaml"
        chmod 600 "$machine/etc/netplan/50-a.yaml"
        ln -sf /lib/systemd/system/systemd-networkd.service "$machine/etc/systemd/system/multi-user.target.wants/"
}

configure_ifupdown() {
        printf '%s\n' 'auto lo' 'iface lo inet loopback' 'auto eth0' 'iface eth0 inet static' '    address 192.0.2.10/24' \
                '    gateway 192.0.2.1' 'iface eth0 inet6 static' '    address 2001:db8::10/64' '    gateway 2001:db8::1' \
                >"$machine/etc/network/interfaces"
        ln -sf /dev/null "$machine/etc/systemd/system/systemd-networkd.service"
}

configure_NetworkManager() {
        mkdir -p "$machine/etc/NetworkManager/system-connections"
        printf '%s\n' '[connection]' 'id=a' 'uuid=22222222-2222-4222-8222-222222222222' 'type=ethernet' 'interface-name=eth0' \
                '[ipv4]' 'method=manual' 'address1=192.0.2.10/24,192.0.2.1' '[ipv6]' 'method=manual' \
                'address1=2001:db8::10/64,2001:db8::1' >"$machine/etc/NetworkManager/system-connections/a.nmconnection"
        chmod 600 "$machine/etc/NetworkManager/system-connections/a.nmconnection"
        # veth is not managed where nobody says so.
        mkdir -p "$machine/etc/NetworkManager/conf.d"
        printf '%s\n' '[main]' 'plugins=keyfile' '[keyfile]' 'unmanaged-devices=none' '[device-veth]' 'match-device=driver:veth' \
                'managed=1' >"$machine/etc/NetworkManager/conf.d/veth.conf"
        ln -sf /dev/null "$machine/etc/systemd/system/systemd-networkd.service"
}

# The line to the gateway, before PID 1 and so before anybody who configures it. The name server of the far end is nobody.
cat >"$shared/before-init" <<'EOF'
mkdir -p /run/netns
ip netns add far
ip link add eth0 address 52:54:00:12:34:56 type veth peer name far0 netns far
ip -n far link set lo up
ip -n far link set far0 up
ip -n far addr add 192.0.2.1/24 dev far0
ip -n far addr add 2001:db8::1/64 dev far0 nodad
EOF
# A container has no udevd to wait for: eth0 is there, and ready.
mkdir -p "$machine/etc/gpuvm.conf.d" "$machine/run"
"configure_$owner"
# Nothing here may depend on how fast the machine is: each wait is for something, and gives up late.
boot_limit=${GPUVM_BOOT_LIMIT:-400}

# wait_until SECONDS COMMAND...: prints what did not come.
wait_until() {
        local end=$((SECONDS + $1))

        shift
        until "$@" >/dev/null 2>&1; do
                [ $SECONDS -lt $end ] || { echo "in vain: $*" && return 1; }
                sleep 0.1
        done
}

network() {
        echo "$(ip -o -4 addr show scope global | awk '{ print $2, $4 }' | sort | paste -sd,)" \
                "$(ip -o -6 addr show scope global | awk '{ print $2, $4 }' | sort | paste -sd,)" \
                "$(ip route show default | awk '{ print $3, $5 }')" "$(ip -6 route show default | awk '{ print $3, $5 }' | head -n1)"
}

network_on() {
        echo "$1 192.0.2.10/24 $1 2001:db8::10/64 192.0.2.1 $1 2001:db8::1 $1"
}

is_on() {
        [ "$(network)" = "$(network_on "$1")" ]
}

# settle INTERFACE: prints the network when it is there, or what there is instead after a minute.
settle() {
        wait_until 60 is_on "$1"
        network
}

is_stage() {
        grep -qx "stage $1" /var/lib/gpuvm/bridge.pending
}

is_connected() {
        ss -Htn state established sport = :22 | grep -q .
}

# wait_for_network INTERFACE: up from both ends, with somebody at port 22.
wait_for_network() {
        settle "$1"
        /shared/tcpflow listen 22 &
        wait_until 60 timeout 5 ip netns exec far /shared/tcpflow probe 192.0.2.10 22 0
}

# From the moment that the timer runs, and so before the bridge can prove itself.
gateway_off() {
        wait_until 100 test -e /var/lib/gpuvm/bridge.pending
        ip -n far link set far0 arp off
        ip -n far addr del 192.0.2.1/24 dev far0
}

# events NAME: how many of those that journal.h calls so are in the journal.
events() {
        journalctl --sync
        journalctl -q -b -o cat "$(sed -n "s/.*EVENT_$1 *\"\(.*\)\"/\1/p" /shared/journal.h)" GPUVM_BRIDGE=br0 | wc -l
}

files() {
        find /etc/systemd/network /etc/NetworkManager/system-connections /etc/network /etc/netplan -type f \
                -exec stat -c '%n %a %U:%G' {} + -exec sha256sum {} + 2>/dev/null | sort
}

make_it() {
        wait_for_network eth0
        files >/shared/files-before
        ip netns exec far /shared/tcpflow probe 192.0.2.10 22 300 >/shared/flow 2>&1 &
        probe=$!
        wait_until 60 is_connected
        systemctl start gpuvm-bridge.service
        echo "unit $?"
        network
        cat /sys/class/net/br0/address
        ls /sys/class/net/br0/brif
        systemctl is-active gpuvm-bridge-revert.timer
        kill $probe
        wait $probe
        echo "probe $?"
        systemctl start gpuvm-bridge.service
        echo "again $?"
        events NETWORK_MOVED
        cp /run/gpuvm/phases/bridge.json /shared/bridge.json
}
machine_boot make_it
is "$release, $owner: the addresses and routes moved to the bridge, and nobody lost his connection" "$output" \
        "$(network_on eth0)
unit 0
$(network_on br0)
52:54:00:12:34:56
eth0
inactive
probe 0
again 0
1"
read -r echoes silence <"$shared/flow" || true
diag "$echoes bytes echoed, silent for at most $silence ms"
# Less than the 15 s for which a port listens, and again learns, where a bridge waits for the spanning tree.
check "$release, $owner: the port does not wait" test "${silence:-99999}" -lt 15000

after_boot() {
        wait_for_network br0
        systemctl show -P ConditionResult gpuvm-bridge-boot.service
        /usr/lib/gpuvm/gpuvm-bridge revert >/shared/revert 2>&1
        echo "revert $?"
        settle eth0
        files >/shared/files-after
}
machine_boot after_boot
is "$release, $owner: the next boot has the bridge, and taking it back gives the old network" "$output" \
        "$(network_on br0)
no
revert 0
$(network_on eth0)"
is "$release, $owner: file by file" "$(cat "$shared/files-after")" "$(cat "$shared/files-before")"

printf '[Network]\nRevertSec=60\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
gateway_dies() {
        wait_for_network eth0
        gateway_off &
        systemctl start gpuvm-bridge.service
        echo "unit $?"
        settle eth0
        events NETWORK_BACK
        files | diff - /shared/files-before && echo same
}
machine_boot gateway_dies
is "$release, $owner: a gateway that does not answer brings the old network back" "$output" \
        "$(network_on eth0)
unit 1
$(network_on eth0)
1
same"

# Nobody is there to see the proof: the timer does it.
killed() {
        wait_for_network eth0
        gateway_off &
        systemctl start --no-block gpuvm-bridge.service
        wait_until 100 is_stage changed
        systemctl kill --signal=KILL gpuvm-bridge.service
        settle br0
        wait_until 150 test ! -e /var/lib/gpuvm/bridge.pending
        settle eth0
        files | diff - /shared/files-before && echo same
}
machine_boot killed
is "$release, $owner: with the helper killed the timer brings the old network back" "$output" \
        "$(network_on eth0)
$(network_on br0)
$(network_on eth0)
same"
rm "$machine/etc/gpuvm.conf.d/50-test.conf"

# The power is gone: the next boot does it.
cut_off() {
        wait_for_network eth0
        gateway_off &
        systemctl start --no-block gpuvm-bridge.service
        wait_until 100 is_stage changed
        systemctl kill --signal=KILL gpuvm-bridge.service
        settle br0
        sync
        systemctl poweroff --force --force
}
machine_boot cut_off
is "$release, $owner: cut off on the bridge" "$output" "$(network_on eth0)
$(network_on br0)"

after_cut() {
        wait_for_network eth0
        systemctl show -P ConditionResult gpuvm-bridge-boot.service
        [ -e /var/lib/gpuvm/bridge.pending ] || echo gone
        files | diff - /shared/files-before && echo same
}
machine_boot after_cut
is "$release, $owner: the next boot has the old network" "$output" "$(network_on eth0)
yes
gone
same"
done_testing
