#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs a command beside a real libvirtd, both in namespaces of their own: with-libvirtd.sh COMMAND...
#
# /run, /var/lib, /var/cache, /var/log and /etc/libvirt are empty there, so whatever is done is forgotten; but those that
# $GPUVM_KEPT, a directory, has are as they are in it.
# Exit status 77: something that this needs is not installed.

set -euo pipefail

if [ "${GPUVM_INSIDE-}" != yes ]; then
        [ "$(id -u)" -eq 0 ] || exit 77
        for program in virtlogd libvirtd virsh dnsmasq iptables; do
                command -v "$program" >/dev/null || exit 77
        done
        GPUVM_INSIDE=yes exec unshare --mount --net --ipc --uts --pid --fork --mount-proc --kill-child "$0" "$@"
fi

mount --make-rprivate /
accounts=$(mktemp -d)
for dir in /run /var/lib /var/cache /var/log /etc/libvirt; do
        if [ -d "${GPUVM_KEPT:-/nonexistent}$dir" ]; then
                mount --bind "$GPUVM_KEPT$dir" "$dir"
        else
                mount -t tmpfs tmpfs "$dir"
        fi
done
mkdir -p /run/libvirt /run/gpuvm.conf.d /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt/qemu/networks
# The account that Debian's libvirt runs QEMU as comes with another package.
for file in passwd group; do
        cp "/etc/$file" "$accounts/$file"
        getent "$file" libvirt-qemu >/dev/null ||
                echo 'libvirt-qemu:x:64055:64055::/nonexistent:/bin/false' >>"$accounts/$file"
        mount --bind "$accounts/$file" "/etc/$file"
done
rm -r "$accounts" 2>/dev/null || true
# No KVM, for libvirt either: where it sees one that it may open, and QEMU cannot use it, it asks QEMU anew before each start
# what it can, which takes seconds (virQEMUCapsIsValid() in libvirt's src/qemu/qemu_capabilities.c).
if [ -e /dev/kvm ]; then
        mknod -m 0 /run/no-kvm c 1 3
        mount --bind /run/no-kvm /dev/kvm
fi
ip link set lo up
virtlogd -d
libvirtd -d
for _ in $(seq 600); do
        virsh -q -c qemu:///system uri >/dev/null 2>&1 && break
        sleep 0.1
done
status=0
"$@" || status=$?
virsh -q -c qemu:///system net-destroy default >/dev/null 2>&1 || true
kill "$(cat /run/libvirtd.pid)" "$(cat /run/virtlogd.pid)" 2>/dev/null || true
exit "$status"
