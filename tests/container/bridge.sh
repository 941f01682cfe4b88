#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The network made a bridge by its real owner, with somebody logged in: bridge.sh RELEASE OWNER TCPFLOW
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=bridgelib.sh
. "$(dirname "$0")/bridgelib.sh"

container_require
release=${1:-trixie} owner=${2:-networkd} tcpflow=$3
bridge_machine "$release" "$owner"

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
"configure_$owner"

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
read -r echoes silence gap <"$shared/flow" || true
diag "$echoes bytes echoed; the connection was silent for at most $silence ms, the line for $gap ms"
# TCP tries again after a time that doubles: what it shows is more than what was lost. A second is the figure, on a quiet
# machine; those who take the interface down and up again need most of it, and may have two on one that is not.
# What is lost for up to two seconds TCP tries again after at most 3.2 of them.
case $owner in networkd | netplan) limit=1000 silent=3000 ;; *) limit=2000 silent=4000 ;; esac
check "$release, $owner: at most $limit ms without packets" test "${gap:-99999}" -le $limit
check "$release, $owner: the connection is silent for at most $silent ms" test "${silence:-99999}" -le $silent

after_boot() {
        wait_for_network br0
        systemctl show -P ConditionResult gpuvm-bridge-boot.service
        gpuvm-undo bridge >/shared/undo 2>&1
        echo "undo $?"
        gpuvm-undo --list
        settle eth0
        files >/shared/files-after
}
machine_boot after_boot
is "$release, $owner: the next boot has the bridge, and undo gives the old network" "$output" \
        "$(network_on br0)
no
undo 0
Nothing is recorded.
$(network_on eth0)"
is "$release, $owner: file by file" "$(cat "$shared/files-after")" "$(cat "$shared/files-before")"

printf '[Network]\nRevertSec=60\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
gateway_dies() {
        wait_for_network eth0
        gateway_off
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

# Nobody is there to see the proof: the timer does it. Before that there has to be time to see the bridge, on any machine.
printf '[Network]\nRevertSec=120\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
killed() {
        wait_for_network eth0
        gateway_off
        systemctl start --no-block gpuvm-bridge.service
        wait_until 100 is_stage changed
        systemctl kill --signal=KILL gpuvm-bridge.service
        settle br0
        wait_until 250 test ! -e /var/lib/gpuvm/bridge.pending
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
        gateway_off
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
