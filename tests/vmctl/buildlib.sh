# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # disk and build_inside are for the script that sources this
# What images are really built from, under an emulating QEMU. Source it after ../lib.sh, in a script whose first argument is
# vmctl. It sources createlib.sh, and sets vmctl and work.
#
# Debian with cloud-init, as Debian's own images are (lab/image.sh). Packages come from the archive that this machine's apt uses;
# the guest finds it on the bridge, by a proxy that fetches what it is asked for.
#
# Outside: build_inputs sets disk, and makes $work/key. Inside, as functions that create_real gets ("${build_inside[@]}"): base
# puts $work/base.qcow2 into the cache; archive, with $hosts that are on the bridge as well; guest NAME COMMAND...

vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "${BASH_SOURCE[0]}")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"
mock=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../mock")
export work mock hosts=
build_inside=(archive base say guest)

build_inputs() {
        local proxy

        [ "$(id -u)" -eq 0 ] || skip_all 'needs root'
        disk=$("$(dirname "${BASH_SOURCE[0]}")/../lab/image.sh" --cloud) || skip_all 'needs what tests/lab/image.sh says'
        ssh-keygen -q -t ed25519 -N '' -C ada -f "$work/key"
        # By a socket: the namespaces have no way out of their own.
        python3 "$mock/aptproxy.py" outside "$work/proxy" 2>"$work/proxy.err" &
        proxy=$!
        at_exit kill "$proxy"
}

say() { echo "$1: ${*:2}"; }
guest() { timeout 900 env LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 "$vmctl" ssh "$@" </dev/null; }

archive() {
        mkdir -p /root/.ssh && mount -t tmpfs tmpfs /root/.ssh
        printf 'IdentityFile %s\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n' "$work/key" >/root/.ssh/config
        # shellcheck disable=SC2086 # words
        printf '%s' '<network xmlns:d="http://libvirt.org/schemas/network/dnsmasq/1.0"><name>default</name><forward mode="open"/><bridge name="virbr9"/><dns><host ip="192.0.2.1">' \
                "$(printf '<hostname>%s</hostname>' deb.debian.org security.debian.org $hosts)" \
                '</host></dns><ip address="192.0.2.1" netmask="255.255.255.0">' \
                '<dhcp><range start="192.0.2.100" end="192.0.2.199"/></dhcp></ip><d:options><d:option value="no-resolv"/></d:options></network>' >/run/network.xml
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default; net-autostart default" >/dev/null
        # The image knows the resolver of the machine that made it, and has none of its own. That is dnsmasq here, which must
        # not ask itself.
        awk '$1 == "nameserver" { print $2; exit }' /etc/resolv.conf | xargs -I {} ip address add {}/32 dev virbr9
        python3 "$mock/aptproxy.py" inside "$work/proxy" 192.0.2.1 80 2>"$work/asked" &
}

base() {
        local cache=/var/cache/gpuvm/images sum file

        mkdir -p $cache /var/lib/gpuvm/creating
        sum=$(sha256sum "$work/base.qcow2" | cut -d' ' -f1)
        file=debian-13-amd64-${sum:0:12}.qcow2
        mv "$work/base.qcow2" $cache/"$file"
        printf '{"name":"debian-13-amd64","kind":"debian","release":"13","arch":"amd64","file":"%s","format":"qcow2","schematic":"",
"url":"https://example.com/","digest":"sha256:%s","content":"","signature":"good","size":%s,"length":%s,"used":0,"pulled":1}\n' \
                "$file" "$sum" "$(qemu-img info --output=json "$cache/$file" | python3 -c 'import json, sys; print(json.load(sys.stdin)["virtual-size"])')" \
                "$(stat -c %s "$cache/$file")" >$cache/debian-13-amd64.json
}
