#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The host's side of a machine for language models, from its file to its end: deploy.sh RELEASE FAKESYS FAKELIMIT
#
# A real systemd, libvirtd and QEMU, and a GPU of a PCI bus that behaves. Nothing of the kernel's has that GPU, and the host has not the
# memory: QEMU starts without the one, and with less of the other; all else is as libvirt asks. What the guest makes of its seed
# is llm.sh's.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=gpus.sh
. "$(dirname "$0")/gpus.sh"

container_require
release=${1:-trixie} fakesys=$2 fakelimit=$3
machine_new "$release" libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils libarchive13t64 libxml2

gpus_new "$fakesys" 2d04 0000:01:00.0=12
gpus_libvirt
gpus_for_qemu "$fakelimit"
echo 0-63 >"$shared/cpus"
printf 'MemTotal: 100663296 kB\nMemFree: 90000000 kB\nMemAvailable: 90000000 kB\n' >"$shared/meminfo"
cat >>"$shared/before-init" <<'S'
mount --bind /shared/meminfo /proc/meminfo
mount --bind /shared/cpus /sys/devices/system/cpu/online
S
python3 "$(dirname "$0")/../mock/bootsector.py" polite "$machine/var/lib/libvirt/images/base.raw"
printf '<network><name>lan</name><bridge name="virbr9" stp="off"/></network>' >"$shared/network.xml"
printf '%s\n' 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada' >"$shared/ada.pub"
cat >"$shared/vm-llm-aimachine.vm" <<'VM'
[Vm]
Kind=llm
Cpus=32
Memory=51200
Disk=500G
Description=Language models
Image=/var/lib/libvirt/images/base.raw
Firmware=bios
ReadySec=5

[Gpu]
Gpu=0000:01:00.0

[Network]
Network=lan
Address=192.168.0.140/24
Gateway=192.168.0.1

[Guest]
User=ubuntu
SshKey=/shared/ada.pub

[Install]
WantedBy=multi-user.target
VM

# All that a machine consists of, byte for byte, and who runs.
state() {
        find /var/lib/libvirt/images /var/lib/gpuvm /etc/libvirt/qemu /etc/systemd/system /run/gpuvm/vms -type f \
                -exec sha256sum {} + 2>/dev/null | sort
        virsh -q -c qemu:///system list --all | sort
        readlink /sys/bus/pci/devices/0000:01:00.0/driver
        systemctl list-units --no-legend --plain --state active 'gpuvm-v*@*' | cut -d' ' -f1
}
xml() {
        virsh -q -c qemu:///system dumpxml --inactive vm-llm-aimachine
}
deploys() {
        local name=vm-llm-aimachine pid

        systemctl is-system-running --wait >/dev/null
        mkdir -p /var/lib/libvirt/images/gpuvm /etc/gpuvm/vms
        virsh -q -c qemu:///system 'net-define /shared/network.xml; net-start lan' >/dev/null
        state >/run/nothing

        echo '-- 9'
        cp /shared/$name.vm /etc/gpuvm/vms/
        echo "valid: $(vmctl validate) $?"
        systemctl daemon-reload
        echo "unit: $(systemctl is-enabled gpuvm-vm@$name) $(systemctl show --value -p After gpuvm-vm@$name | grep -o 'gpuvm-vfio@[^ ]*')"
        vmctl apply --dry-run $name >/run/plan
        echo "plan: $? $(awk '$1 ~ /^(cpus|memory|disk|gpu|address)$/ { print $1, $2 }' /run/plan | paste -sd' ')"
        sed 's/^Kind=llm/Kind=lmm/' /shared/$name.vm >/etc/gpuvm/vms/typo.vm
        vmctl validate typo >/run/said 2>&1
        echo "mistake: $? $(grep -o 'typo.vm:2: .*lmm.*' /run/said)"
        rm /etc/gpuvm/vms/typo.vm
        state | diff /run/nothing - && echo 'nothing was made for that'

        echo '-- 7'
        touch /shared/gpu-fails
        vmctl apply --quiet $name >/run/said 2>&1
        echo "fails: $? $(grep -om1 "Cannot start '$name'" /run/said | head -n 1) $(grep -o 'vfio 0000:01:00.0: failed' /run/said), $(grep -o 'What was made has been taken back' /run/said)"
        state | diff /run/nothing - && echo 'nothing is left'
        rm /shared/gpu-fails /shared/given

        echo '-- 1'
        vmctl apply $name >/run/said 2>&1
        echo "status: $?"
        systemctl start gpuvm-vm@$name # until it is ready, or late
        echo "runs: $(vmctl list --quiet) $(systemctl is-active gpuvm-vm@$name gpuvm-vfio@0000:01:00.0 | paste -sd' ')"
        xml | grep -oE "<vcpu[^>]*>[0-9]+<|<memory[^>]*>[0-9]+<|<source>|<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>" | grep -v '<source>' | paste -sd' '
        echo "disk: $(qemu-img info -U /var/lib/libvirt/images/gpuvm/$name.qcow2 | sed -n 's/^virtual size: \([^(]*\) (.*/\1/p')"
        echo "given: $(grep -c '"host":"0000:01:00.0"' /shared/given) $(readlink /sys/bus/pci/devices/0000:01:00.0/driver)"
        seed=/var/lib/libvirt/images/gpuvm/$name-seed.iso
        echo "seed: $(stat -c %a $seed) $(grep -aoE '"name":"ubuntu"|ssh-ed25519 [^ ]* ada|Wants=gpuvm-setup@(driver|ollama|vllm)\.' $seed | sed 's/^Wants=//; s/\.$//' | sort -u | cut -c1-24 | paste -sd' ')"

        echo '-- 6'
        state >/run/before
        pid=$(cat /run/libvirt/qemu/$name.pid)
        vmctl apply $name
        echo "status: $?"
        vmctl diff --quiet $name
        echo "diff: $?"
        state | diff /run/before - && echo 'nothing changed'
        [ "$pid" = "$(cat /run/libvirt/qemu/$name.pid)" ] && kill -0 "$pid" && echo 'nobody was disturbed'

        echo '-- 7'
        sed 's/140/141/' /shared/$name.vm >/etc/gpuvm/vms/second.vm
        # Who declares two with one GPU has both, of which one runs at a time.
        vmctl apply --quiet second >/run/said 2>&1
        echo "declared: $? $(virsh -q -c qemu:///system domstate second | head -n 1), $(systemctl is-active gpuvm-vm@$name)"
        vmctl delete --yes --force --quiet second
        rm /etc/gpuvm/vms/second.vm
        systemctl daemon-reload
        vmctl create debian --name second --image /var/lib/libvirt/images/base.raw --firmware bios --network lan --memory 128 --cpus 1 \
                --gpu 0000:01:00.0 --ssh-key /shared/ada.pub --quiet >/run/said 2>&1
        echo "taken: $? $(grep -o "0000:01:00.0 belongs to machine '$name'" /run/said)"
        state | diff /run/before - && echo 'and the first one has it'
}
machine_boot deploys
is 'it ended as it should' "$status" 0
is 'scenario 9: a file that declares it is valid, read by systemd, and enough to make it' "$(part 9)" "valid: vm-llm-aimachine: valid 0
unit: enabled-runtime gpuvm-vfio@0000:01:00.0.service
plan: 0 cpus 32 gpu 0000:01:00.0 memory 51200 disk 500 address 192.168.0.140/24
mistake: 1 typo.vm:2: Bad value 'lmm' for Kind=: expected talos, ubuntu, debian, llm or worker
nothing was made for that"
is 'scenario 1: one command makes the machine, with its GPU, and tells the guest what to become' "$(part 1)" "status: 0
runs: vm-llm-aimachine active active
<memory unit='KiB'>52428800< <vcpu placement='static'>32< <address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
disk: 500 GiB
given: 1 /sys/bus/pci/drivers/vfio-pci
seed: 600 \"name\":\"ubuntu\" gpuvm-setup@driver gpuvm-setup@ollama gpuvm-setup@vllm ssh-ed25519 AAAAC3NzaC1l"
is 'scenario 6: again, and nothing changes' "$(part 6)" 'vm-llm-aimachine: as it is declared
status: 0
diff: 0
nothing changed
nobody was disturbed'
is 'scenario 7: a GPU that fails or is taken is told, and nothing is left' "$(part 7)" "fails: 1 Cannot start 'vm-llm-aimachine' vfio 0000:01:00.0: failed, What was made has been taken back
nothing is left
declared: 0 shut off, active
taken: 4 0000:01:00.0 belongs to machine 'vm-llm-aimachine'
and the first one has it"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr")
$(machine_journal -o cat -n 60)"
done_testing
