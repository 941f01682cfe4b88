#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl check --smoke with a real libvirtd and QEMU: a machine starts, its guest is heard, and nothing is left of it, also of
# one that was killed: checksmoke.sh VMCTL

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

status=0
for words in '--smoke --root /' '--smoke --fix' '--smoke --dry-run' '--smoke lab'; do
        # shellcheck disable=SC2086 # words
        "$vmctl" check $words >/dev/null 2>"$work/err" </dev/null && status=0 || status=$?
        like "check $words is refused" "$status:$(<"$work/err")" '^2:'
done
if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=65534 --clear-groups "$vmctl" check --smoke >/dev/null 2>"$work/err" </dev/null && status=0 || status=$?
        like 'only root may' "$status:$(<"$work/err")" '^5:.*made by root'
fi

# smoke: the last check of the host, and the exit status of all.
smoke() {
        vm check --smoke --json >/run/json 2>/run/said || true
        python3 -c 'import json, sys
d = json.load(open("/run/json"))
s = d["checks"][-1]
print(s["check"], s["result"], s["because"], s["text"])' || cat /run/said
}
# Its disk, its process, and whatever libvirt keeps of it but a log.
left() {
        virsh -q -c qemu:///system list --all --name | grep .
        pgrep -f 'guest=gpuvm-smoke'
        find "$pool" /var/lib/libvirt/qemu /etc/libvirt -name '*smoke*'
}
# waits FILE|guest: until that is there.
waits() {
        for _ in $(seq 600); do
                case $1 in
                guest) ! pgrep -f 'guest=gpuvm-smoke' >/dev/null || return 0 ;;
                *) [ ! -e "$1" ] || return 0 ;;
                esac
                sleep 0.05
        done
        echo "no $1"
}
gone() {
        for _ in $(seq 100); do
                [ -n "$(left)" ] || return 0
                sleep 0.1
        done
        left
}
real() {
        local victim

        ground
        virsh -q -c qemu:///system "pool-define-as gpuvm dir --target $pool; pool-start gpuvm; pool-autostart gpuvm" >/dev/null
        mkdir -p /var/lib/dpkg
        mount --bind "$work/dpkg" /var/lib/dpkg
        smoke | sed 's/spoke [0-9.]* s after/spoke soon after/'
        left
        # Killed while it boots: libvirt ends it.
        env LD_PRELOAD="$preload" "$vmctl" check --smoke >/dev/null 2>&1 </dev/null &
        victim=$!
        waits guest
        kill -KILL $victim
        gone
        # Cut before it began, which leaves a file: the next one takes it.
        echo old >"$pool/gpuvm-smoke.img"
        smoke | cut -d ' ' -f 1,2
        left
        # Two at once.
        flock "$pool/gpuvm-smoke.img" sleep 100 &
        waits "$pool/gpuvm-smoke.img"
        smoke | sed 's/another .vmctl.*/another/'
        kill %% && wait %% 2>/dev/null
        rm "$pool/gpuvm-smoke.img"
        # A QEMU that does not start, and nowhere to put a disk.
        mount --bind /bin/false /usr/bin/qemu-system-x86_64
        smoke | cut -d ' ' -f 1-7
        left
        umount /usr/bin/qemu-system-x86_64
        virsh -q -c qemu:///system pool-destroy gpuvm >/dev/null
        smoke
}
cp -r /var/lib/dpkg "$work/dpkg" 2>/dev/null
export work
create_real "$work" 800 smoke left waits gone
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
        done_testing
        exit
fi
is 'with a real libvirtd' "$got" "smoke ok None A machine starts here, emulated, and its guest spoke soon after its start
smoke ok
smoke fail None No machine starts here, emulated: '/var/lib/libvirt/images/gpuvm/gpuvm-smoke.img' is in use: another
smoke fail None No machine starts here,
smoke skip storage Follows from 'storage'"
done_testing
