#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-bridge on made-up machines, with stand-ins for each network's owner: bridge.sh DIRECTORY-OF-HELPERS FAKESYS
#
# shellcheck disable=SC2016 # what is in single quotes is for the stand-ins
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=bridge-machine.sh
. "$(dirname "$0")/bridge-machine.sh"
helper=$1/gpuvm-bridge fakesys=$2
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0

# machine CONF-LINE...: eth0 is up, by nobody yet.
machine() {
        root=$work/$((n += 1))
        make_bridge_machine "$root" "$@"
}

bridge() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

# Everything that lasts and is not ours alone.
state() {
        (cd "$root" && find etc var/lib/gpuvm -type f ! -path '*/phases/*' -exec stat -c '%n %a %s' {} + -exec sha256sum {} + | sort)
}

calls() {
        cat "$root/calls" 2>/dev/null || true
}

field() {
        sed -n "s/^$1 //p" "$root"/var/lib/gpuvm/bridge*
}

# As if the helper had been killed when it waited for the proof.
unkeep() {
        sed 's/^stage kept/stage changed/' "$root/var/lib/gpuvm/bridge" >"$root/var/lib/gpuvm/bridge.pending"
        rm "$root/var/lib/gpuvm/bridge"
}

for owner in networkd ifupdown networkmanager; do
        machine
        "$owner"
        before=$(state)

        bridge --dry-run
        is "$owner: a dry run works" "$status" 0
        like "$owner: and says what it would write" "$said" 'would write /etc/'
        is "$owner: and changes nothing" "$(state)$(calls)" "$before"

        bridge
        is "$owner: a bridge is made" "$status" 0
        is "$owner: and kept" "$(field stage)" kept
        like "$owner: the timer was armed before the owner was told" "$(calls | tr '\n' '|')" \
                'systemd-run --quiet --unit=gpuvm-bridge-revert.service --on-active=90s[^|]*\|(networkctl|systemd-run [^|]*/ifdown|nmcli)'
        is "$owner: and stopped at the end" "$(calls | tail -n1)" 'systemctl stop gpuvm-bridge-revert.timer'
        missing=
        mapfile -t files < <(sed -n 's/^file //p' "$root/var/lib/gpuvm/bridge")
        for file in "${files[@]}"; do
                grep -lzq "kind=file.object=$file" "$root"/var/lib/gpuvm/ledger/* || missing+="$file "
        done
        is "$owner: each file is in the ledger" "$missing" ''
        after=$(state)

        rm "$root/calls"
        bridge
        is "$owner: a second run does nothing" "$status$(calls)$(state)" "0$after"
        bridge revert --unconfirmed
        is "$owner: the timer leaves what is kept" "$status$(calls)$(state)" "0$after"
        bridge revert --boot
        is "$owner: and so does the next boot" "$status$(calls)$(state)" "0$after"
        bridge status
        like "$owner: status says so" "$said" 'br0 \(bridged, kept\) of eth0'
        bridge revert
        is "$owner: what the user takes back is gone" "$status$(state)" "0$before"
        check "$owner: and the old network is there" cmp "$bridge_records/moving" "$root/run/gpuvm/netstate"
done

# gpuvm-undo knows that it is more than files; and who wrote to them after us is asked first.
machine
ifupdown
before=$(state)
bridge
"${helper%bridge}undo" --root="$root" --list >"$work/list" 2>&1
like 'the list of what can be undone has the network' "$(cat "$work/list")" 'network.*tell its owner'
rm "$root/calls"
check 'undo takes the network back' "${helper%bridge}undo" --root="$root" bridge
is 'file by file' "$(state)" "$before"
like 'by its owner' "$(calls)" 'ifdown --force br0 eth0.*ifup --force eth0'
bridge
echo '# mine' >>"$root/etc/network/interfaces"
after=$(state)
rm "$root/calls"
bridge revert
is 'what somebody changed after us stays' "$status$(state)$(calls)" "1$after"
like 'and is named' "$said" 'changed /etc/network/interfaces after gpuvm'

# Frames go through the packet filter: a rule is needed, once.
machine
networkd
mkdir -p "$root/proc/sys/net/bridge"
echo 1 >"$root/proc/sys/net/bridge/bridge-nf-call-iptables"
echo 0 >"$root/proc/sys/net/bridge/bridge-nf-call-ip6tables"
stand_in usr/sbin/ip6tables <<<'exit 1'
stand_in usr/sbin/iptables <<'EOF'
case "$3" in
-C) [ -e "$GPUVM_ROOT/rule" ] ;;
-I) touch "$GPUVM_ROOT/rule" ;;
-D) rm "$GPUVM_ROOT/rule" 2>/dev/null ;;
esac
EOF
bridge
is 'with br_netfilter the bridge is let through' "$status$(calls | grep -c 'iptables -w 5 -I FORWARD -i br0 -o br0 .*-j ACCEPT')" 01
check_fails 'where frames go through the filter only' 1 grep -q ip6tables "$root/calls"
bridge
is 'and once is enough' "$status$(calls | grep -c ' -I FORWARD')" 01
rm "$root/rule"
bridge forward
is 'after a restart it is put there again' "$status$(calls | grep -c ' -I FORWARD')" 02
bridge revert
check_fails 'and goes with the bridge' 1 test -e "$root/rule"
bridge forward
is 'without a bridge there is nothing to let through' "$status$(calls | grep -c ' -I FORWARD')" 02
# Somebody's own table drops as well: a rule in it, and in no other one.
machine
networkd
mkdir -p "$root/proc/sys/net/bridge"
echo 1 >"$root/proc/sys/net/bridge/bridge-nf-call-iptables"
stand_in usr/sbin/nft <<'EOF'
chain() { printf '{"chain": {"family": "%s", "table": "%s", "name": "forward", "type": "filter", "hook": "forward", "policy": "drop"}}' "$@"; }
# Docker and ufw have dozens, and nft writes all of them in one line.
others() { for i in $(seq 100); do printf '{"chain": {"family": "ip", "table": "nat", "name": "DOCKER-%s", "handle": %s}}, ' "$i" "$i"; done; }
rule='{"rule": {"handle": 7, "comment": "gpuvm-bridge", "expr": [
        {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "br0"}},
        {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "br0"}}, {"accept": null}]}}'
case "$*" in
'-j list chains') echo "{\"nftables\": [$(others)$(chain inet own), $(chain ip6 six)]}" ;;
'-j list chain inet own forward') [ ! -e "$GPUVM_ROOT/rule" ] || ours=", $rule"; echo "{\"nftables\": [$(chain inet own)${ours-}]}" ;;
'insert rule inet own forward '*) touch "$GPUVM_ROOT/rule" ;;
'delete rule inet own forward handle 7') rm "$GPUVM_ROOT/rule" ;;
*) exit 1 ;;
esac
EOF
bridge
is "a table of somebody's own is told as well" "$status$(calls | grep -c 'nft insert rule inet own forward iifname "br0" oifname "br0" accept comment "gpuvm-bridge"')" 01
bridge
is 'and once' "$status$(calls | grep -c 'nft insert')" 01
bridge revert
is 'and forgets it with the bridge' "$status$(calls | grep -c 'nft delete')$(find "$root/rule" 2>/dev/null)" 01
machine
networkd
mkdir -p "$root/proc/sys/net/bridge"
echo 1 >"$root/proc/sys/net/bridge/bridge-nf-call-iptables"
stand_in usr/sbin/iptables <<<'exit 3'
bridge
like 'a filter that cannot be told is no failure, and said' "$status $said" '^0 .*The packet filter cannot be told to let through what VMs send over br0'
rm "$root/usr/sbin/iptables"
bridge
is 'where there is no iptables nobody uses it' "$status$(grep -c 'cannot be told' <<<"$said" || true)" 00

# Addresses that were this host's a moment ago are not asked for again, and others are.
machine
networkd
dad=$root/proc/sys/net/ipv6/conf
mkdir -p "$dad"/{default,br0}
echo 1 >"$dad/default/accept_dad"
sed -i '2i cat "$GPUVM_ROOT/proc/sys/net/ipv6/conf/default/accept_dad" | tee "$GPUVM_ROOT/proc/sys/net/ipv6/conf/br0/accept_dad" >>"$GPUVM_ROOT/dad"' \
        "$root/usr/bin/networkctl"
bridge
is 'the bridge begins without asking for its addresses, and asks from then on' \
        "$status$(head -n1 "$root/dad")$(cat "$dad/default/accept_dad" "$dad/br0/accept_dad" | tr -d '\n')" 0011

# A record of a machine without its network.
machine
networkd
rm "$root/run/gpuvm/netstate"
bridge
is 'where no network is recorded it is not applicable' "$status" 77

# The proof fails: everything back, in time.
machine RevertSec=1
networkd
before=$(state)
touch "$root/broken"
start=$SECONDS
bridge
is 'a network that does not prove itself fails' "$status" 1
like 'with what is missing' "$said" 'After the change of the network'
is 'and is taken back' "$(state)" "$before"
check 'before the timer would' test $((SECONDS - start)) -le 35
like 'the timer has its least time' "$(calls | head -n2)" 'on-active=45s'
check 'by its owner' cmp "$bridge_records/moving" "$root/run/gpuvm/netstate"

# What does not hold before is not begun.
machine
networkd
cp "$bridge_records/plain" "$root/run/gpuvm/netstate" # IPv6's gateway does not answer
before=$(state)
bridge
is 'a network that does not hold before is not changed' "$status$(calls)$(state)" "1$before"
like 'and why' "$said" 'gateway fe80::1 does not answer'

# What could not be put back is not taken down.
machine
ifupdown
before=$(state)
status=0
said=$(unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"' sh "$root/etc/network" \
        "$helper" --root="$root" 2>&1) || status=$?
is 'a file that cannot be written stops the change' "$status$(state)" "1$before"
like 'and is named' "$said" 'Cannot write /etc/network/interfaces: Read-only file system.*nothing was changed'
is 'before anything is taken down' "$(calls | grep -c ifdown || true)" 0

# No timer, no change.
machine
networkd
before=$(state)
stand_in usr/bin/systemd-run <<<'exit 1'
bridge
is 'without the timer nothing is changed' "$status$(state)" "1$before"
like 'and the timer is named' "$said" 'timer that would take the network back'

# The user may say it first, and has the last word.
machine
networkd
before=$(state)
bridge
unkeep
bridge confirm
is 'what is confirmed is kept' "$status$(field stage)" 0kept
bridge confirm
like 'once' "$said" 'nothing to confirm'
unkeep
bridge revert --unconfirmed
is 'what is not confirmed is taken back by the timer' "$status$(state)" "0$before"

# A state that cannot be read changes nothing.
machine
networkd
echo rubbish >"$root/var/lib/gpuvm/bridge.pending"
before=$(state)
for verb in '' confirm revert 'revert --boot' status; do
        # shellcheck disable=SC2086 # words
        bridge $verb
        is "an unreadable state stops '$verb'" "$status$(state)$(calls)" "1$before"
done

# Modes.
machine Mode=nat
networkd
before=$(state)
bridge
is 'Mode=nat leaves the network alone' "$status$(state)$(calls)" "0$before"
machine Mode=bridged
bridge
is 'what was asked for and cannot be is a failure' "$status" 1
like 'with the reason' "$said" 'nobody is known who runs eth0'
machine Mode=routed
networkd
before=$(state)
cp "$bridge_records/moving" "$root/keep"
sed -i 's/now=moved/now=moving/' "$root/usr/bin/networkctl"
bridge
is 'a routed bridge is made beside the uplink' "$status$(field mode)" 0routed
is 'with forwarding' "$(cat "$root/proc/sys/net/ipv4/ip_forward")" 1
check 'by a file as well' grep -q '^net.ipv4.ip_forward = 1' "$root/etc/sysctl.d/60-gpuvm-br0.conf"
check 'the uplink has no file of ours' test ! -e "$root/etc/systemd/network/00-gpuvm-br0-port.network"
sed -i 's/now=moving; else/now=moved; else/' "$root/usr/bin/networkctl"
echo '[Network]' >"$root/etc/gpuvm.conf"
bridge
is 'another mode begins from the old network' "$status$(field mode)" 0bridged
check 'with nothing left of the routed bridge' test ! -e "$root/etc/sysctl.d"
is 'and forwarding off at once' "$(cat "$root/proc/sys/net/ipv4/ip_forward")" 0
bridge revert
printf '[Network]\nMode=routed\n' >"$root/etc/gpuvm.conf"
is 'and goes again' "$status$(state)" "0$before"
for was in other-bridge forwarding; do
        machine Mode=routed
        networkd
        sed -i 's/now=moved/now=moving/' "$root/usr/bin/networkctl"
        [ $was != forwarding ] || echo 1 >"$root/proc/sys/net/ipv4/ip_forward"
        bridge
        [ $was != other-bridge ] || mkdir -p "$root/sys/class/net/virbr0/bridge"
        bridge revert
        is "forwarding stays on where it has another use: $was" "$status$(cat "$root/proc/sys/net/ipv4/ip_forward")" 01
done

# cut K: killed before its K-th change. A shell of its own, so that nobody tells of the kill.
cut() {
        (env FAKESYS_ROOT="$root" FAKESYS_KILL_AT="$1" LD_PRELOAD="$fakesys" ASAN_OPTIONS=verify_asan_link_order=0 \
                "$helper" --root="$root" >/dev/null 2>&1; exit $?) 2>/dev/null
}

# The power gone before the N-th change, for every N; then the next boot, which has no owner running yet.
for owner in networkd ifupdown; do
        for ((k = 1; k < 200; k++)); do
                machine
                "$owner"
                before=$(state)
                status=0
                cut $k || status=$?
                [ "$status" -ne 0 ] || break
                rm -f "$root/calls"
                bridge revert --boot
                got=$(state | grep -vE 'ledger|var/lib/gpuvm/\..*\.gpuvm-new')
                want=$(grep -vE 'ledger' <<<"$before" || true)
                [ "$status$got" = "0$want" ] && [ -z "$(calls)" ] || [ "$(field stage 2>/dev/null)" = kept ] ||
                        not_ok "$owner: cut before change $k, the next boot has the old network" "$said
$(diff <(echo "$want") <(echo "$got"))
$(calls)"
        done
        check "$owner: each change was cut: $((k - 1))" test "$k" -gt 10
done
done_testing
