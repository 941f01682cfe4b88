#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L14: the network is a VLAN on a bond of two cards, then the bond alone: L14.sh TCPFLOW
#
# The cards are the ends of two cables, whose other ends are in a switch in a namespace of the machine, "far", with the
# gateways and with a user who stays connected. The machine's real card has no default route meanwhile.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

# What the machine does: net NAME ARGUMENTS...
machine_script() {
        cat <<-'END'
		# The switch takes frames with and without a tag, as a trunk port does.
		far() {
		        ip netns add far
		        ip -n far link set lo up
		        ip -n far link add switch type bridge
		        ip -n far link set switch up
		        ip -n far link add link switch name switch.7 type vlan id 7
		        ip -n far link set switch.7 up
		        ip -n far addr add 192.0.2.1/24 dev switch.7
		        ip -n far addr add 198.51.100.1/24 dev switch
		        for i in 0 1; do
		                ip link add cable$i type veth peer name far$i netns far
		                ip -n far link set far$i master switch up
		        done
		        printf '[Match]\nName=enp*\n[Network]\nDHCP=yes\nIPv6AcceptRA=no\n[DHCPv4]\nUseGateway=no\n' >09-lab.network
		        printf '[NetDev]\nName=bond0\nKind=bond\n[Bond]\nMode=active-backup\nMIIMonitorSec=0.1\n' >20-bond0.netdev
		        printf '[Match]\nName=cable*\n[Network]\nBond=bond0\n' >20-cable.network
		}
		bond() {
		        rm -f 21-vlan.netdev 23-vlan.network
		        printf '[Match]\nName=bond0\n[Network]\nIPv6AcceptRA=no\nAddress=198.51.100.10/24\nGateway=198.51.100.1\n' >22-bond0.network
		        ip link del bond0.7
		        reload
		}
		vlan() {
		        printf '[Match]\nName=bond0\n[Network]\nIPv6AcceptRA=no\nLinkLocalAddressing=no\nVLAN=bond0.7\n' >22-bond0.network
		        printf '[NetDev]\nName=bond0.7\nKind=vlan\n[VLAN]\nId=7\n' >21-vlan.netdev
		        printf '[Match]\nName=bond0.7\n[Network]\nIPv6AcceptRA=no\nAddress=192.0.2.10/24\nGateway=192.0.2.1\n' >23-vlan.network
		        reload
		}
		reload() {
		        networkctl reload
		        for i in /sys/class/net/en*; do networkctl reconfigure "${i##*/}"; done
		}
		# Nobody listens there, and that is an answer.
		reaches() {
		        timeout 3 bash -c "</dev/tcp/$1/9" 2>&1 | grep -c "^bash: connect: .*refused"
		}
		# Addresses and default routes, but for the real card's.
		look() {
		        ip -o -4 addr show scope global | awk '$2 !~ /^(en|virbr)/ { print $2, $4 }'
		        ip route show default | awk '{ print $3, $5 }'
		}
		files() {
		        find . -type f -exec stat -c '%n %a %U' {} + -exec sha256sum {} + | sort
		}
		user() {
		        systemd-run -q --unit=listen /root/tcpflow listen 80
		        sleep 1
		        systemd-run -q --unit=probe -p NetworkNamespacePath=/run/netns/far -p StandardOutput=file:/root/flow \
		                -p RemainAfterExit=yes /root/tcpflow probe "$1" 80 3000
		        sleep 2
		}
		user_leaves() {
		        systemctl kill -s TERM probe
		        for i in $(seq 100); do
		                [ "$(systemctl show -P SubState probe)" = running ] || break
		                sleep 0.2
		        done
		        systemctl show -P Result probe
		        systemctl stop listen probe
		}
		cd /etc/systemd/network && "$@"
	END
}

net() {
        stage_run "bash /root/net $*"
}

# there_and_back UPLINK ADDRESS GATEWAY: made a bridge with somebody connected, the first cable pulled, and taken back.
there_and_back() {
        local uplink=$1 before files

        check "$uplink: its gateway is reached" stage_wait 120 1 "bash /root/net reaches $3"
        before=$(net look) files=$(net files)
        is "$uplink: the default route leaves by it" "$before" "$uplink $2/24"$'\n'"$3 $uplink"
        net user "$2"
        check "$uplink: the phase is done" stage_run 'systemctl start gpuvm-bridge.service'
        like "$uplink: bridged" "$(stage_run 'cat /run/gpuvm/phases/bridge.json')" '"mode": *"bridged"'
        is "$uplink: the bridge has one port" "$(stage_run 'ls /sys/class/net/br0/brif')" "$uplink"
        is "$uplink: and what its port had" "$(net look)" "${before//$uplink/br0}"
        stage_run 'ip -n far link set far0 down'
        check "$uplink: the bond goes on with the other cable" stage_wait 30 cable1 \
                'cat /sys/class/net/bond0/bonding/active_slave'
        check "$uplink: and the bridge with it" stage_wait 60 1 "bash /root/net reaches $3"
        stage_run 'ip -n far link set far0 up'
        check "$uplink: taken back" stage_run "/usr/lib/gpuvm/gpuvm-bridge revert"
        check "$uplink: the network is what it was" stage_wait 60 "$before" 'bash /root/net look'
        is "$uplink: file by file" "$(net files)" "$files"
        is "$uplink: nobody lost his connection" "$(net user_leaves)" success
        diag "$uplink: bytes echoed, ms silent, of the line: $(stage_run 'cat /root/flow')"
        scenario_time "$uplink"
}

stage_up L14
lab_put "$1"
machine_script | lab_ssh 'cat >/root/net'
printf '[Bootstrap]\nBridge=yes\n' | lab_ssh 'cat >/etc/gpuvm.conf.d/zz-bridge.conf && systemctl daemon-reload'
net far
net vlan
there_and_back bond0.7 192.0.2.10 192.0.2.1
net bond
there_and_back bond0 198.51.100.10 198.51.100.1
is "nothing failed" "$(stage_run 'systemctl list-units --no-legend --state=failed')" ""
scenario_end
