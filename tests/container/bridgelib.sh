# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154,SC2034 # machine, shared and source_dir are lib.sh's; owner and tcpflow the script's
# Bridgelib: a machine whose network is made a bridge. Source it after lib.sh.
#
# eth0 of the machine leads to a namespace of its own, "far", where the gateway is, and a user with a TCP connection to
# port 22. No boot runs another phase.
#
#     bridge_machine RELEASE OWNER [PACKAGE...]     as machine_new; OWNER is its network's, with his packages
#     wait_for_network INTERFACE                    the rest is for steps: waits, and looks

bridge_machine() {
        local more=()

        case $2 in
        netplan) more=(netplan.io) ;;
        ifupdown) more=(ifupdown) ;;
        NetworkManager) more=(network-manager) ;;
        esac
        machine_new "$1" "${more[@]}" "${@:3}"
        cp "$tcpflow" "$shared/tcpflow"
        cp "$source_dir/helpers/lib/journal.h" "$shared/"
        # This phase alone, not those that it requires.
        rm "$machine/usr/lib/systemd/system-generators/gpuvm-generator"
        mkdir -p "$machine/etc/gpuvm.conf.d" "$machine/run"
        bridge_far >"$shared/before-init"
}

# The line to the gateway, before PID 1 and so before anybody who configures it. A container has no udevd to wait for: eth0
# is there, and ready.
bridge_far() {
        cat <<'EOF'
mkdir -p /run/netns
ip netns add far
ip link add eth0 address 52:54:00:12:34:56 type veth peer name far0 netns far
ip -n far link set lo up
ip -n far link set far0 up
ip -n far addr add 192.0.2.1/24 dev far0
ip -n far addr add 2001:db8::1/64 dev far0 nodad
EOF
}

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

# For the next change: the gateway goes as the timer's way back is armed. The timer waits for that, and the change for the
# timer, so no machine is too slow for it, or too fast.
gateway_off() {
        cat >/run/systemd/system/far-off.service <<'EOF'
[Unit]
DefaultDependencies=no
Before=gpuvm-bridge-revert.timer
[Service]
Type=oneshot
ExecStart=/sbin/ip -n far link set far0 arp off
ExecStart=/sbin/ip -n far addr del 192.0.2.1/24 dev far0
EOF
        mkdir -p /run/systemd/system/gpuvm-bridge-revert.timer.wants
        ln -sf ../far-off.service /run/systemd/system/gpuvm-bridge-revert.timer.wants/
        systemctl daemon-reload
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
