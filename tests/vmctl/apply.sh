#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines made what they are declared to be, with a real libvirtd and QEMU in namespaces of their own: apply.sh VMCTL HOSTS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
hosts=$(realpath "$2")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
export hosts
at_exit rm -rf "$work"

# Definitions, disks and settings.
frozen() {
        find /etc/libvirt/qemu /etc/systemd/system "$pool" -type f -exec sha256sum {} + | sort
        virsh -q -c qemu:///system list --all | sort
}
# declare_vm NAME VM-LINES REST
declare_vm() {
        printf '[Vm]\nKind=debian\nImage=/var/cache/base.qcow2\n%b\n[Gpu]\nGpu=none\n[Guest]\nSshKey=%s\n%b' "$2" "$key" "${3-}" >"/run/gpuvm/vms/$1.vm"
}
# apply [ARGUMENT...]: what it prints, and its status.
apply() {
        local status=0

        vm apply "$@" >/run/applied 2>&1 || status=$?
        grep -v '^vmctl: Units do not know' /run/applied
        echo "status: $status"
}
# answer WORD [ARGUMENT...]: as apply for "one", at a terminal.
answer() {
        local status=0

        echo "$1" | script -qec "env LD_PRELOAD='$preload' '$vmctl' apply one ${*:2}" /dev/null >/run/applied 2>&1 || status=$?
        tr -d '\r' </run/applied | grep -v '^vmctl: Units do not know' | grep -vx "$1"
        echo "status: $status"
}
# As if the guest had shut down, a while after it was asked to.
pull_plug() {
        sleep 4
        virsh -q -c qemu:///system destroy one
}
# asks [NAME...]: how many messages it sends to libvirtd.
asks() {
        ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -f -E LD_PRELOAD="$preload" -qq -o /run/calls -e trace=write "$vmctl" \
                apply --quiet "$@" >/dev/null 2>&1 </dev/null
        grep -c ' write([0-9]*, "\\0\\0' /run/calls
}
real() {
        local small='Cpus=1\nMemory=128\n'

        ground
        network
        mkdir -p /run/gpuvm/vms
        declare_vm one "$small"
        declare_vm two "$small" '[Network]\nMac=52:54:00:00:00:0a\n'
        echo '-- dry'; frozen >/run/before
        apply --dry-run --quiet
        frozen | diff /run/before -
        echo '-- first'; apply --quiet
        vm list --quiet
        echo '-- second'; frozen >/run/before
        apply
        vm apply --json two 2>/dev/null | jq -c .
        frozen | diff /run/before - && echo 'nothing changed'
        echo "asked of libvirt for one more: $(($(asks) - $(asks one)))"

        echo '-- changed'
        declare_vm one 'Description=Jelly & fish\nCpus=2\nMemory=160\nDisk=60G\n'
        apply --dry-run one
        virsh -q -c qemu:///system dumpxml --inactive one | grep -c '<vcpu[^>]*>1<'
        apply one
        virsh -q -c qemu:///system dumpxml --inactive one | grep -oE 'Jelly.*fish|<vcpu[^>]*>2<|cores=.2.|>163840<'
        virsh -q -c qemu:///system dumpxml one | grep -oE '>1</vcpu>'
        qemu-img info -U --output=json $pool/one.qcow2 | jq '."virtual-size" / 1073741824'
        apply one
        vm restart --force --quiet one
        virsh -q -c qemu:///system dumpxml one | grep -oE '>2</vcpu>'

        echo '-- asked whether to restart'
        declare_vm one 'Cpus=1\nMemory=160\nDisk=60G\n'
        answer n
        virsh -q -c qemu:///system dumpxml one | grep -oE '>2</vcpu>'
        declare_vm one 'Cpus=3\nMemory=160\nDisk=60G\n'
        # Nobody is in there who could shut it down.
        answer y --timeout 1
        virsh -q -c qemu:///system dumpxml one | grep -oE '>2</vcpu>'
        declare_vm one 'Cpus=4\nMemory=160\nDisk=60G\n'
        pull_plug &
        answer y
        wait
        virsh -q -c qemu:///system dumpxml one | grep -oE '>4</vcpu>'
        declare_vm one 'Cpus=2\nMemory=160\nDisk=60G\n'
        pull_plug &
        vm apply --json --yes one 2>/dev/null | jq -c '.[0] | [.changed, .restarted]'
        wait
        virsh -q -c qemu:///system dumpxml one | grep -oE '>2</vcpu>'

        echo '-- a disk while nobody is on it'
        declare_vm one 'Cpus=2\nMemory=160\nDisk=61G\n'
        virsh -q -c qemu:///system managedsave one
        apply one
        virsh -q -c qemu:///system managedsave-remove one
        apply --dry-run one
        qemu-img info --output=json $pool/one.qcow2 | jq '."virtual-size" / 1073741824'
        rm $pool/one-seed.iso
        apply one
        qemu-img info --output=json $pool/one.qcow2 | jq '."virtual-size" / 1073741824'
        apply one

        echo '-- what only another machine has'
        frozen >/run/before
        declare_vm one 'Cpus=2\nMemory=160\nDisk=20G\nFirmware=bios\n' 'Packages=vim\n[Network]\nMac=52:54:00:00:00:0b\n'
        apply one
        frozen | diff /run/before - && echo 'and it is left alone'

        echo '-- one that cannot be made keeps nobody'
        declare_vm one "$small"
        declare_vm bad "$small"
        sed -i 's|base.qcow2|nothing.qcow2|' /run/gpuvm/vms/bad.vm
        declare_vm zero "$small"
        vm delete --yes --force --quiet one
        apply --quiet | sed 's/^vmctl: .*nothing.qcow2.*/vmctl: .../'
        vm list --quiet
        find "$pool" -name 'bad*'
        echo '-- a mistake keeps all of it'
        frozen >/run/before
        echo 'Cpuss=1' >>/run/gpuvm/vms/two.vm
        apply | tail -n 2
        frozen | diff /run/before - && echo 'nothing changed'
        moves_gpus
        shares_gpus
}
# On a recorded host, which has one GPU to give: it comes and goes with the file.
has() {
        virsh -q -c qemu:///system dumpxml --inactive gpus | grep -cE '<hostdev|:gpu address|:wish'
}
wants() {
        printf '[Vm]\nKind=debian\n[Gpu]\nGpu=%s\n' "$1" >/run/host/etc/gpuvm/vms/gpus.vm
        apply --root /run/host
        echo "has: $(has)"
}
moves_gpus() {
        cp -r "$hosts/amd-two-twins" /run/host
        mkdir -p /run/host/etc/gpuvm/vms
        virsh -q -c qemu:///system define /dev/stdin >/dev/null <<-END
	<domain type="qemu"><name>gpus</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"/></metadata><memory unit="MiB">64</memory>
	<os><type arch="x86_64" machine="q35">hvm</type></os><devices><controller type="pci" index="0" model="pcie-root"/>
	<controller type="pci" index="1" model="pcie-root-port"/></devices></domain>
	END
        echo '-- GPUs'
        wants none
        wants 21:00.0
        wants 21:00.0
        wants 01:00.0 2>&1 | sed 's/^vmctl: .*the only console.*/vmctl: .../'
        wants none
        wants '2 x RTX 3090'
        wants '2x RTX 3090'
        wants 1
        wants pci-0000:20:03.1/00.0
        wants any
        wants none
}
# bare NAME [GPU]: a machine of the kind that the files ask for, with a GPU that it says is its own.
bare() {
        local gpu=${2:+<g:gpu address=\"$2\"/>}

        virsh -q -c qemu:///system define /dev/stdin >/dev/null <<-END
	<domain type="qemu"><name>$1</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian">$gpu</g:vm></metadata>
	<memory unit="MiB">256</memory><os><type arch="x86_64" machine="q35">hvm</type></os><devices>
	<controller type="pci" index="0" model="pcie-root"/><controller type="pci" index="1" model="pcie-root-port"/></devices></domain>
	END
}
# Two files may name one GPU, of which systemd lets one machine be on.
shares_gpus() {
        local file=/run/host/etc/gpuvm/vms

        echo '-- one GPU of two'
        echo 'MemAvailable: 4194304 kB' >>/run/host/proc/meminfo
        wants 21:00.0
        sed "s/^Kind.*/&\nCpus=1\nMemory=256\n/" $file/gpus.vm >$file/twin.vm
        apply --root /run/host --dry-run twin | grep -E 'Would|  gpu|also|status'
        bare twin
        apply --root /run/host twin
        rm $file/gpus.vm
        virsh -q -c qemu:///system undefine twin --nvram
        bare twin
        apply --root /run/host twin

        echo '-- its owner is on'
        bare keeper 0000:21:00.0
        virsh -q -c qemu:///system "undefine gpus --nvram; undefine twin --nvram; start keeper"
        virsh -q -c qemu:///system dumpxml --inactive keeper | sed 's|</vcpu>|&<cputune><vcpupin vcpu="0" cpuset="0-7"/></cputune>|' |
                virsh -q -c qemu:///system define /dev/stdin >/dev/null
        printf '[Vm]\nKind=debian\n[Gpu]\nGpu=21:00.0\n' >$file/keeper.vm
        mkdir -p /run/host/sys/devices/system/cpu
        echo 0-7 >/run/host/sys/devices/system/cpu/online
        # What it has is this one's then; what there is beside it is not enough.
        sed 's/^Memory.*/Memory=3200\nPin=yes/; s/^Cpus.*/Cpus=2/' $file/twin.vm >$file/late.vm
        apply --root /run/host --dry-run late | grep -E 'Would|  (gpu|memory|pinned)|status'
        sed -i 's/^Memory.*/Memory=3400/' $file/late.vm
        apply --root /run/host --dry-run late
        rm $file/keeper.vm
        sed -i 's/^Memory.*/Memory=256/; s/^Gpu=.*/Gpu=none/' $file/late.vm
        apply --root /run/host --dry-run late
        rm $file/late.vm

        # As if this host were the recorded one.
        mount --bind /run/host/sys /sys
        for name in keeper waits; do
                declare_vm "$name" 'Cpus=1\nMemory=128\n'
                sed -i 's/^Gpu=.*/Gpu=21:00.0/' "/run/gpuvm/vms/$name.vm"
        done
        apply waits | tail -n 2
        virsh -q -c qemu:///system domstate keeper
        virsh -q -c qemu:///system domstate waits
        virsh -q -c qemu:///system dumpxml waits | grep -c '<hostdev'
        find /var/lib/gpuvm/creating -type f
}
create_real "$work" 800 frozen declare_vm apply answer pull_plug asks has wants moves_gpus bare shares_gpus
[ "$status" -ne 77 ] || skip_all 'libvirt, QEMU or namespaces are not there'
is 'it ends well' "$status" 0
is 'what it did' "$(sed -E 's/52:54:00:([0-9a-f]{2}:){2}[0-9a-f]{2} ->/MAC ->/' <<<"$got")" '-- dry
status: 0
-- first
status: 0
one
two
-- second
one: as it is declared
two: as it is declared
status: 0
[{"name":"two","made":true,"changed":false,"differences":[]}]
nothing changed
asked of libvirt for one more: 2
-- changed
one: Description none -> Jelly & fish: would be at its next start
one: Cpus 1 -> 2: would be at its next start
one: Memory 128 MiB -> 160 MiB: would be at its next start
one: Disk 50 GiB -> 60 GiB: would be done
status: 0
1
one: Description none -> Jelly & fish: at its next start
one: Cpus 1 -> 2: at its next start
one: Memory 128 MiB -> 160 MiB: at its next start
one: Disk 50 GiB -> 60 GiB: done
status: 0
Jelly &amp; fish
'">163840<
>163840<
<vcpu placement='static'>2<
cores='2'
>1</vcpu>"'
60
one: as it is declared
status: 0
>2</vcpu>
-- asked whether to restart
one: Cpus 2 -> 1: at its next start
Shut down one and start again, to be as declared now? [y/N] 
status: 0
>2</vcpu>
one: Cpus 1 -> 3: at its next start
Shut down one and start again, to be as declared now? [y/N] vmctl: '"'one'"' has been asked to shut down and has not within 1 s. It may still; --force stops it as if its plug were pulled
vmctl: Apply does not ask for that again: '"'vmctl restart one'"'
status: 1
>2</vcpu>
one: Cpus 3 -> 4: at its next start
Shut down one and start again, to be as declared now? [y/N] 
status: 0
>4</vcpu>
[true,true]
>2</vcpu>
-- a disk while nobody is on it
vmctl: The memory of '"'one'"' was saved, with its disk as it is: '"'vmctl start one'"' and apply again
one: Disk 60 GiB -> 61 GiB: not done
status: 1
one: Disk 60 GiB -> 61 GiB: would be done
status: 0
60
vmctl: '"'one'"' has no seed any more, so cloud-init is off in it and uses no larger disk: '"'sudo growpart /dev/vda 1 && sudo resize2fs /dev/vda1'"' in it does
one: Disk 60 GiB -> 61 GiB: done
status: 0
61
one: as it is declared
status: 0
-- what only another machine has
vmctl: What '"'one'"' has only if it is made again costs what is on its disks: '"'vmctl delete one'"', then '"'vmctl apply one'"'
one: Firmware uefi -> bios: only for a machine that is made again
one: Disk 61 GiB -> 20 GiB: only for a machine that is made again
one: Mac MAC -> 52:54:00:00:00:0b: only for a machine that is made again
one: Packages none -> vim: only for a machine that is made again
status: 1
and it is left alone
-- one that cannot be made keeps nobody
vmctl: ...
vmctl: What was made has been taken back
status: 1
one
two
zero
-- a mistake keeps all of it
vmctl: 1 file cannot be used; see above, and '"'vmctl validate'"'
status: 1
nothing changed
-- GPUs
gpus: as it is declared
status: 0
has: 0
gpus: Gpu none -> 0000:21:00.0: done
status: 0
has: 3
gpus: as it is declared
status: 0
has: 3
vmctl: ...
gpus: Gpu 0000:21:00.0 -> 0000:01:00.0: failed
status: 1
has: 3
gpus: Gpu 0000:21:00.0 -> none: done
status: 0
has: 0
gpus: Gpu none -> 2 x RTX 3090: at its next start
status: 0
has: 1
gpus: as it is declared
status: 0
has: 1
gpus: Gpu 2 x RTX 3090 -> 1: at its next start
status: 0
has: 1
gpus: Gpu 1 -> 0000:21:00.0: done
status: 0
has: 3
gpus: Gpu 0000:21:00.0 -> 1: done
status: 0
has: 1
gpus: Gpu 1 -> none: at its next start
status: 0
has: 0
-- one GPU of two
gpus: Gpu none -> 0000:21:00.0: done
status: 0
has: 3
Would make twin:
  gpu      0000:21:00.0           asked for
  GPU 0000:21:00.0 is also gpus'"'"'s: one of the two is on at a time
status: 0
twin: Gpu none -> 0000:21:00.0: done
status: 0
vmctl: GPU 0000:21:00.0 belongs to machine '"'gpus'"', also while that is off. '"'vmctl gpu detach gpus 0000:21:00.0'"' takes it from there, '"'virsh edit'"' where gpuvm did not make it
twin: Gpu none -> 0000:21:00.0: failed
status: 1
-- its owner is on
Would make late:
  gpu      0000:21:00.0           asked for
  memory   3200 MiB               asked for
  pinned   1,2                    asked for
status: 0
vmctl: 3400 MiB of memory are not free: a guest with a GPU has all of its own at once, and 4352 MiB are available. Give less by --memory, or stop something
status: 1
vmctl: 0 CPUs are free to be pinned, and 2 are wanted: the host keeps its first core, and other machines have theirs. Give less by --cpus
status: 1
waits is made, and off: keeper is on, and they share a GPU. '"'vmctl start waits'"' shuts keeper down and starts it.
status: 0
running
shut off
2'
done_testing
