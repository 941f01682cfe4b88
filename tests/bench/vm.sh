# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# Machines: list beside virsh, a bare program in C and a loop of a script; create beside virt-install and a bare program, with a
# real libvirtd and an emulating QEMU in namespaces of their own; what parts of a create cost.

# bench_vm_node N: the test driver's machines.
bench_vm_node() {
        local i

        echo '<node>'
        for ((i = 1; i <= $1; i++)); do
                printf '<domain type="test"><name>debian-%04d</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:address cidr="10.0.%d.%d/16" gateway="10.0.0.1"/></g:vm></metadata><memory>65536</memory><os><type>hvm</type></os></domain>\n' \
                        "$i" $((i / 250)) $((i % 250 + 1))
        done
        echo '</node>'
}

# As one writes it down.
bench_vm_loop() {
        local name

        for name in $(virsh -c "$1" list --all --name); do
                echo "$name $(virsh -c "$1" domstate "$name") $(virsh -c "$1" dominfo "$name" | awk '/^CPU\(s\)/ { print $2 }') \
$(virsh -c "$1" dominfo "$name" | awk '/^Max memory/ { print $3 }') $(virsh -c "$1" dumpxml "$name" | grep -c '<hostdev')"
        done
}

# bench_vm_ms NAME COMMAND...: writes "NAME MILLISECONDS".
bench_vm_ms() {
        local start=$EPOCHREALTIME status=0

        "${@:2}" >/run/out 2>&1 || status=$?
        echo "$1 $status $start $EPOCHREALTIME" | awk '{ printf "%s %s\n", $1, $2 == 0 ? ($4 - $3) * 1000 : "nan" }'
        [ "$status" -eq 0 ] || head -n 3 /run/out >&2
}

# Inside: ten machines, of which three run; then machines that are made.
bench_vm_inside() {
        local vmctl=$1 bare=$2 key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe a' i

        mkdir -p /var/lib/libvirt/images/gpuvm
        qemu-img create -q -f qcow2 /var/cache/base.qcow2 2G
        printf '<network><name>default</name><bridge name="virbr9"/><ip address="192.0.2.1" netmask="255.255.255.0"><dhcp><range start="192.0.2.100" end="192.0.2.199"/></dhcp></ip></network>' >/run/network.xml
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default" >/dev/null
        set -- "$vmctl" create debian --quiet --image /var/cache/base.qcow2 --memory 256 --cpus 1 --disk 10 --no-gpu --ssh-key "$key"
        "$@" --name pattern
        virsh -c qemu:///system dumpxml --inactive pattern | sed '/<uuid>/d; /<gpuvm:seed/d; s/<mac address=[^>]*>//' >/run/pattern.xml
        for ((i = 0; i < 9; i++)); do
                "$vmctl" delete --yes --force --quiet pattern
                bench_vm_ms create "$@" --name pattern
                "$vmctl" delete --yes --force --quiet pattern
                qemu-img create -q -f qcow2 -b /var/cache/base.qcow2 -F qcow2 /var/lib/libvirt/images/gpuvm/pattern.qcow2 10G
                cp /run/seed.iso /var/lib/libvirt/images/gpuvm/pattern-seed.iso 2>/dev/null || truncate -s 400K /var/lib/libvirt/images/gpuvm/pattern-seed.iso
                bench_vm_ms barecreate "$bare/barecreate" /run/pattern.xml
                [ -z "$(type -P virt-install)" ] || {
                        virsh -q -c qemu:///system "destroy pattern; undefine --nvram pattern" >/dev/null
                        bench_vm_ms virtinstall virt-install --connect qemu:///system --name pattern --memory 256 --vcpus 1 --virt-type qemu --boot uefi --import \
                                --disk /var/lib/libvirt/images/gpuvm/pattern.qcow2 --network network=default --graphics none --noautoconsole --osinfo detect=off,require=off
                }
                virsh -q -c qemu:///system "destroy pattern; undefine --nvram pattern" >/dev/null
                rm -f /var/lib/libvirt/images/gpuvm/pattern*
                "$@" --name pattern
        done
        for ((i = 0; i < 9; i++)); do
                bench_vm_ms qemuimg qemu-img create -q -f qcow2 -b /var/cache/base.qcow2 -F qcow2 /run/x.qcow2 50G
        done
        for ((i = 1; i < 10; i++)); do "$@" --name "m$i"; done
        for ((i = 4; i < 10; i++)); do virsh -q -c qemu:///system destroy "m$i" >/dev/null; done
        for ((i = 0; i < 25; i++)); do
                bench_vm_ms list "$vmctl" list
                bench_vm_ms virshlist virsh list --all
                bench_vm_ms barelist "$bare/barelist" qemu:///system
        done
        for ((i = 0; i < 3; i++)); do bench_vm_ms looplist bench_vm_loop qemu:///system; done
        for i in pattern m1 m2 m3; do virsh -q -c qemu:///system destroy "$i" >/dev/null; done
}

bench_vm_median() {
        awk -v n="$1" '$1 == n { print $2 }' "$work/vm" | median
}

bench_vm_peers() {
        local flags

        mkdir -p "$work/bare"
        flags=$(pkg-config --cflags --libs libvirt)
        # shellcheck disable=SC2086 # a list of words
        for i in barelist barecreate; do cc -O2 -o "$work/bare/$i" "$top/tests/bench/$i.c" $flags; done
        # shellcheck disable=SC2046
        cc -O2 -D_GNU_SOURCE -std=gnu11 -I"$build" -I"$top/helpers/lib" -include "$build/config.h" -o "$work/bare/parts" "$top/tests/bench/parts.c" \
                "$build/helpers/libgpuvm.a" $(pkg-config --cflags --libs json-c libxml-2.0 libkmod libsystemd) -ldl
}

bench_vm() {
        local i list bare virsh create barecreate

        bench_vm_peers
        bench_vm_node 1000 >"$work/node.xml"
        row '1,000 machines of the test driver: virsh list --all' "$(wall_ms '' 10 virsh -c "test:///$work/node.xml" list --all)" ms -
        row '1,000 machines of the test driver: virsh that only opens it' "$(wall_ms '' 10 virsh -c "test:///$work/node.xml" uri)" ms -
        row '1,000 machines of the test driver: vmctl list' "$(wall_ms '' 10 "$build/helpers/vmctl" -c "test:///$work/node.xml" list)" ms 300
        row 'create: a look at this host' "$("$work/bare/parts" detect -)" ms 2 'CPUs, memory, network, gateway, DNS, GPUs'
        row 'create: the seed, written' "$("$work/bare/parts" seed "$work/seed.iso")" ms 1.5 'in memory: a disk has to flush it as well'
        # shellcheck disable=SC2016 # another shell's
        "$top/tests/helper/with-libvirtd.sh" bash -uo pipefail -c '. "$0" && bench_vm_inside "$@"' "$top/tests/bench/vm.sh" "$build/helpers/vmctl" "$work/bare" >"$work/vm"
        list=$(bench_vm_median list) bare=$(bench_vm_median barelist) virsh=$(bench_vm_median virshlist)
        row '10 machines, 4 of them run: virsh list --all' "$virsh" ms -
        row '10 machines: a bare program that opens and asks for the state of all' "$bare" ms -
        row '10 machines: vmctl list' "$list" ms "$virsh" 'as virsh, which shows less'
        row '10 machines: vmctl list, divided by the bare program' "$(ratio "$list" "$bare")" '' 1.15
        row '10 machines: vmctl list, divided by a loop over virsh' "$(ratio "$list" "$(bench_vm_median looplist)")" '' 0.025
        create=$(bench_vm_median create) barecreate=$(bench_vm_median barecreate)
        row 'create from an image: define and start in a bare program' "$barecreate" ms -
        row 'create from an image: vmctl create' "$create" ms "$(awk -v b="$barecreate" 'BEGIN { print b * 1.05 }')" '1.05 of the bare program'
        row 'create from an image: of that its own part' "$(awk -v a="$create" -v b="$barecreate" 'BEGIN { printf "%.3f\n", a - b }')" ms 30
        i=$(bench_vm_median virtinstall)
        [ -z "$i" ] || row 'create from an image: virt-install --import' "$i" ms -
        [ -z "$i" ] || row 'create from an image: vmctl, divided by virt-install' "$(ratio "$create" "$i")" '' 0.4
        row 'create: the disk, an overlay, by qemu-img' "$(bench_vm_median qemuimg)" ms -
        row 'create: the disk, an overlay' "$("$work/bare/parts" overlay "$work/x.qcow2")" ms 10 'in memory: a disk has to flush it as well'
        row 'create: the disk takes' "$(du -k "$work/x.qcow2" | awk '{ print $1 / 1024 }')" MiB 1
}
