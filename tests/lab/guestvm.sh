# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154,SC2016,SC2034 # stage.sh and scenario.sh set what is not set here; the machine expands the rest
#
# VMs of a machine of the lab, with guest.sh's guest in them. Source it after stage.sh.
#
#     guestvm_up NAME          a machine after its bootstrap, with that guest's disk; sets gpu, audio, both, host and log
#     guestvm_emulate          without KVM, from this boot on
#     guestvm_create NAME      a VM without a GPU
#     guestvm_wait             until the guest of the VM 'lab' is up
#     vmctl ARGUMENT...        sets status and said
#     drivers                  of the GPU's two functions, in the machine
#     says WORD                what the guest is told
#     sees, soon WANT          NVIDIA's functions that the guest of 'lab' sees; the same, as soon as it sees these
#     has NAME                 hostdevs now and at the next start, what the machine says of itself, and leases
#     data                     what the guest says of its disk

guestvm_up() {
        local guest

        export LAB_DISK_CACHE=writeback
        guest=$("$scenario_here/guest.sh")
        stage_up "$1" bootstrapped
        gpu=$stage_twin audio=${stage_twin%0}1 both="10de:22ba 10de:2684"
        log=/var/log/libvirt/qemu/lab.console
        LAB_TIMEOUT=600
        lab_put "$guest"
        stage_run "install -m 644 /root/$(basename "$guest") /var/lib/libvirt/images/guest.qcow2 && rm /root/*.qcow2"
        guestvm_emulate
        host=$(drivers)
        is "the host's driver has the GPU" "$host" "nvidia snd_hda_intel"
}
# QEMU's SVM is not made for it: Debian 12's ends at the first guest (tcg_handle_interrupt: assertion failed). A libvirt that
# has just started looks what QEMU can do with it, for a moment.
guestvm_emulate() {
        stage_wait 120 gone 'modprobe -q -r kvm_amd; test -e /sys/module/kvm_amd || echo gone'
}
guestvm_create() {
        stage_run "vmctl create debian --name $1 --image /var/lib/libvirt/images/guest.qcow2 --no-gpu --cpus 1 --memory 200 \
                --disk 10 --ssh-key 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada' \
                >/root/said 2>&1 || { cat /root/said; exit 1; }"
}
guestvm_wait() {
        stage_wait 1800 yes "grep -q 'guest: up' $log && echo yes"
}
vmctl() {
        status=0
        said=$(stage_run "vmctl $* 2>&1") || status=$?
}
drivers() {
        echo "$(stage_driver "$gpu") $(stage_driver "$audio")"
}
# QEMU looks once a second whether somebody has opened the console: what is written in less is lost.
guestvm_says='says() { exec 3<>"$(virsh -q ttyconsole lab)"; cat <&3 >/dev/null & echo "$1" >&3; }; unsays() { kill $!; exec 3>&-; }'
says() {
        stage_run "$guestvm_says; says $1; sleep 5; unsays"
}
# NVIDIA's functions that the guest's kernel sees, asked anew.
sees() {
        local word=look$RANDOM

        stage_run "$guestvm_says; says $word
                for i in \$(seq 1500); do ! grep -q 'guest: told $word' $log || break; sleep 0.2; done; unsays
                tr -d '\r' <$log | awk '/^guest: told $word\$/ { print last; told = 1 } /^guest: (told|up)/ { last = \"\" }
                        /^guest: pci/ && \$4 ~ /^10de:/ { last = last \" \" \$4 } END { if (!told) print \"(no answer)\" }' |
                        xargs -n1 | sort | xargs"
}
# The kernel of the guest looks for a card when it has time to: until it sees these, or five minutes.
soon() {
        local end=$((SECONDS + 300)) got

        while got=$(sees) && [ "$got" != "$1" ] && [ $SECONDS -lt $end ]; do sleep 2; done
        echo "$got"
}
# What machines have, now and at their next start: hostdevs, and what they say of themselves.
has() {
        stage_run "virsh -q dumpxml $1 | grep -c '<hostdev'; virsh -q dumpxml --inactive $1 | grep -c '<hostdev'
                virsh -q metadata $1 urn:gpuvm:vm:1 --config | grep -c '<gpu '; ls /run/gpuvm/vms/$1 2>/dev/null | wc -l" | xargs
}
# What the guest says of its disk; it writes anew at each start.
data() {
        stage_run "tr -d '\\r' <$log | sed -n 's/^guest: data //p' | tail -n 2 | paste -sd,"
}
