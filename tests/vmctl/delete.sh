#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines taken away with all that is theirs, or left whole, with a real libvirtd: delete.sh VMCTL

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

# bare NAME: one of ours that is off, with its files.
bare() {
        touch "$pool/$1.qcow2" "$pool/$1-seed.iso" "/var/log/libvirt/qemu/$1.console"
        virsh -q -c qemu:///system define /dev/stdin >/dev/null <<-END
	<domain type="qemu"><name>$1</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:disk path="$pool/$1.qcow2"/>
	<g:seed path="$pool/$1-seed.iso"/><g:log path="/var/log/libvirt/qemu/$1.console"/></g:vm></metadata><memory unit="MiB">64</memory>
	<os><type arch="x86_64" machine="q35">hvm</type></os></domain>
	END
}
# What is left of one, and the status before.
left() {
        echo "status: $?"
        find "$pool" /var/log/libvirt/qemu -name "$1*" ! -name '*.log' | sort
        virsh -q -c qemu:///system list --all --name
}
elsewhere() {
        vm -c qemu+unix:///system "$@" 2>&1
}
real() {
        mkdir -p "$pool" /var/log/libvirt/qemu
        echo '-- of no pool, from elsewhere'
        bare one
        elsewhere delete --yes one
        left one
        echo '-- of a pool that does not know them yet'
        virsh -q -c qemu:///system "pool-define-as gpuvm dir --target $pool; pool-start gpuvm" >/dev/null
        touch $pool/one.qcow2
        bare two
        elsewhere delete --yes --quiet two
        left two
        echo '-- cut after its files had gone'
        rm $pool/one*
        elsewhere delete --yes --quiet one
        virsh -q -c qemu:///system list --all --name
        echo '-- who may not remove all of it removes nothing'
        virsh -q -c qemu:///system pool-destroy gpuvm >/dev/null
        bare three
        mount --bind -o ro /var/log/libvirt/qemu /var/log/libvirt/qemu
        mount -o remount,bind,ro /var/log/libvirt/qemu
        vm delete --yes three 2>&1
        left three
        umount /var/log/libvirt/qemu
        echo '-- started while the question was open'
        mkfifo /run/answer
        script -qec "env LD_PRELOAD='$preload' $vmctl delete three" /dev/null </run/answer >/run/asked 2>&1 &
        exec 3>/run/answer
        until grep -q 'Go on' /run/asked; do sleep 0.1; done
        virsh -q -c qemu:///system start three >/dev/null
        echo y >&3
        wait $!
        left three
        grep -o 'vmctl: .*removed' /run/asked
        echo '-- one that was cut while it was made'
        bare four
        mkdir -p /var/lib/gpuvm/creating
        printf 'file %s\nmachine %s\n' $pool/four.qcow2 "$(virsh -q -c qemu:///system domuuid four)" >/var/lib/gpuvm/creating/four
        vm start four 2>&1
        vm apply 2>&1
        left four
}
create_real "$work" 250 bare left elsewhere
[ "$status" -ne 77 ] || skip_all 'libvirt, QEMU or namespaces are not there'
is 'it ends well' "$status" 0
is 'what it did' "$got" "-- of no pool, from elsewhere
vmctl: '$pool/one.qcow2' is in no storage pool of that host, and cannot be removed from here. Delete the machine there; nothing was changed
status: 1
$pool/one-seed.iso
$pool/one.qcow2
/var/log/libvirt/qemu/one.console
one
-- of a pool that does not know them yet
status: 0
/var/log/libvirt/qemu/two.console
one
-- cut after its files had gone
-- who may not remove all of it removes nothing
vmctl: '/var/log/libvirt/qemu/three.console' cannot be removed: Read-only file system. Use sudo; nothing was changed
status: 1
$pool/three-seed.iso
$pool/three.qcow2
/var/log/libvirt/qemu/three.console
three
-- started while the question was open
status: 4
$pool/three-seed.iso
$pool/three.qcow2
/var/log/libvirt/qemu/three.console
three
vmctl: 'three' is running by now; nothing was removed
-- one that was cut while it was made
vmctl: 'four' was cut while it was made, and is not whole. The next 'vmctl create' or 'vmctl apply' takes it back; make it again
vmctl: Took back what 1 machine had left that was cut while being made
status: 0
$pool/four-seed.iso
/var/log/libvirt/qemu/four.console
three"
done_testing
