#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl create talos, from the factory to a machine that runs: createtalos.sh VMCTL
#
# The factory is mock/imageserver.py, by https with a CA of its own; libvirtd and QEMU are real.
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"
mock=$(realpath "$(dirname "$0")/../mock")
export mock

# factory BEHAVIOUR: that is how it answers from now on.
factory() {
        printf '[Image]\nTalosUrl=https://localhost:%s/%s\n' "$port" "$1" >/run/gpuvm.conf.d/image.conf
}
talos() {
        vm create talos --memory 128 --cpus 1 --no-gpu "$@"
}
# asked: what the factory has been asked since.
asked() {
        sed -E 's/[0-9a-f]{64}/ID/; s|/[a-z]+||' /run/server/log | cut -d' ' -f1,2 | tr '\n' ';'
        : >/run/server/log
}
real() {
        local port server status began cache=/var/cache/gpuvm/images id

        ground
        network
        mkdir /run/server
        mkdir -p /var/lib/gpuvm/creating
        python3 "$mock/imageserver.py" /run/server 2>/run/server.err &
        server=$!
        for _ in $(seq 1800); do
                [ ! -e /run/server/ports ] || break
                sleep 0.1
        done
        port=$(sed -n 's/^good=//p' /run/server/ports)
        mount --bind /run/server/ca.pem /etc/ssl/certs/ca-certificates.crt
        : >/run/server/log

        # What is wrong with the factory leaves nothing.
        state >/run/before
        for mode in badid flip; do
                : >/run/server/log
                factory "$mode"
                status=0
                talos >/run/said 2>&1 || status=$?
                echo "$mode: $status $(grep -o -e 'makes no sense' -e damaged /run/said)"
        done
        # Who interrupts a download that stands still does not wait for it.
        factory stall
        LD_PRELOAD=$preload "$vmctl" create talos --memory 128 --cpus 1 --no-gpu </dev/null >/run/said 2>&1 &
        for _ in $(seq 600); do
                ! grep -q raw.xz /run/server/log || break
                sleep 0.1
        done
        sleep 1
        began=$SECONDS status=0
        kill -INT $!
        wait $! || status=$?
        echo "interrupted: $status $((SECONDS - began < 10)) $(grep -o 'interrupted' /run/said) $(find $cache -name '*.raw')"
        state | diff /run/before - && echo 'nothing is left of that'
        asked >/dev/null

        factory ok
        talos >/run/said || cat /run/said
        echo "asked: $(asked)"
        python3 -c 'import json
print("schematic:", *json.load(open("/run/server/schematic"))["customization"]["systemExtensions"]["officialExtensions"])'
        id=$(printf gpuvm | sha256sum | cut -d' ' -f1)
        qemu-img info -U --output=json $pool/talos-01.qcow2 | python3 -c 'import json, sys
d = json.load(sys.stdin)
print("disk:", d["virtual-size"] >> 30, d["full-backing-filename"].replace("'"$id"'", "ID"), d["backing-filename-format"])'
        grep -A 3 waits /run/said
        vm ssh talos-01 2>&1 | grep -o 'talosctl --nodes' || true

        # The network alone is given to one without a machine config; with one both.
        printf 'version: v1alpha1 # \xc3\xa9\nmachine:\n  type: controlplane\n' >/run/machine.yaml
        talos --machine-config /run/machine.yaml --ip 203.0.113.7/32 --gateway 198.51.100.1 >/run/said || cat /run/said
        echo "a second one asks nobody: $(asked)"
        echo "and waits for nothing: $(grep -c talosctl /run/said)"
        python3 - $pool/talos-01-seed.iso $pool/talos-02-seed.iso <<-'END'
	import json, re, sys
	config = open("/run/machine.yaml", "rb").read()
	for name in sys.argv[1:]:
	    iso = open(name, "rb").read()
	    net = json.loads(re.search(rb'\{[^\0]*"ethernets"[^\0]*\}', iso).group())
	    net = net.get("network", net)["ethernets"]
	    for link in net.values():
	        print("seed:", config in iso, b"#cloud-config\n" in iso, link.get("dhcp4", False), link.get("addresses"), link.get("routes"))
	END
        echo "listed: $(vm list | awk '$2 == "talos" { print $1, $3, $NF }' | tr '\n' ' ')"
        echo "kept: $(vm image remove --yes talos-v1.13.9-amd64 2>&1 | grep -o stays)"
        vm delete --yes --force --quiet talos-01 talos-02
        state | diff /run/before - && echo 'the cache stays, and nothing else'
        find "$cache" -type f ! -name '.*' -printf '%f\n' | sort | sed "s/$id/ID/" | grep -v latest

        kill $server
}
create_real "$work" 1500 factory talos asked
if [ "$status" -eq 77 ]; then
        skip_all 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
fi
is 'from the factory to a machine that runs' "$got" "badid: 1 makes no sense
flip: 1 damaged
interrupted: 1 1 interrupted 
nothing is left of that
asked: GET /version/v1.13.9/extensions/official;POST /schematics;GET /image/ID/v1.13.9/nocloud-amd64.raw.xz;
schematic: siderolabs/qemu-guest-agent
disk: 50 /var/cache/gpuvm/images/talos-v1.13.9-amd64-ID.raw raw
It waits for its configuration at its ADDRESS:
  talosctl gen config talos-01 https://ADDRESS:6443 --install-disk /dev/vda
  talosctl apply-config --insecure --nodes ADDRESS --file controlplane.yaml
  talosctl bootstrap --nodes ADDRESS --endpoints ADDRESS --talosconfig talosconfig
talosctl --nodes
a second one asks nobody: 
and waits for nothing: 0
seed: False True True None None
seed: True False False ['203.0.113.7/32'] [{'to': '0.0.0.0/0', 'via': '198.51.100.1', 'on-link': True}]
listed: talos-01 running - talos-02 running 203.0.113.7/32 
kept: stays
the cache stays, and nothing else
talos-v1.13.9-amd64-ID.raw
talos-v1.13.9-amd64.json"
done_testing
