#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An image that is really built, proved, and made a machine of: imagebuild.sh VMCTL
#
# From Debian with cloud-init, as Debian's own images are (lab/image.sh), under an emulating QEMU. Its packages come from the
# archive that this machine's apt uses; the guest finds it on the bridge, by a proxy that fetches what it is asked for.
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

[ "$(id -u)" -eq 0 ] || skip_all 'needs root'
disk=$("$(dirname "$0")/../lab/image.sh" --cloud) || skip_all 'needs what tests/lab/image.sh says'
ssh-keygen -q -t ed25519 -N '' -C ada -f "$work/key"
qemu-img convert -O qcow2 "$disk" "$work/base.qcow2"
# The archive, by a socket: the namespaces below have no way out of their own.
python3 "$(dirname "$0")/../mock/aptproxy.py" outside "$work/proxy" 2>"$work/proxy.err" &
proxy=$!
at_exit kill "$proxy"
mock=$(realpath "$(dirname "$0")/../mock")
export work mock

real() {
        local began=$SECONDS status=0 cache=/var/cache/gpuvm/images sum file

        say() { echo "$1: ${*:2}"; }
        guest() { timeout 300 env LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 "$vmctl" ssh debian-01 "$@" </dev/null; }

        ground
        mkdir -p /root/.ssh && mount -t tmpfs tmpfs /root/.ssh
        printf 'IdentityFile %s\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n' "$work/key" >/root/.ssh/config
        printf '%s' '<network xmlns:d="http://libvirt.org/schemas/network/dnsmasq/1.0"><name>default</name><forward mode="open"/><bridge name="virbr9"/><dns><host ip="192.0.2.1"><hostname>deb.debian.org</hostname><hostname>security.debian.org</hostname></host></dns>' \
                '<ip address="192.0.2.1" netmask="255.255.255.0">' \
                '<dhcp><range start="192.0.2.100" end="192.0.2.199"/></dhcp></ip><d:options><d:option value="no-resolv"/></d:options></network>' >/run/network.xml
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default; net-autostart default" >/dev/null
        # The image knows the resolver of the machine that made it, and has none of its own. That is dnsmasq here, which must
        # not ask itself.
        awk '$1 == "nameserver" { print $2; exit }' /etc/resolv.conf | xargs -I {} ip address add {}/32 dev virbr9
        python3 "$mock/aptproxy.py" inside "$work/proxy" 192.0.2.1 80 2>"$work/asked" &
        mkdir -p $cache /var/lib/gpuvm/creating
        sum=$(sha256sum "$work/base.qcow2" | cut -d' ' -f1)
        file=debian-13-amd64-${sum:0:12}.qcow2
        mv "$work/base.qcow2" $cache/"$file"
        printf '{"name":"debian-13-amd64","kind":"debian","release":"13","arch":"amd64","file":"%s","format":"qcow2","schematic":"",
"url":"https://example.com/","digest":"sha256:%s","content":"","signature":"good","size":%s,"length":%s,"used":0,"pulled":1}\n' \
                "$file" "$sum" "$(qemu-img info --output=json "$cache/$file" | python3 -c 'import json, sys; print(json.load(sys.stdin)["virtual-size"])')" \
                "$(stat -c %s "$cache/$file")" >$cache/debian-13-amd64.json

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
        say 'a machine of it' "$(guest whoami)" "$(guest hostname)" "$(guest command -v htop)"
        say 'who it was is not known any more' "$(guest 'sudo ls /var/lib/cloud/instances | wc -l; sudo journalctl --list-boots -q | wc -l; sudo grep -rl gpuvm-jo[b] /etc /var/log' | tr '\n' ' ')"
        guest 'sudo journalctl -q -o verbose --no-pager | grep -B 40 gpuvm-jo[b] | head -n 200' >"$work/traces"
        vm delete --yes --force --quiet debian-01
}
create_real "$work" 6000
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
