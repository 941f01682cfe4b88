#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An image that is really built, proved, and made a machine of: imagebuild.sh VMCTL
#
# With few packages, and no driver: that takes much longer (workerbuild.sh).
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=buildlib.sh
. "$(dirname "$0")/buildlib.sh"

build_inputs
qemu-img convert -O qcow2 "$disk" "$work/base.qcow2"

real() {
        local began=$SECONDS status=0

        ground
        archive
        base
        vm image build small --from debian-13 --size 6 --memory 768 --cpus 1 --packages htop --compress --no-verify --json >/run/json 2>/run/said || status=$?
        cp /run/said "$work/built.log"
        echo "built after $((SECONDS - began)) s" >"$work/times"
        [ "$status" -eq 0 ] || exit 1
        say 'built' "$(python3 -c 'import json
d = json.load(open("/run/json"))
b = d["built"]
print(d["size"] >> 30, b["from"], b["kernel"].endswith("amd64"), bool(b["packages"]["htop"]), b["driver"] == "")')"
        python3 -c 'import json; d = json.load(open("/run/json")); print("image", d["length"] >> 20, "MiB")' >>"$work/times"
        say 'nothing else is there' "$(find $pool /var/lib/gpuvm/creating -type f)"
        began=$SECONDS
        vm image verify small --memory 768 --cpus 1 >/run/said 2>&1 || tail -n 20 /run/said
        echo "verified after $((SECONDS - began)) s" >>"$work/times"
        say 'verified' "$(grep -c 'small boots: kernel .*amd64, without a driver' /run/said)"

        began=$SECONDS
        vm create debian --image small --memory 768 --cpus 1 --disk 10 --no-gpu --user ada \
                --ssh-key "$(<"$work/key.pub")" --wait --timeout 1500 >/run/said 2>&1 || { cat /run/said; tail -n 30 /var/log/libvirt/qemu/*.console; }
        echo "a machine of it is up after $((SECONDS - began)) s" >>"$work/times"
        say 'a machine of it' "$(guest debian-01 whoami)" "$(guest debian-01 hostname)" "$(guest debian-01 command -v htop)"
        say 'who it was is not known any more' "$(guest debian-01 'sudo ls /var/lib/cloud/instances | wc -l; sudo journalctl --list-boots -q | wc -l; sudo grep -rl gpuvm-jo[b] /etc /var/log' | tr '\n' ' ')"
        guest debian-01 'sudo journalctl -q -o verbose --no-pager | grep -B 40 gpuvm-jo[b] | head -n 200' >"$work/traces"
        vm delete --yes --force --quiet debian-01
}
create_real "$work" 6000 "${build_inside[@]}"
if [ "$status" -eq 77 ]; then
        skip_all 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
fi
[ "$status" -eq 0 ] || diag "$(grep -E 'gpuvm: |: (E|W|Err)' "$work/built.log"; tail "$work/asked" "$work/proxy.err")"
diag "$(cat "$work/times")"
[ ! -s "$work/traces" ] || diag "$(cat "$work/traces")"
is 'an image is built, proved and used' "$got" 'built: 6 debian-13-amd64 True True True
nothing else is there: 
verified: 1
a machine of it: ada debian-01 /usr/bin/htop
who it was is not known any more: 1 1 '
done_testing
