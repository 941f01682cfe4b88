#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines beside the files that declare them, on libvirt's test driver: diff.sh VMCTL

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
vms=$work/root/etc/gpuvm/vms
mkdir -p "$vms"
cat >"$work/node.xml" <<'XML'
<node><domain type="test"><name>one</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="ubuntu"><g:disk path="/srv/one.qcow2"/>
<g:address cidr="203.0.113.7/24" gateway="203.0.113.1"/><g:gpu address="0000:01:00.0"/><g:image name="ubuntu 24.04"/><g:user name="ada"/></g:vm></metadata>
<memory unit="GiB">4</memory><memoryBacking><hugepages><page size="2048" unit="KiB"/></hugepages></memoryBacking><vcpu>3</vcpu>
<os firmware="efi"><type>hvm</type></os>
<devices><interface type="network"><mac address="52:54:00:00:00:0a"/><source network="default"/></interface></devices></domain>
<domain type="test"><name>bare</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"/></metadata><memory unit="KiB">2097152</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>
<domain type="test"><name>wishes</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="ubuntu"><g:wish gpus="2 x A100"/></g:vm></metadata><memory unit="KiB">2097152</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>
<domain type="test"><name>llm</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="llm"/></metadata><memory unit="KiB">2097152</memory><vcpu>2</vcpu><os firmware="efi"><type>hvm</type></os>
<devices><filesystem type="mount" accessmode="passthrough"><driver type="virtiofs"/><source dir="/srv/Models"/><target dir="gpuvm-models"/></filesystem></devices></domain>
<domain type="test"><name>node</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="talos"><g:image name="talos v1.13.9"/>
<g:told><g:line>Schematic=AAAA</g:line><g:line>Idle</g:line><g:line>Cpus=9</g:line><g:line>Colour=red</g:line></g:told></g:vm></metadata>
<memory unit="KiB">2097152</memory><vcpu>2</vcpu><os firmware="efi"><type>hvm</type></os></domain>
<domain type="test"><name>old</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="talos"><g:image name="talos v1.13.9"/></g:vm></metadata>
<memory unit="KiB">2097152</memory><vcpu>2</vcpu><os firmware="efi"><type>hvm</type></os></domain>
<domain type="test"><name>told</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="llm"><g:image name="golden"/><g:gpu address="0000:01:00.0"/>
<g:told><g:line>Image=/srv/golden.qcow2</g:line><g:line>Packages=vim</g:line><g:line>Packages=curl</g:line><g:line>Persistenced=yes</g:line>
<g:line>VllmModel=Qwen/Qwen3-8B</g:line><g:line>SshKey=ssh-ed25519 AAAA ada</g:line></g:told></g:vm></metadata>
<memory unit="KiB">2097152</memory><vcpu>2</vcpu><os firmware="efi"><type>hvm</type></os><devices><hostdev mode="subsystem" type="pci" managed="no"><source>
<address domain="0" bus="1" slot="0" function="0"/></source><rom bar="on" file="/srv/vbios.rom"/></hostdev></devices></domain>
<domain type="test"><name>desk</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="ubuntu"><g:image name="base.qcow2"/></g:vm></metadata>
<memory unit="KiB">2097152</memory><vcpu>2</vcpu><os firmware="efi"><type>hvm</type></os><devices><graphics type="vnc"/></devices></domain>
<domain type="test"><name>theirs</name><memory unit="KiB">1048576</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>
</node>
XML
schematic=$(printf 'a%.0s' {1..64})
sed -i "s/Schematic=AAAA/Schematic=$schematic/" "$work/node.xml"

# run COMMAND ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" -c "test:///$work/node.xml" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
# declare_vm NAME TEXT: below Kind=ubuntu.
declare_vm() {
        printf '[Vm]\nKind=ubuntu\n%b' "$2" >"$vms/$1.vm"
}
# differs WHAT TEXT KEY IS DECLARED TAKES: what one changes by these lines, and nothing else.
differs() {
        declare_vm one "$2"
        run diff --root "$work/root" --json one
        is "$1" "$status:$(jq -c '.[0].differences | map([.key, .is, .declared, .takes])' <<<"$out"):$err" "1:[[\"$3\",\"$4\",\"$5\",\"$6\"]]:"
}

run export one
if [ "$status" -eq 1 ] && [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library is not installed"
fi
is 'a machine as a file' "$status:$out:$err" '0:[Vm]
Kind=ubuntu
Cpus=3
Memory=4096
Release=24.04
Server=yes
Hugepages=2M

[Gpu]
Gpu=0000:01:00.0

[Network]
Network=default
Address=203.0.113.7/24
Gateway=203.0.113.1
Mac=52:54:00:00:00:0a

[Guest]
User=ada:'
printf '%s\n' "$out" >"$vms/one.vm"
check 'which is valid' "$vmctl" validate --root "$work/root"
run export --json one
is 'the same as JSON' "$status:$(jq -r '.name + "\n" + .text' <<<"$out")" "0:one
$(<"$vms/one.vm")"
run diff --root "$work/root"
is 'and no different from the machine' "$status:$out:$err" '0::'
sed -i 's|^Address=203.0.113.7/24|Address=203.0.113.7|' "$vms/one.vm"
run diff --root "$work/root"
is 'nor is an address that leaves its prefix length to the host' "$status:$out:$err" '0::'
run export bare
is 'one with next to nothing' "$status:$out:$err" '0:[Vm]
Kind=debian
Cpus=2
Memory=2048
Firmware=bios

[Gpu]
Gpu=none:'
run export theirs
is "somebody else's is left alone" "$status:$out" 5:
like 'and that is said' "$err" "'theirs' was not made by gpuvm"
run export nobody
is 'nor one that is not there' "$status:$out" 3:

differs 'CPUs' 'Cpus=8\n' Cpus 3 8 restart
differs 'memory' 'Memory=8G\n' Memory '4096 MiB' '8192 MiB' restart
differs 'other pages' 'Hugepages=1G\n' Hugepages 2M 1G restart
differs 'pinned' 'Pin=yes\n' Pin no yes anew
differs 'a description' 'Description=Jelly & fish\n' Description none 'Jelly & fish' restart
differs 'another release' 'Release=22.04\n' Release 24.04 22.04 anew
differs 'another firmware' 'Firmware=bios\n' Firmware uefi bios anew
differs 'another GPU' '[Gpu]\nGpu=02:00.0\n' Gpu 0000:01:00.0 0000:02:00.0 now
differs 'one more GPU' '[Gpu]\nGpu=01:00.0 02:00.0\n' Gpu 0000:01:00.0 '0000:01:00.0 0000:02:00.0' now
differs 'no GPU' '[Gpu]\nGpu=none\n' Gpu 0000:01:00.0 none now
differs 'GPUs that are chosen each time' '[Gpu]\nGpu=2 x RTX 4090\n' Gpu 0000:01:00.0 '2 x RTX 4090' now
differs 'another address' '[Network]\nAddress=203.0.113.9/24\n' Address 203.0.113.7/24 203.0.113.9/24 anew
differs 'another one without' '[Network]\nAddress=203.0.113.9\n' Address 203.0.113.7/24 203.0.113.9 anew
differs 'another network, where its address is none' '[Network]\nNetwork=lab\n' Network default lab anew
differs 'another MAC address' '[Network]\nMac=52:54:00:00:00:0b\n' Mac 52:54:00:00:00:0a 52:54:00:00:00:0b anew
differs 'another user' '[Guest]\nUser=bob\n' User ada bob anew
differs 'another kind' 'Kind=debian\n' Kind ubuntu debian anew

rm "$vms/one.vm"
# of_wishes GPU: what differs.
of_wishes() {
        declare_vm wishes "[Gpu]\nGpu=$1\n"
        run diff --root "$work/root" --json wishes
        jq -r '.[0].differences[] | .is + ", " + .declared + ", " + .takes' <<<"$out"
}
is 'what it asks for in other words' "$(of_wishes '2x A100')" ''
is 'more of them' "$(of_wishes 'A100')" '2 x A100, A100, restart'
is 'or none' "$(of_wishes none)" '2 x A100, none, restart'
is 'or one by name' "$(of_wishes 01:00.0)" '2 x A100, 0000:01:00.0, now'
rm "$vms/wishes.vm"
run export wishes
like 'and as a file' "$out" '\[Gpu\].Gpu=2 x A100'
run list --all --json
is 'as the list has it' "$(jq -r '.[] | select(.name == "wishes") | .gpu_wish' <<<"$out")" '2 x A100'
run export llm
like 'a store of models' "$out" '\[Llm\].ModelStore=/srv/Models$'
printf '%s\n' "$out" >"$vms/llm.vm"
check 'is valid' "$vmctl" validate --root "$work/root"
run diff --root "$work/root"
is 'and no different' "$status:$out:$err" '0::'
# of_store LINE: what differs.
of_store() {
        printf '[Vm]\nKind=llm\n%s\n' "$1" >"$vms/llm.vm"
        run diff --root "$work/root" --json llm
        jq -r '.[0].differences[] | .key + ", " + .is + ", " + .declared + ", " + .takes' <<<"$out"
}
is 'another one' "$(of_store $'[Llm]\nModelStore=/srv/models')" 'ModelStore, /srv/Models, /srv/models, anew'
is 'one that nobody speaks of' "$(of_store '')" ''
rm "$vms/llm.vm"
printf '[Vm]\nKind=llm\n[Llm]\nModelStore=/srv/models\n' >"$vms/bare.vm"
run diff --root "$work/root" --json bare
is 'one for a machine without' "$(jq -c '.[0].differences[] | select(.key == "ModelStore") | [.is, .takes]' <<<"$out")" '["none","anew"]'
rm "$vms/bare.vm"
# Exported, valid, and no different.
again() {
        run export "$1"
        printf '%s\n' "$out" >"$vms/$1.vm"
        check "$1 as a file is valid" "$vmctl" validate --root "$work/root" "$1"
        run diff --root "$work/root" "$1"
        is "$1: and no different" "$status:$out:$err" '0::'
        out=$(<"$vms/$1.vm")
        rm "$vms/$1.vm"
}
# of NAME KIND LINES: what differs of one that is declared so, each with what it takes.
of() {
        printf '[Vm]\nKind=%s\n%b' "$2" "$3" >"$vms/$1.vm"
        run diff --root "$work/root" --json "$1"
        jq -r '.[0].differences[] | .key + ", " + .is + ", " + .declared + ", " + .takes' <<<"$out"
        rm "$vms/$1.vm"
}
again told
like 'what its guest was told is in it' "$out" 'Image=/srv/golden.qcow2.*Rom=/srv/vbios.rom.*SshKey=ssh-ed25519 AAAA ada
Packages=vim curl
Persistenced=yes.*VllmModel=Qwen/Qwen3-8B$'
again node
like 'a version of Talos, and a schematic' "$out" '\[Talos\].Version=v1.13.9.Schematic='"$schematic"'$'
again desk
like 'one whose image was not written down' "$out" 'Image=base.qcow2'
check_fails 'a desktop is no server' 1 grep -q Server <<<"$out"
is 'another version and schematic' "$(of node talos '[Talos]\nVersion=v1.12.0\nSchematic=b\nMachineConfig=/m\n')" "Version, v1.13.9, v1.12.0, anew
Schematic, $schematic, b, anew
MachineConfig, none, /m, anew"
is 'the same one without its v' "$(of node talos '[Talos]\nVersion=1.13.9\n')" ''
is 'of one of before what nobody wrote down is not told' "$(of old talos '[Talos]\nVersion=v1.12.0\nSchematic=b\n')" 'Version, v1.13.9, v1.12.0, anew'
is 'a release by its codename' "$(of one ubuntu 'Release=noble\n')" ''
is 'another image' "$(of desk ubuntu 'Image=/x/other.qcow2\n')" 'Image, base.qcow2, /x/other.qcow2, anew'
is 'the same one by its path' "$(of desk ubuntu 'Image=/x/base.qcow2\n')" ''
is 'in place of a download' "$(of one ubuntu 'Image=/x/base.qcow2\n')" 'Image, ubuntu 24.04, /x/base.qcow2, anew'
is 'an image of that name elsewhere' "$(of told llm 'Image=/x/golden.qcow2\n')" 'Image, /srv/golden.qcow2, /x/golden.qcow2, anew'
is 'another network, which leases it an address' "$(of desk ubuntu '[Network]\nNetwork=lab\n')" 'Network, none, lab, restart'
is 'no desktop any more' "$(of desk ubuntu 'Server=yes\n')" 'Server, no, yes, anew'
is 'or one' "$(of one ubuntu 'Server=no\n')" 'Server, yes, no, anew'
is "a card's firmware" "$(of told llm '[Gpu]\nRom=off\n')" 'Rom, /srv/vbios.rom, off, restart'
is 'of a machine without a card' "$(of one ubuntu '[Gpu]\nGpu=01:00.0\nRom=off\n')" ''
is 'what a guest was told: the same in another order, and what stands for nothing' \
        "$(of told llm '[Guest]\nPackages=curl vim\nPersistenced=1\nCudaToolkit=12.9\n[Llm]\nEngine=on-demand\nListen=127.0.0.1\nDriverUpdates=no\n')" ''
is 'and what is another one' "$(of told llm '[Guest]\nSshKey=/k.pub\nPackages=vim\nPersistenced=no\nCudaToolkit=no\n[Llm]\nEngine=both\nListen=192.0.2.7\nSwap=4G\nVllmModel=Qwen/qwen3-8B\n')" \
        'SshKey, ssh-ed25519 AAAA ada, /k.pub, anew
Packages, vim curl, vim, anew
CudaToolkit, 12.9, no, anew
Persistenced, yes, no, anew
Engine, on-demand, both, anew
Listen, 127.0.0.1, 192.0.2.7, anew
VllmModel, Qwen/Qwen3-8B, Qwen/qwen3-8B, anew
Swap, none, 4G, anew'
declare_vm one 'Cpus=3\nMemory=4G\nPin=no\nServer=yes\n[Gpu]\nGpu=01:00.0\n[Network]\nMac=52:54:00:00:00:0A\n[Guest]\nSshKey=/k.pub\n[Install]\nWantedBy=x.target\n'
run diff --root "$work/root"
is 'what is the same by another name, and what no definition shows' "$status:$out:$err" '0::'
declare_vm new ''
declare_vm one 'Cpus=8\nMemory=8G\n'
run diff --root "$work/root"
is 'as a table, with one that is not made' "$status:$(tr -s ' ' <<<"$out")" '1:NAME KEY IS DECLARED TAKES
new - not made - vmctl create
one Cpus 3 8 at its next start
one Memory 4096 MiB 8192 MiB at its next start'
run diff --root "$work/root" --quiet
is 'quietly: the names' "$status:$out" '1:new
one'
run diff --root "$work/root" one
is 'one alone' "$status:$(wc -l <<<"$out")" 1:3
run diff --root "$work/root" nobody
is 'one that is not declared' "$status:$out" 3:
declare_vm new 'Cpuss=3\n'
run diff --root "$work/root"
is 'a broken file is not guessed at' "$status:$out" 1:
like 'and is named' "$err" "new.vm:3: Unknown key 'Cpuss'.*1 file cannot be used"
run diff --root "$work/root" one
is 'and keeps nobody else' "$status" 1
rm "$vms/new.vm"
declare_vm theirs ''
run diff --root "$work/root" theirs
is "somebody else's machine of that name" "$status:$out" 5:
done_testing
