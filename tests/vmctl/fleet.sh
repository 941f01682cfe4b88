#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two hosts from one place, and a cluster's nodes on both, as docs/fleet.md has it: fleet.sh VMCTL SOURCE
#
# Each has a libvirtd of its own, in namespaces. libvirt speaks to them as by ssh (qemu+ssh, virt-ssh-helper); what it takes for
# ssh enters the host's namespaces.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
source=$2
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

[ "$(id -u)" -eq 0 ] || skip_all 'needs root'
command -v virt-ssh-helper >/dev/null || skip_all 'needs libvirt-daemon'

cat >"$work/ssh" <<'SSH'
#!/bin/bash
while [ "$1" != -- ]; do shift; done
host=$2
shift 2
exec env -u LD_PRELOAD nsenter --target "$(<"$(dirname "$0")/$host.pid")" --mount --net --pid -- sh -c "$*"
SSH
chmod +x "$work/ssh"

# On host $1: one machine of ours, with a GPU by its record, and somebody else's. It ends with the directory of the test.
inside() {
        python3 "$mock/bootsector.py" polite /run/guest.img
        chmod 666 /run/guest.img
        for name in "worker-$1" other; do
                cat >/run/vm.xml <<XML
<domain type='qemu'><name>$name</name><memory>65536</memory>
$([ "$name" = other ] || echo "<metadata><gpuvm:vm xmlns:gpuvm='$uri' kind='worker'><gpuvm:address cidr='192.0.2.1${#1}/24'/><gpuvm:gpu address='0000:01:00.0'/></gpuvm:vm></metadata>")
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/run/guest.img'/><target dev='vda' bus='virtio'/></disk></devices></domain>
XML
                virsh -q -c qemu:///system define /run/vm.xml
        done
        touch "$work/$1.up"
        while [ -e "$work/$1.up" ]; do sleep 0.2; done
}
mock=$(realpath "$(dirname "$0")/../mock")
uri=$(sed -n 's/^#define METADATA_URI *"\(.*\)"/\1/p' "$source/helpers/lib/metadata.h")
export mock uri work
export -f inside
for host in a bb; do
        "$(dirname "$0")/../helper/with-libvirtd.sh" timeout 400 bash -uc "inside $host" >"$work/$host.log" 2>&1 &
        pid=$!
        for _ in $(seq 1000); do
                if [ -e "$work/$host.up" ] || ! kill -0 $pid 2>/dev/null; then break; fi
                sleep 0.2
        done
        [ -e "$work/$host.up" ] || skip_all "no libvirtd here: $(tail -n 1 "$work/$host.log")"
        pgrep -P $pid >"$work/$host.pid"
done

GPUVM_HOSTS="qemu+ssh://a/system?command=$work/ssh qemu+ssh://bb/system?command=$work/ssh"
printf '#!/bin/bash\nexec env LD_PRELOAD="%s" ASAN_OPTIONS=detect_leaks=0:intercept_tls_get_addr=0 "%s" "$@"\n' "$preload" "$vmctl" >"$work/vmctl"
chmod +x "$work/vmctl"
export GPUVM_HOSTS VMCTL=$work/vmctl
for host in a bb; do
        is "$host: its machine, and not another's" \
                "$("$VMCTL" -c "qemu+ssh://$host/system?command=$work/ssh" list --quiet </dev/null)" "worker-$host"
done
"$VMCTL" -c "qemu+ssh://bb/system?command=$work/ssh" start worker-bb >"$work/said" 2>&1 </dev/null && status=0 || status=$?
is 'one is started from here' "$status:$(grep -v running "$work/said" || true)" '0:'
got=$("$source/docs/fleet-inventory.py" --list </dev/null | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(*(g + "=" + ",".join(v["hosts"]) for g, v in sorted(d.items()) if g != "_meta"))
for n, v in sorted(d["_meta"]["hostvars"].items()):
    print(n, *v.values())')
is 'the inventory has both' "$got" 'all=worker-a,worker-bb gpu=worker-a,worker-bb host_a=worker-a host_bb=worker-bb worker=worker-a,worker-bb
worker-a a off 1 192.0.2.11
worker-bb bb running 1 192.0.2.12'
is 'labels say which host' "$("$source/docs/fleet-inventory.py" --labels </dev/null | tail -n 1)" \
        'kubectl label --overwrite node worker-bb topology.kubernetes.io/zone=bb gpuvm/gpus=1'
is 'one that is not there' "$("$source/docs/fleet-inventory.py" --host x </dev/null)" '{}'
got=$("$VMCTL" -c "qemu+ssh://a/system?command=$work/ssh" create debian --no-gpu --memory 2048 --cpus 2 2>&1 </dev/null) && status=0 || status=$?
like 'machines are made where they run' "$status:$got" '^1:.*on the host that runs vmctl'
got=$(GPUVM_HOSTS="$GPUVM_HOSTS qemu+ssh://gone/system?command=$work/ssh" "$source/docs/fleet-inventory.py" --list 2>&1 </dev/null) && status=0 || status=$?
like 'a host that does not answer ends it' "$status:$(tail -n 1 <<<"$got")" '^1:qemu.ssh://gone.*list failed'

# A worker of one Talos cluster on each: its machine config comes by ssh, is declared there, and made there. Nothing boots: the
# disk is empty.
printf 'version: v1alpha1\nmachine:\n  type: worker\n  token: secret-1\ncluster:\n  controlPlane:\n    endpoint: https://192.0.2.10:6443\n' >"$work/worker.yaml"
# on HOST COMMAND: as ssh to it.
on() {
        "$work/ssh" -- "$@"
}
# talos HOST ADDRESS: what its seed says of the network, and whether the machine config is in it to the letter.
talos() {
        on "$1" "umask 077; cat >/run/worker.yaml" <"$work/worker.yaml"
        on "$1" "mkdir -p $pool /run/gpuvm/vms && qemu-img create -q -f qcow2 /var/cache/base.qcow2 1G && cat >/run/gpuvm/vms/talos-$1.vm" <<-END
	[Vm]
	Kind=talos
	Image=/var/cache/base.qcow2
	Cpus=1
	Memory=128
	[Gpu]
	Gpu=none
	[Network]
	Network=nodes
	Address=$2/24
	Gateway=192.0.2.1
	[Talos]
	MachineConfig=/run/worker.yaml
	END
        on "$1" "cat >/run/nodes.xml; virsh -q -c qemu:///system 'net-define /run/nodes.xml; net-start nodes'" >/dev/null \
                <<<'<network><name>nodes</name><bridge name="virbr9" stp="off"/></network>'
        on "$1" "$VMCTL apply --quiet talos-$1" </dev/null 2>&1 | grep -v 'Units do not know'
        on "$1" "cat $pool/talos-$1-seed.iso" </dev/null | python3 -c 'import json, re, sys
iso = sys.stdin.buffer.read()
net = json.loads(re.search(rb"\{[^\0]*\"ethernets\"[^\0]*\}", iso).group())
for link in net.get("network", net)["ethernets"].values():
    print(link["match"]["macaddress"], *link["addresses"], link["routes"][0]["via"], open(sys.argv[1], "rb").read() in iso)' "$work/worker.yaml"
}
mac='52:54:00:[0-9a-f:]*'
like 'a worker of Talos on one host' "$(talos a 192.0.2.21)" "^$mac 192\.0\.2\.21/24 192\.0\.2\.1 True\$"
like 'and one on the other, of the same cluster' "$(talos bb 192.0.2.22)" "^$mac 192\.0\.2\.22/24 192\.0\.2\.1 True\$"
for host in a bb; do
        like "$host: it is seen from here, and runs" "$("$VMCTL" -c "qemu+ssh://$host/system?command=$work/ssh" list </dev/null)" \
                "talos-$host +talos +running .*192\.0\.2\.2"
        is "$host: who has the secrets of the cluster" "$(on $host "stat -c %a $pool/talos-$host-seed.iso /run/worker.yaml" </dev/null | paste -sd' ')" '600 600'
done
got=$("$source/docs/fleet-inventory.py" --list </dev/null | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(*d["talos"]["hosts"], *(d["_meta"]["hostvars"][n]["ansible_host"] for n in d["talos"]["hosts"]))')
is 'the inventory has them as nodes of Talos' "$got" 'talos-a talos-bb 192.0.2.21 192.0.2.22'
is 'labels say on which host each is' "$("$source/docs/fleet-inventory.py" --labels </dev/null | grep talos)" \
        'kubectl label --overwrite node talos-a topology.kubernetes.io/zone=a gpuvm/gpus=0
kubectl label --overwrite node talos-bb topology.kubernetes.io/zone=bb gpuvm/gpus=0'
done_testing
