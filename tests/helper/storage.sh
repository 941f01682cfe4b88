#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-storage on made-up machines, on libvirt's test driver and with a real libvirtd in namespaces of its own:
# storage.sh DIRECTORY-OF-HELPERS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
helper=$1/gpuvm-storage
work=$(mktemp -d)
at_exit rm -rf "$work"
unset GPUVM_LIBVIRT_URI
n=0

machine() {
        root=$work/$((n += 1))
        mkdir -p "$root/etc"
        printf '%s\n' "$@" >"$root/etc/gpuvm.conf"
}

# What libvirt leaves where a pool or network is as it shall be.
files() {
        local file

        for file; do
                mkdir -p "$root/${file%/*}"
                printf '<pool><name>gpuvm</name><target><path>%s</path></target></pool>\n' "${path:-/var/lib/libvirt/images/gpuvm}" \
                        >"$root/$file"
        done
}

pool_files() {
        files etc/libvirt/storage/gpuvm.xml etc/libvirt/storage/autostart/gpuvm.xml run/libvirt/storage/gpuvm.xml
}

run() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

# Looking costs no libvirt.
machine
pool_files
mkdir -p "$root/var/cache/gpuvm"
touch "$root/var/cache/gpuvm/CACHEDIR.TAG"
run
is 'a pool that the files show is enough' "$status" 0
like 'and nothing to do' "$said" 'Nothing to do'
rm "$root/etc/libvirt/storage/autostart/gpuvm.xml"
run
is 'a pool without autostart is not' "$status" 1
machine
path=/elsewhere pool_files
run
is 'nor one elsewhere' "$status" 1
like 'a recorded machine has no libvirt' "$said" 'Cannot connect to libvirt'
machine '[Bootstrap]' 'Bridge=no'
pool_files
run
is 'without a bridge the network has to be there too' "$status" 1
machine
pool_files
mkdir -p "$root/run/gpuvm/phases"
echo '{"phase": "bridge", "result": "ok", "mode": "bridged", "bridge": "br0"}' >"$root/run/gpuvm/phases/bridge.json"
run
is 'with one that was found it has not' "$status" 0
echo '{"phase": "bridge", "result": "ok", "mode": "nat"}' >"$root/run/gpuvm/phases/bridge.json"
run
is 'where none could be made it has' "$status" 1
files etc/libvirt/qemu/networks/default.xml etc/libvirt/qemu/networks/autostart/default.xml run/libvirt/network/default.xml
run
is 'and the files show that' "$status" 0
check 'which guests reach the host by is not changed unasked' test ! -e "$root/var/lib/gpuvm/guests.nft"

# What guests reach of the host.
printf '[Network]\nGuestToHost=tcp/22 udp/5000-5010\n' >"$root/etc/gpuvm.conf"
run --dry-run
like 'a dry run tells what they will reach' "$said" 'would write /var/lib/gpuvm/guests.nft: guests on virbr0 reach of the host: tcp/22 udp/5000-5010'
check 'and writes nothing' test ! -e "$root/var/lib/gpuvm/guests.nft"
echo '<network><name>default</name><bridge name="other0"/></network>' >"$root/etc/libvirt/qemu/networks/default.xml"
run
is 'GuestToHost= becomes a file' "$status$(grep -E 'other0|accept$|reject' "$root/var/lib/gpuvm/guests.nft" | tr -s ' \n' ' ')" \
        '0 iifname != "other0" accept ct state established,related accept meta l4proto { icmp, ipv6-icmp } accept udp dport { 53, 67, 547 } accept tcp dport 53 accept tcp dport 22 accept udp dport 5000-5010 accept reject with icmpx admin-prohibited '
check 'the ledger has it' grep -qa guests.nft -r "$root/var/lib/gpuvm/ledger"
run
like 'once' "$status $said" '^0 .*Nothing to do'
mkdir -p "$root/usr/sbin"
# shellcheck disable=SC2016 # expanded by what is written
printf '#!/bin/sh\necho "$@" >>"$GPUVM_ROOT/calls"\nexit $(cat "$GPUVM_ROOT/rc")\n' >"$root/usr/sbin/nft"
chmod 755 "$root/usr/sbin/nft"
echo 0 >"$root/rc"
check 'nft reads it' "${helper%storage}bridge" --root="$root" forward
is 'and nothing else' "$(cat "$root/calls")" "-f $root/var/lib/gpuvm/guests.nft"
echo 1 >"$root/rc"
check_fails 'what nft refuses is a failure' 1 "${helper%storage}bridge" --root="$root" forward
echo '[Network]' >"$root/etc/gpuvm.conf"
run
is 'all again takes the table away' "$status $(grep -c chain "$root/var/lib/gpuvm/guests.nft")" '0 0'
echo 0 >"$root/rc"
check 'undo takes it back' "${helper%storage}undo" --root="$root" storage
is 'file and table' "$(tail -n 1 "$root/calls") $(ls "$root/var/lib/gpuvm/guests.nft" 2>/dev/null)" 'delete table inet gpuvm '

machine '[Bootstrap]' 'Kvm=no'
run
is 'Kvm=no is not applicable' "$status" 77
machine
run --dry-run
is 'a dry run without libvirt succeeds' "$status" 0
like 'and says what it cannot know' "$said" 'libvirt cannot be asked now'
check 'and writes nothing' test ! -e "$root/var"

# libvirt's test driver: nothing lasts, but the calls are made.
export GPUVM_LIBVIRT_URI=test:///default
machine '[Bootstrap]' 'Bridge=no' '[Storage]' 'Pool=other' 'PoolPath=/var/lib/a<b>&c'
run --dry-run
is 'a dry run on the test driver' "$status" 0
like 'tells of the pool' "$said" "would define pool 'other': directory /var/lib/a<b>&c"
check 'writes nothing' test ! -e "$root/var"
run
is 'the test driver takes the definitions' "$status" 0
check 'the ledger has the pool' grep -qa other -r "$root/var/lib/gpuvm/ledger"
check 'the image cache is made' test -e "$root/var/cache/gpuvm/CACHEDIR.TAG"
GPUVM_LIBVIRT_URI='qemu+unix:///system?socket=/nonexistent' run
is 'a libvirt that does not answer fails' "$status" 1
like 'and has a remedy' "$said" 'journalctl -u libvirtd'
unset GPUVM_LIBVIRT_URI

# A real libvirtd.
real() {
        local pass

        printf '[Bootstrap]\nBridge=no\n' >/run/gpuvm.conf.d/test.conf
        for pass in first second; do
                "$@" >"$work/$pass" 2>&1 || echo "$pass failed with $?"
        done
        virsh -q -c qemu:///system pool-list --all --name | xargs echo pools:
        virsh -q -c qemu:///system pool-info gpuvm | awk '/State|Autostart/ { print "pool " $1, $2 }'
        virsh -q -c qemu:///system net-info default | awk '/Active|Autostart/ { print "network " $1, $2 }'
        stat -c 'directory %a' /var/lib/libvirt/images/gpuvm
        virsh -q -c qemu:///system pool-destroy gpuvm >/dev/null
        rmdir /var/lib/libvirt/images/gpuvm
        "$@" >"$work/third" 2>&1 || echo "third failed with $?"
        virsh -q -c qemu:///system pool-info gpuvm | awk '/State/ { print "again " $1, $2 }'
}

# AddressSanitizer wraps the xdr functions that libvirt takes from libtirpc, but finds only those loaded before it.
asan=$(ldd "$helper" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}
! nm -D "$helper" 2>/dev/null | grep -q __asan_init || preload=${preload:-libtirpc.so.3}
export -f real
export work
status=0
# shellcheck disable=SC2016
got=$("$here/with-libvirtd.sh" bash -euo pipefail -c 'real "$@"' bash env LD_PRELOAD="$preload" "$(realpath "$helper")" \
        2>"$work/err") || status=$?
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, dnsmasq-base and iptables'
        done_testing
        exit
fi
[ "$status" -eq 0 ] || diag "$(cat "$work/err")"
is 'a real libvirtd ends with the pool and the network' "$got" "pools: gpuvm
pool State: running
pool Autostart: yes
network Active: yes
network Autostart: yes
directory 711
again State: running"
like 'the first run says what it made' "$(cat "$work/first")" "define pool 'gpuvm'"
like 'the second run has nothing to do' "$(cat "$work/second")" 'Nothing to do'
like 'a pool that was stopped and lost its directory comes back' "$(cat "$work/third")" "start pool 'gpuvm'"
done_testing
