#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl create: its plans on recorded machines, and with a real libvirtd and QEMU in namespaces of their own whole, cut at
# each step, and several at once: create.sh VMCTL SOURCE

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
source=$2
work=$(mktemp -d)
at_exit rm -rf "$work"
uri=test:///default

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" -c "$uri" create "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}

run talos --dry-run --root="$source/tests/hosts/intel-one-gpu"
if [ "$status" -eq 1 ] && [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library is not installed"
fi
is 'a plan needs nothing asked for' "$status:$err" 0:
like 'with a name by kind' "$out" 'name +talos-01 +the lowest that is free'
like 'and each default with its reason' "$out" 'disk +50 GiB +standard, thin'
run ubuntu --dry-run --json --root="$source/tests/hosts/intel-one-gpu" --name box --memory 4G --no-gpu
is 'as JSON' "$(python3 -c 'import json, sys
p = json.load(sys.stdin)
print(p["name"]["value"], p["name"]["why"], p["memory"]["value"], p["gpu"]["value"])' <<<"$out")" 'box asked for 4096 MiB none'
run windows
like 'a kind that is none' "$status:$err" "^2:.*'windows'"
run talos --dry-run --memory lots
like 'a size that is none' "$status:$err" "^2:.*--memory"
run talos --dry-run --name test
like 'a name that is taken' "$status:$err" "^4:.*'test' already"
run talos
like 'elsewhere than on the host itself it is refused' "$status:$err" '^1:.*--dry-run works elsewhere'

# The real one. Prints a line for each thing that is compared.
key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada'
pool=/var/lib/libvirt/images/gpuvm
standard=(--image /var/cache/base.qcow2 --memory 128 --cpus 1 --no-gpu --ssh-key "$key")

real() {
        local status
        local k

        mkdir -p "$pool"
        # Nobody emulates faster for an account that may not open it.
        [ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm
        qemu-img create -q -f qcow2 /var/cache/base.qcow2 1G
        printf '<network><name>default</name><bridge name="virbr9" stp="off"/></network>' >/run/network.xml
        ! make >/run/none 2>&1 || echo 'made without a network'
        grep -o "'default' is not there" /run/none
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default" >/dev/null
        state >/run/before

        make --user ada --ip 192.0.2.7/24 --gateway 192.0.2.1 >/run/said
        echo "first: $(vm list | awk '$1 == "debian-01" { print $2, $3, $4, $NF }')"
        echo "mode: $(stat -c %a $pool/debian-01.qcow2 $pool/debian-01-seed.iso | tr '\n' ' ')"
        qemu-img info -U --output=json $pool/debian-01.qcow2 | python3 -c 'import json, sys
d = json.load(sys.stdin)
print("disk:", d["virtual-size"] >> 30, d["backing-filename"], d["backing-filename-format"], d["actual-size"] < 1 << 20)'
        echo "seed: $(strings -n 4 $pool/debian-01-seed.iso | grep -c -e '"name":"ada"' -e '192.0.2.7/24')"
        echo "ssh: $(vm ssh --dry-run debian-01)"
        status=0
        make --ip 192.0.2.7/24 >/run/second 2>&1 || status=$?
        echo "taken: $status $(grep -o 'belongs to another' /run/second)"
        vm delete --yes --force --quiet debian-01
        state | diff /run/before - && echo 'delete removes what create made'

        ! make --image /var/cache/bad.qcow2 >/dev/null 2>&1 || echo 'made of a missing image'
        qemu-img create -q -f qcow2 -b /var/cache/base.qcow2 -F qcow2 /var/cache/bad.qcow2
        make --quiet --image /var/cache/bad.qcow2 2>&1 | grep -o 'names a backing file'
        state | diff /run/before - && echo 'nothing is left of what failed'

        for k in fdatasync:2 fdatasync:3 fdatasync:4 unlinkat:1; do
                ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -E LD_PRELOAD="$preload" -qq -o /dev/null -e trace="${k%:*}" \
                        -e inject="${k%:*}:signal=KILL:when=${k#*:}" "$vmctl" create debian "${standard[@]}" >/dev/null 2>&1 || true
                [ -n "$(ls -A /var/lib/gpuvm/creating)" ] || echo "$k cut nothing"
                make --name again >/run/again 2>&1 || echo "$k: $(cat /run/again)"
                vm delete --yes --force --quiet again
                state | diff /run/before - || echo "$k leaves something"
        done
        echo 'cut at each step'

        for k in 1 2 3; do
                make >"/run/many$k" 2>&1 &
        done
        wait
        echo "many: $(vm list --quiet | tr '\n' ' ')"
        for k in 1 2 3; do
                virsh -q -c qemu:///system domiflist "debian-0$k" | awk '{ print $NF }'
        done | sort -u | wc -l
}
# Not for all: other programs are not made for it.
vm() {
        env LD_PRELOAD="$preload" "$vmctl" "$@" </dev/null
}
make() {
        vm create debian "${standard[@]}" "$@"
}
# All that create could leave.
state() {
        virsh -q -c qemu:///system list --all --name
        ls "$pool" /var/lib/gpuvm/creating /var/lib/libvirt/qemu/nvram 2>/dev/null
        ls /var/log/libvirt/qemu | grep -v '\.log$'
}
export vmctl pool key
asan=$(ldd "$vmctl" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}
! nm -D "$vmctl" 2>/dev/null | grep -q __asan_init || preload=${preload:-libtirpc.so.3}
export preload
{
        declare -p standard
        declare -f real vm make state
        echo real
} >"$work/real"
for program in qemu-img qemu-system-x86_64 strace strings; do
        command -v "$program" >/dev/null || missing=$program
done
status=0
got=$([ -z "${missing-}" ] || exit 77; "$(dirname "$0")/../helper/with-libvirtd.sh" timeout 1500 bash -uo pipefail "$work/real" 2>"$work/err") || status=$?
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
        done_testing
        exit
fi
diag "$(grep -v '^$' "$work/err" | tail -n 20)"
is 'a real libvirtd makes it whole, or not at all' "$got" "'default' is not there
first: debian running 1 192.0.2.7/24
mode: 600 600 
disk: 50 /var/cache/base.qcow2 qcow2 True
seed: 2
ssh: ssh -lada -- 192.0.2.7
taken: 4 belongs to another
delete removes what create made
names a backing file
nothing is left of what failed
cut at each step
many: debian-01 debian-02 debian-03 
3"
done_testing
