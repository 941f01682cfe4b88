# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# vmctl apply where nothing is to be done: 50 machines that are as their files declare them, all on, then all off; beside
# virsh that shows the same 50 definitions. With a real libvirtd and emulating QEMUs in namespaces of their own.

bench_apply_inside() {
        local vmctl=$1 machines=50 definitions='' file i

        mkdir -p /run/gpuvm/vms /var/lib/libvirt/images/gpuvm
        qemu-img create -q -f qcow2 /var/cache/base.qcow2 2G
        printf '<network><name>default</name><bridge name="virbr9"/></network>' >/run/network.xml
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default" >/dev/null
        for ((i = 1; i <= machines; i++)); do
                file=/run/gpuvm/vms/m$i.vm
                printf '[Vm]\nKind=debian\nImage=/var/cache/base.qcow2\nCpus=1\nMemory=128\nDisk=10G\n[Gpu]\nGpu=none\n[Guest]\nSshKey=%s\n' \
                        'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe a' >"$file"
                # On, and no load for the others.
                "$vmctl" apply --quiet "m$i" && virsh -q -c qemu:///system suspend "m$i" >/dev/null
                definitions+="dumpxml --inactive m$i; "
        done
        for ((i = 0; i < 9; i++)); do
                bench_vm_ms on "$vmctl" apply
                bench_vm_ms virsh virsh -c qemu:///system "$definitions"
        done
        for ((i = 1; i <= machines; i++)); do virsh -q -c qemu:///system destroy "m$i" >/dev/null; done
        for ((i = 0; i < 9; i++)); do
                bench_vm_ms off "$vmctl" apply
                echo "declared $(grep -c 'as it is declared$' /run/out)"
        done
}

bench_apply() {
        local same

        # shellcheck disable=SC2016 # another shell's
        "$top/tests/helper/with-libvirtd.sh" bash -uo pipefail -c '. "$0/vm.sh"; . "$0/apply.sh"; bench_apply_inside "$@"' "$top/tests/bench" \
                "$build/helpers/vmctl" >"$work/vm"
        same="$(bench_vm_median declared | cut -d. -f1) of them are as they are declared"
        row '50 machines: virsh that shows their definitions' "$(bench_vm_median virsh)" ms -
        row '50 unchanged machines that are on: vmctl apply' "$(bench_vm_median on)" ms 500
        row '50 unchanged machines that are off: vmctl apply' "$(bench_vm_median off)" ms 500 "$same"
}
