#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl ip check on a bridge in a network of its own: ip.sh VMCTL ARPANSWER IPFREE
#
# Behind the bridge's port is another network: with addresses of the kernel's own, or with arpanswer, which delays, loses
# and lies. Machines and networks are those of libvirt's test driver.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1 arpanswer=$2 ipfree=$3
[ "$(id -u)" -eq 0 ] || skip_all 'needs root, for a network of its own'
if [ "${GPUVM_INSIDE-}" != yes ]; then
        GPUVM_INSIDE=yes exec unshare --mount --net "$0" "$@"
fi
mount --make-rprivate /
work=$(mktemp -d)
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/gpuvm/phases
at_exit rm -rf "$work"
mount -t tmpfs tmpfs /var/lib

ip netns add far
ip link set lo up
ip link add br0 address 52:54:00:12:34:56 type bridge
ip link add va type veth peer name vb netns far
for command in 'link set va master br0' 'link set va up' 'link set br0 up'; do
        # shellcheck disable=SC2086 # words
        ip $command
done
ip -n far link set vb up
sysctl -qw net.ipv6.conf.br0.accept_dad=0
ip addr add 10.77.0.2/24 dev br0
ip route add default via 10.77.0.1
echo '{"mode":"bridged","bridge":"br0"}' >/run/gpuvm/phases/bridge.json
{
        printf '<node><cpu><mhz>1</mhz><nodes>1</nodes><sockets>1</sockets><cores>2</cores><threads>1</threads><active>2</active><memory>3145728</memory></cpu>\n'
        for address in 10.77.0.20 10.77.0.21; do
                printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>vm-%s</name><metadata>
                        <g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:address cidr="%s/24" gateway="10.77.0.1"/></g:vm></metadata>
                        <memory unit="KiB">1024</memory><vcpu>1</vcpu><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>\n' \
                        "${address##*.}" "$address"
        done
        printf '<network><name>lan</name><ip address="10.77.0.30" netmask="255.255.255.0">
                <dhcp><range start="10.77.0.200" end="10.77.0.209"/></dhcp></ip></network></node>\n'
} >"$work/node.xml"

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" -c "test:///$work/node.xml" ip check "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
# count STATE, first STATE: of the last run's JSON.
count() {
        python3 -c 'import json,sys; print(sum(r["count"] for r in json.load(sys.stdin)["ranges"] if r["state"] == sys.argv[1]))' "$1" <<<"$out"
}
first() {
        python3 -c 'import json,sys; print([r["first"] for r in json.load(sys.stdin)["ranges"] if r["state"] == sys.argv[1]][0])' "$1" <<<"$out"
}
member() {
        python3 -c 'import json,sys; print(eval("json.load(sys.stdin)" + sys.argv[1]))' "$1" <<<"$out"
}
answering=
# answer ARGUMENT...: until the next one, or quiet.
answer() {
        quiet
        rm -f "$work/ready"
        mkfifo "$work/ready"
        ip netns exec far "$arpanswer" vb "$@" >"$work/ready" &
        answering=$!
        read -r _ <"$work/ready"
}
# shellcheck disable=SC2317 # by at_exit
quiet() {
        [ -z "$answering" ] || kill "$answering"
        wait $answering 2>/dev/null || true
        answering=
}
at_exit quiet

run nonsense
is 'what is no address is usage' "$status:$(grep -c "'nonsense' is no address" <<<"$err")" 2:1
run --json
if [ "$status" -eq 1 ] && [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library is not installed"
fi

# --- the kernel's own answers
for ((i = 1; i <= 50; i++)); do
        echo "addr add 10.77.0.$((i * 4 + 30))/24 dev vb"
done >"$work/batch"
ip netns exec far ip -batch "$work/batch"
ip neigh add 10.77.0.40 lladdr 02:00:00:00:00:01 dev br0 nud permanent
mkdir -p /var/lib/gpuvm/creating
printf 'address 10.77.0.22/24\n' >/var/lib/gpuvm/creating/cut
run --json
is 'it is the network of the bridge' "$status $(member '["link"]') $(member '["count"]')" '0 br0 254'
# 42 to 198 and 210 to 230 answer; what is in the range of the DHCP server is not asked.
is 'each of the fifty that may be asked answers' "$(count answers)" 48
is 'with its MAC' "$(python3 -c 'import json,sys; print({m for r in json.load(sys.stdin)["ranges"] if r["state"] == "answers" for m in r["macs"]})' <<<"$out")" \
        "{'$(ip netns exec far cat /sys/class/net/vb/address)'}"
is 'the gateway is known, and this host' "$(first gateway) $(first host)" '10.77.0.1 10.77.0.2'
is 'machines that are off have theirs' "$(count reserved) $(first reserved)" '2 10.77.0.20'
is 'and those that are being made' "$(first claimed)" 10.77.0.22
is 'what libvirt leases is not free' "$(count dhcp) $(first dhcp)" '10 10.77.0.200'
is 'a neighbour of the kernel has its own' "$(first neighbour)" 10.77.0.40
is 'all others are free' "$(count free) $(member '["free"]')" "$((254 - 48 - 2 - 2 - 1 - 10 - 1)) $((254 - 48 - 2 - 2 - 1 - 10 - 1))"
rm /var/lib/gpuvm/creating/cut
run --quiet
is 'quiet writes the free ones as ranges' "$(head -n2 <<<"$out" | tr '\n' ' ')" '10.77.0.3-10.77.0.19 10.77.0.22-10.77.0.33 '
run
like 'a table for people' "$status:$out" '^0:ADDRESSES +COUNT +STATE +WHOSE.*10\.77\.0\.3-10\.77\.0\.19 +17 +free.*of 254 addresses are free on br0$'
check_fails 'of the free ones alone' 1 grep -q reserved <<<"$out"
run --all
like 'all with --all' "$out" '10\.77\.0\.20 +1 +reserved +vm-20'
run 10.77.0.46
like 'one address' "$status:$out" '^4:.*10\.77\.0\.46 +1 +answers +[0-9a-f:]{17}.*0 of 1 '
run 10.77.0.47
is 'one that is free' "$status" 0
run 10.77.0.0-10.77.0.2 --json
is 'the network itself is no address' "$status $(first network)" '4 10.77.0.0'
GPUVM_CONF_EXTRA=$'[Network]\nIpRange=10.77.0.44-10.77.0.49\n' run --quiet
is 'IpRange= is what is looked through' "$status:$out" $'0:10.77.0.44-10.77.0.45\n10.77.0.47-10.77.0.49'
GPUVM_CONF_EXTRA=$'[Network]\nIpRange=10.77.0.44-10.77.0.49\n' run --quiet --all --json
is 'but with --all' "$(member '["count"]')" 254
run 10.0.0.0/8
like 'too many are refused' "$status:$err" '^1:.*too many addresses'
# asked: how often who answers was asked, and who does not. All that is asked is written down in its order, and so with the last
# one of the last turn.
asked() {
        local i

        answer 10.77.0.3 1 1 log="$work/asked"
        run --json
        for ((i = 0; i < 300; i++)); do
                [ "$(grep -cx 10.77.0.254 "$work/asked")" -lt 5 ] || break
                sleep 0.1
        done
        echo "$(grep -cx 10.77.0.3 "$work/asked") $(grep -cx 10.77.0.5 "$work/asked")"
        quiet
}
# Between two turns are 100 ms, in which a busy machine may not get to answer: that it does once in ten times will do.
for ((i = 0; i < 10; i++)); do
        asked >"$work/times"
        [ "$(<"$work/times")" != '1 5' ] || break
done
is 'who has answered is not asked again' "$(<"$work/times")" '1 5'
is 'what is known to be taken is not asked for' "$(grep -cxE '10\.77\.0\.(1|2|20|21|40|20[0-9])' "$work/asked")" 0
check 'and the others are' grep -qx 10.77.0.199 "$work/asked"

# --- addresses for machines
is 'the next free ones, with prefix length' "$("$ipfree" 3 10.77.0.4/24 | tr '\n' ' ')" '10.77.0.3/24 10.77.0.5/24 10.77.0.6/24 '
status=0
out=$("$vmctl" -c "test:///$work/node.xml" create debian --dry-run --no-gpu --memory 128 --json 2>"$work/err" </dev/null) || status=$?
is 'create takes the lowest, and the gateway' "$status $(member '["address"]["value"]') $(member '["gateway"]["value"]')" '0 10.77.0.3/24 10.77.0.1'
answer 10.77.0.3 1 90
is 'past all that are taken' "$("$ipfree" 1)" 10.77.0.93/24
is 'or none of IpRange=' "$(GPUVM_CONF_EXTRA=$'[Network]\nIpRange=10.77.0.44-10.77.0.49\n' "$ipfree" 3)" 'none: all addresses are taken'
quiet

# --- IPv6, by the kernel's own stack
ip addr add fd00:77::2/64 dev br0 nodad
for i in 3 5 1f; do
        ip -n far addr add fd00:77::$i/64 dev vb nodad
done
run fd00:77::1-fd00:77::20 --json
is 'IPv6 neighbours answer' "$(count answers) $(count host) $(count free)" '3 1 28'
ip -6 addr flush dev br0 scope link
run fd00:77::1-fd00:77::20 --json
is 'also where the bridge has no address of the link' "$(count answers)" 3
ip netns exec far ip addr flush dev vb

# --- losses: 50 hosts, answers up to 100 ms late, one in twenty lost
missed=
for ((i = 1; i <= 20; i++)); do
        answer 10.77.0.44 3 50 delay=5 jitter=95 loss=5 seed=$i
        run 10.77.0.41-10.77.0.198 --json
        [ "$(count answers)" = 50 ] || missed+="run $i: $(count answers) "
done
is 'none of fifty is missed in twenty runs' "$missed" ''
ip addr add 10.78.0.2/22 dev br0
answer 10.78.0.7 5 200 delay=5 jitter=95 loss=5
run 10.78.0.0/22 --json
is 'nor of 200 in a /22' "$(count answers) $(member '["count"]')" '200 1022'

# --- hostile ones
answer 10.77.0.44 3 2 how=twice
run 10.77.0.44 --json
is 'two with the same address' "$status $(count conflict) $(member '["ranges"][0]["macs"]')" "4 1 ['02:10:0a:4d:00:2c', '02:40:0a:4d:00:2c']"
answer 10.77.0.44 3 2 how=want
run 10.77.0.44
like 'somebody else who is about to take it' "$status:$out" '^4:.*wanted'
# --- an address that is given to a new machine
# create ADDRESS: sets status and err.
create() {
        status=0
        "$vmctl" -c "test:///$work/node.xml" create debian --dry-run --no-gpu --quiet --ssh-key "$work/key" --ip "$1/24" --gateway 10.77.0.1 \
                >/dev/null 2>"$work/err" </dev/null || status=$?
        err=$(<"$work/err")
}
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada' >"$work/key"
create 10.77.0.44
like 'is not one that somebody is about to take' "$status:$err" "^4:.*Somebody is about to take 10\.77\.0\.44 on 'br0'"
answer 10.77.0.44 3 2
create 10.77.0.44
like 'nor one that somebody answers for' "$status:$err" "^4:.*02:10:0a:4d:00:2c answers for 10\.77\.0\.44 on 'br0'.*ip check"
create 10.77.0.45
is 'but one that nobody has' "$status:$err" 0:
ip neigh replace 10.77.0.45 lladdr 02:10:0a:4d:00:2d dev br0 nud reachable
create 10.77.0.45
is 'whoever had it a moment ago' "$status:$err" 0:
ip neigh del 10.77.0.45 dev br0
ip neigh replace 10.77.0.1 lladdr 02:10:0a:4d:00:2c dev br0 nud stale
create 10.77.0.44
is 'a gateway that answers for others tells nothing' "$status:$err" 0:
ip neigh del 10.77.0.1 dev br0
answer 10.77.0.3 1 100 how=wrong
run 10.77.0.50-10.77.0.59 --json
is 'answers that are none are none' "$(count free)" 10
answer 10.77.0.44 3 50 how=storm-others
SECONDS=0
run 10.77.0.41-10.77.0.198 --json
is 'a storm about others is nothing to us' "$status $(count answers) $(member '["sure"]')" '0 50 True'
answer 10.77.0.44 3 50 how=storm
run 10.77.0.41-10.77.0.198 --json
check 'a storm about these ends it no later' test "$SECONDS" -lt 150
check 'and is told, where it was too much' test "$(member '["sure"]'):$status:$(grep -c 'faster than they could be read' <<<"$err")" = True:0:0 -o \
        "$(member '["sure"]'):$status:$(grep -c 'faster than they could be read' <<<"$err")" = False:1:1
quiet

# --- what cannot be
status=0
out=$(setpriv --bounding-set=-net_raw --inh-caps=-net_raw "$vmctl" -c "test:///$work/node.xml" ip check 2>&1) || status=$?
like 'without CAP_NET_RAW it says so' "$status:$out" '^5:.*needs CAP_NET_RAW\. Use sudo'
ip addr flush dev br0
run
like 'a bridge without an address' "$status:$err" '^1:.*no IPv4 address'
ip addr add 203.0.113.7/32 dev br0
run
like 'one with a single address' "$status:$err" '^1:.*/32.*ordered from the hoster'
ip link set br0 down
run 10.77.0.5
like 'one that is down' "$status:$err" '^1:.*is down'
done_testing
