#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-verify on made-up machines, and beside a real libvirtd: verify.sh DIRECTORY-OF-HELPERS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
helper=$1/gpuvm-verify
cuda=$1/../tests/fakecuda.so
nvml=$1/../tests/fakenvml.so
work=$(mktemp -d)
at_exit rm -rf "$work"
unset GPUVM_LIBVIRT_URI
n=0

# function NAME CLASS VENDOR DEVICE GROUP DRIVER: behind the root port 0000:00:01.0.
add_function() {
        local dir=sys/devices/pci0000:00/0000:00:01.0/$1

        mkdir -p "$root/$dir" "$root/sys/bus/pci/devices"
        ln -s "../../../devices/pci0000:00/0000:00:01.0/$1" "$root/sys/bus/pci/devices/$1"
        echo "$2" >"$root/$dir/class"
        echo "$3" >"$root/$dir/vendor"
        echo "$4" >"$root/$dir/device"
        if [ -n "$5" ]; then
                mkdir -p "$root/sys/kernel/iommu_groups/$5/devices"
                ln -s "../../../../kernel/iommu_groups/$5" "$root/$dir/iommu_group"
                ln -s "../../../../devices/pci0000:00/0000:00:01.0/$1" "$root/sys/kernel/iommu_groups/$5/devices/$1"
        fi
        drive "$1" "$6"
}

drive() {
        rm -f "$root/sys/bus/pci/devices/$1/driver"
        [ -z "$2" ] || ln -s "../../../../bus/pci/drivers/$2" "$root/sys/bus/pci/devices/$1/driver"
        [ -z "$2" ] || mkdir -p "$root/sys/bus/pci/drivers/$2"
}

# A machine with a card of two functions in the group, both with the driver.
machine() {
        local group=${1-7} driver=${2-vfio-pci}

        root=$work/$((n += 1))
        mkdir -p "$root"/{etc,dev/net,proc/sys/kernel,proc/1,sys/kernel/iommu_groups,sys/fs/cgroup}
        printf 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n' >"$root/etc/os-release"
        echo 6.12.0-amd64 >"$root/proc/sys/kernel/osrelease"
        printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
        add_function 0000:01:00.0 0x030000 0x10de 0x2684 "$group" "$driver"
        add_function 0000:01:00.1 0x040300 0x10de 0x22ba "$group" "$driver"
        touch "$root"/dev/{kvm,net/tun,vhost-net}
        echo 'cpuset cpu io memory hugetlb pids' >"$root/sys/fs/cgroup/cgroup.controllers"
}

# The host computes on what is on NVIDIA's driver. For one run.
computing() {
        mkdir -p "$root/sys/module/nvidia"
        echo 580.95.05 >"$root/sys/module/nvidia/version"
        export GPUVM_CUDA=$cuda FAKECUDA_GPUS='0000:01:00.0'
        mkdir -p "$root/nvml"
        echo 0 >"$root/nvml/0000:01:00.0.persistent"
        export GPUVM_NVML=$nvml FAKESYS_ROOT=$root
}

# python STATUS [WORDS]: one with a PyTorch that ends so.
python() {
        mkdir -p "$root/usr/bin"
        printf '#!/bin/sh\necho "$@" >%s/python\necho %s\nexit %s\n' "$work" "${2-}" "$1" >"$root/usr/bin/python3"
        chmod 755 "$root/usr/bin/python3"
}

run() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

# Reads the report: ask 'd["ready"]'.
ask() {
        python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' \
                "$root/var/lib/gpuvm/report.json" "$1"
}

machine
mkdir -p "$root/run/gpuvm/phases" "$root/var/lib/gpuvm/phases"
echo '{"phase": "vfio", "result": "ok", "took_ms": 1, "changes": []}' >"$root/run/gpuvm/phases/vfio.json"
echo '{"phase": "vfio", "result": "ok", "took_ms": 900, "changes": [{"action": "start", "object": "unit", "detail": ""}]}' \
        >"$root/var/lib/gpuvm/phases/vfio.json"
run --dry-run
is 'a dry run succeeds' "$status" 0
check 'a dry run writes no report' test ! -e "$root/var/lib/gpuvm/report.json"
like 'a dry run shows the page' "$said" 'Ready for GPU VMs'
run
is 'a card on VFIO is ready' "$status" 0
like 'the group counts' "$said" 'is on vfio-pci with all 2 functions'
like 'the page has the phases' "$said" 'vfio +ok +0\.9 s  1 change'
like 'the page has the card' "$said" '0000:01:00.0  10de:2684 .*exclusive, vfio-pci, IOMMU group 7'
is 'the report can be read by all' "$(stat -c %a "$root/var/lib/gpuvm/report.json")" 644
is 'the report says ready' "$(ask 'd["ready"]')" True
is 'the report names the system' "$(ask 'd["host"]["system"] + " " + d["host"]["kernel"]')" \
        'Debian GNU/Linux 13 (trixie) 6.12.0-amd64'
is 'the report has the group' "$(ask '[(f["address"], f["driver"]) for f in d["gpus"][0]["group"]]')" \
        "[('0000:01:00.0', 'vfio-pci'), ('0000:01:00.1', 'vfio-pci')]"

# One function of the group is with somebody else.
drive 0000:01:00.1 snd_hda_intel
run
is 'half a card is not ready' "$status" 1
like 'and the function is named' "$said" 'GPU 0000:01:00.0 is exclusive, but not on VFIO: 0000:01:00.1 \(snd_hda_intel\)'
is 'the report says so' "$(ask 'd["ready"]')" False
machine 7 ''
run
is 'a card without a driver is not ready' "$status" 1
machine 7 nvgrace_gpu_vfio_pci
run
is 'a VFIO variant driver is one' "$status" 0

# No groups.
machine '' nouveau
run
is 'without IOMMU groups it is not ready' "$status" 1
like 'and each failure is told at once' "$said" 'no IOMMU groups; GPU 0000:01:00.0 is in no IOMMU group'

# The bridge, by what is there.
machine
mkdir -p "$root/run/gpuvm/phases"
run
like 'a bridge that nobody looked for is no failure' "$status $said" '^0 .*bridge +gpuvm-bridge.service did not run'
echo '{"phase": "bridge", "result": "ok", "mode": "bridged", "bridge": "br0"}' >"$root/run/gpuvm/phases/bridge.json"
run
like 'one that is not there is a failure' "$status $said" '^1 .*There is no bridge br0'
mkdir -p "$root/sys/class/net/br0/"{bridge,brif}
run
like 'so is one without a port' "$status $said" '^1 .*br0 has no port'
mkdir "$root/sys/class/net/br0/brif/eth0"
run
like 'one with its port is there' "$status $said" '^0 .*br0 is there, bridged'
echo '{"phase": "bridge", "result": "ok", "mode": "nat", "reason": "there is no default route"}' >"$root/run/gpuvm/phases/bridge.json"
run
like 'NAT needs none' "$status $said" '^0 .*by NAT'

# Flexible cards may be anywhere, but must be able to go.
machine 7 nvidia
: >"$root/etc/gpuvm.conf"
computing
run
is 'a flexible card on its driver is ready' "$status" 0
like 'it computes' "$said" 'GPU 0000:01:00.0: NVIDIA Made Up: computes \(driver 580.95.05, CUDA 13.0\)'
like 'NVML knows it' "$said" 'nvml +GPU 0000:01:00.0: NVML answers'
like 'and can go' "$said" 'GPU 0000:01:00.0 can be given to a VM \(now on nvidia\)'
add_function 0000:02:00.0 0x020000 0x8086 0x1572 7 i40e
mkdir -p "$root/sys/bus/pci/devices/0000:02:00.0/net/eth0"
run
is 'a flexible card that cannot go is a warning' "$status" 0
like 'which says why' "$said" 'cannot be given to a VM: .*0000:02:00.0'
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
run
is 'an exclusive one a failure' "$status" 1

# Proof that the host computes.
machine 7 nvidia
: >"$root/etc/gpuvm.conf"
run
is 'a driver whose module is not loaded is not ready' "$status" 1
like 'with what to do' "$said" 'no kernel module of NVIDIA.s is loaded.*dmesg'
computing
FAKECUDA_FAIL=cuInit:803 run
is 'nor is one that was upgraded since' "$status" 1
like 'and a restart is the remedy' "$said" 'of two versions: cuInit: error 803 \(driver 580.95.05, CUDA 13.0\).*Restart the machine'
is 'the report says so' "$(ask '[c["result"] for c in d["checks"] if c["check"] == "compute"]')" "['fail']"
FAKECUDA_FAIL=cuMemAlloc_v2:2 run
is 'a card that others use up is a warning' "$status" 0
like 'in these words' "$said" 'in use by others'
for broken in nvmlInitWithFlags:18 nvmlDeviceGetHandleByPciBusId_v2:6; do
        FAKENVML_FAIL=$broken run
        is "$broken: what computes and NVML cannot be asked about is not ready" \
                "$status $(ask '[c["result"] for c in d["checks"] if c["check"] in ("compute", "nvml")]')" "1 ['ok', 'fail']"
        like "$broken: with what is wrong" "$said" 'GPU 0000:01:00.0: NVML, NVIDIA.s management library, fails: .*libnvidia-ml1 of Debian'
done
GPUVM_NVML=/nonexistent run
like 'nor is it without that library' "$status $said" '^1 .*management library, is not here'
FAKECUDA_FAIL=cuInit:803 FAKENVML_FAIL=nvmlInitWithFlags:18 run
is 'what is wrong with both is told once' "$(ask '[c["check"] for c in d["checks"] if c["result"] == "fail"]')" "['compute']"
python 77
run
is 'a python3 without PyTorch is none' "$status $(grep -c PyTorch <<<"$said" || true)" '0 0'
like 'it was asked by itself' "$(cat "$work/python")" '^-I -B -c try:'
python 0 '2.11.0+cu130 1'
run
like 'one with it multiplies matrices' "$status $said" '^0 .*PyTorch 2.11.0\+cu130 multiplies matrices'
python 1
run
is 'one that cannot is a warning' "$status" 0
like 'which names it' "$said" 'PyTorch of /usr/bin/python3 cannot multiply'
printf '[Bootstrap]\nNvidia=no\n' >"$root/etc/gpuvm.conf"
FAKECUDA_FAIL=cuInit:803 run
is 'with Nvidia=no nothing is computed' "$status $(ask '[c["result"] for c in d["checks"] if c["check"] == "compute"]')" \
        "0 ['skip']"
machine
FAKECUDA_FAIL=cuInit:803 run
is 'a card on VFIO is not asked' "$status $(ask '[c["text"] for c in d["checks"] if c["check"] == "compute"]')" \
        "0 ['GPU 0000:01:00.0 is on vfio-pci, and not for the host to compute on']"
unset GPUVM_CUDA GPUVM_NVML

# A card that the driver leaves out, or that nouveau has kept.
for driver in '' nouveau; do
        machine 7 "$driver"
        : >"$root/etc/gpuvm.conf"
        run
        is "${driver:-none}: where it cannot be told who needs which driver, nobody does" \
                "$status $(ask '[c["result"] for c in d["checks"] if c["check"] == "compute"]')" "0 ['skip']"
        mkdir -p "$root/var/lib/dpkg" "$root/boot"
        : >"$root/var/lib/dpkg/status"
        echo x86_64 >"$root/proc/sys/kernel/arch"
        printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n' >"$root/etc/os-release"
        run
        is "${driver:-none}: a card that the host should compute on is not ready" "$status $(ask 'd["ready"]')" '1 False'
        like "${driver:-none}: with what it is on" "$said" \
                "GPU 0000:01:00.0 is on ${driver:-no driver} instead of NVIDIA's.*Start gpuvm-nvidia.service.*Mode=exclusive"
        for conf in '[Gpu]\nDriverSource=none' '[Bootstrap]\nNvidia=no'; do
                printf '%b\n' "$conf" >"$root/etc/gpuvm.conf"
                run
                is "${driver:-none}: ${conf#*n}, and it is" "$status" 0
        done
        : >"$root/etc/gpuvm.conf"
        echo 0x0fc6 >"$root/sys/bus/pci/devices/0000:01:00.0/device"
        run
        is "${driver:-none}: so is one that is too old for any driver" "$status" 0
done

# What was turned off, and what is not there.
machine '' nouveau
printf '[Bootstrap]\nVfio=no\nKvm=no\n' >"$root/etc/gpuvm.conf"
rm "$root/dev/kvm"
run
is 'what was turned off is no failure' "$status" 0
is 'it is skipped' "$(ask 'sorted(set(c["result"] for c in d["checks"]))')" "['skip']"
machine
rm "$root/dev/kvm"
run
is 'no /dev/kvm is a warning' "$status" 0
like 'in these words' "$said" 'no /dev/kvm: VMs run slowly \(TCG\)'
machine
run
is 'with all that KVM needs there is no more to say' \
        "$(ask '[c["text"] for c in d["checks"] if c["check"] == "kvm"]')" "['/dev/kvm, /dev/net/tun and /dev/vhost-net are there']"
rm "$root/dev/net/tun" "$root/dev/vhost-net"
echo 'cpuset io pids' >"$root/sys/fs/cgroup/cgroup.controllers"
run
is 'each thing that is missing is a warning' \
        "$(ask '[c["result"] + " " + c["text"] for c in d["checks"] if c["check"] == "kvm"]')" \
        "['warn no /dev/net/tun: VMs have no network', 'warn no /dev/vhost-net: the network of VMs is slow', 'warn The kernel has no cgroup controller cpu, memory: VMs cannot be limited by that']"
machine
rm -r "$root/sys/bus" "$root/sys/devices"
run
like 'no GPU is a warning' "$said" 'no NVIDIA GPU'

# libvirt.
machine
GPUVM_LIBVIRT_URI=test:///default run
is 'a libvirt without our pool is not ready' "$status" 1
like 'and the pool is named' "$said" "pool 'gpuvm' is not active"
GPUVM_LIBVIRT_URI='qemu+unix:///system?socket=/nonexistent' run
is 'a libvirt that does not answer is not ready' "$status" 1

# The report cannot be written, the story cannot be ended.
machine
mkdir -p "$root/var/lib/gpuvm/report.json/directory"
run
is 'a report that cannot be written fails' "$status" 1
machine
mkdir -p "$root/var/lib/gpuvm"
echo story >"$root/var/lib/gpuvm/pending"
run
is 'the story ends' "$status" 0
check 'nothing is pending' test ! -e "$root/var/lib/gpuvm/pending"
machine 7 nouveau
mkdir -p "$root/run/gpuvm"
run
like 'who logs in is told how it stands' "$(cat "$root/run/gpuvm/motd")" 'Not ready.*0000:01:00.0 is exclusive, but not on VFIO'
drive 0000:01:00.0 vfio-pci
drive 0000:01:00.1 vfio-pci
run
check 'until the machine is ready' test ! -e "$root/run/gpuvm/motd"
machine 7 nouveau
run --dry-run
check 'and not by a dry run' test ! -e "$root/run/gpuvm/motd"
machine 7 nouveau
mkdir -p "$root/var/lib/gpuvm"
echo story >"$root/var/lib/gpuvm/pending"
run
check 'but not before the machine is ready' test -e "$root/var/lib/gpuvm/pending"

# Beside a real libvirtd, on the machine that runs this.
real() {
        printf '[Bootstrap]\nVfio=no\nBridge=no\n' >/run/gpuvm.conf.d/test.conf
        "$1/gpuvm-verify" >"$work/before" 2>&1 && echo 'ready too early'
        "$1/gpuvm-storage" >/dev/null 2>&1
        "$1/gpuvm-verify" >"$work/after" 2>&1 && echo ready
}

asan=$(ldd "$helper" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}
! nm -D "$helper" 2>/dev/null | grep -q __asan_init || preload=${preload:-libtirpc.so.3}
export -f real
export work
status=0
# shellcheck disable=SC2016
got=$("$here/with-libvirtd.sh" env LD_PRELOAD="$preload" bash -c 'real "$1"' bash "$(realpath "$1")" 2>"$work/err") || status=$?
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, dnsmasq-base and iptables'
else
        is 'ready with pool and network, not before' "$got" ready
        like 'libvirt tells its version' "$(cat "$work/after")" 'libvirt [0-9.]+ answers, 0 VMs running'
        like 'pool and network are looked at' "$(cat "$work/after")" "pool +'gpuvm' is active.*network +'default' is active"
        like 'what is missing is told' "$(cat "$work/before")" "pool 'gpuvm' is not active"
fi
done_testing
