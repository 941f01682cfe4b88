#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two hosts from one place, by ssh, and a cluster's nodes on both, with the commands of docs/fleet.md: fleet.sh VMCTL SOURCE
#
# shellcheck disable=SC2317,SC2029,SC2016 # functions are called in the namespaces; what ssh runs there is made here

if [ "$(id -u)" -eq 0 ] && [ "${FLEET_INSIDE-}" != yes ]; then
        FLEET_INSIDE=yes exec unshare --mount --net --uts --pid --fork --mount-proc --kill-child "$0" "$@"
fi
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
[ "$(id -u)" -eq 0 ] || skip_all 'needs root'
for program in virt-ssh-helper qemu-img qemu-system-x86_64 sshd ssh ansible; do
        command -v $program >/dev/null ||
                skip_all 'needs libvirt-daemon, qemu-utils, qemu-system-x86, openssh-server, openssh-client and ansible-core'
done
vmctl=$(realpath "$1")
source=$(realpath "$2")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=fleetlib.sh
. "$(dirname "$0")/fleetlib.sh"
mock=$(realpath "$(dirname "$0")/../mock")
uri=$(sed -n 's/^#define METADATA_URI *"\(.*\)"/\1/p' "$source/helpers/lib/metadata.h")
export mock uri

# machine NAME METADATA: one that turns itself off when it is asked to, with its disk in the pool.
machine() {
        cp /run/guest.img "$pool/$1.img"
        cat >/run/vm.xml <<XML
<domain type='qemu'><name>$1</name><memory>65536</memory><metadata>$2</metadata>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$pool/$1.img'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
XML
        virsh -q -c qemu:///system define /run/vm.xml
}
# ours ADDRESS: what we have noted of a machine with a card, which is ada's.
ours() {
        echo "<gpuvm:vm xmlns:gpuvm='$uri' kind='worker'><gpuvm:user name='ada'/><gpuvm:address cidr='$1/24'/>" \
                "<gpuvm:gpu address='0000:01:00.0'/></gpuvm:vm>"
}
# What both hosts have: a bridge that is noted as the bootstrap does, a pool, a machine that is not ours.
prepare() {
        mkdir -p "$pool" /run/gpuvm/phases
        echo '{"mode":"bridged","bridge":"br0","uplink":"eth0"}' >/run/gpuvm/phases/bridge.json
        qemu-img create -q -f qcow2 /var/cache/base.qcow2 1G
        virsh -q -c qemu:///system "pool-define-as gpuvm dir --target $pool; pool-start gpuvm" >/dev/null
        python3 "$mock/bootsector.py" polite /run/guest.img
        machine other ''
}
# Its guest is behind it: nobody else knows that network.
gpu_a() {
        prepare
        ip link add inner type bridge
        ip link set inner up
        ip address add 198.51.100.1/24 dev inner
        fleet_guest worker-a 198.51.100.11 inner
        machine worker-a "$(ours 198.51.100.11)"
}
# Its guest is bridged.
gpu_b() {
        prepare
        fleet_guest worker-b 192.0.2.42 br0
        machine worker-b "$(ours 192.0.2.42)"
}
# stock: an image gpu-worker, as it would be built there.
stock() {
        local images=/var/cache/gpuvm/images

        mkdir -p $images
        qemu-img convert -O qcow2 /var/cache/base.qcow2 $images/built.qcow2
        python3 -c 'import json, os, sys
os.chdir(sys.argv[1])
json.dump(dict({k: "" for k in ("url", "schematic", "digest", "content", "signature")}, name="gpu-worker", kind="debian",
               release="13", arch=sys.argv[2], file="built.qcow2", format="qcow2", size=1 << 30,
               length=os.stat("built.qcow2").st_size, used=0, pulled=0, built=dict(recipe="", driver="580")),
          open("gpu-worker.json", "w"))' \
                $images "$(dpkg --print-architecture)"
}
export -f machine ours prepare gpu_a gpu_b
mkdir "$work"/{bin,gpu-a,gpu-b,worker-a,worker-b}
printf '#!/bin/bash\nexec env LD_PRELOAD="%s" ASAN_OPTIONS=detect_leaks=0:intercept_tls_get_addr=0 "%s" "$@"\n' \
        "$preload" "$vmctl" >"$work/bin/vmctl"
# There is no card to give on these hosts, no Talos that takes its configuration, and little memory.
cat >"$work/gpu-a/vmctl" <<END
#!/bin/bash
words=()
while [ \$# -gt 0 ]; do
        case \$1 in
        --gpu) shift ;;
        --no-gpu | --wait) ;;
        *) words+=("\$1") ;;
        esac
        shift
done
[ "\${words[0]}" != create ] || words+=(--no-gpu --memory 128 --cpus 1 --firmware bios)
[ "\${words[1]-}" != talos ] || words+=(--image /var/cache/base.qcow2)
exec "$work/bin/vmctl" "\${words[@]}"
END
printf '#!/bin/bash\necho "GPU 0: of $(hostname)"\n' >"$work/worker-a/nvidia-smi"
chmod +x "$work/bin/vmctl" "$work/gpu-a/vmctl" "$work/worker-a/nvidia-smi"
cp "$work/gpu-a/vmctl" "$work/gpu-b/"
cp "$work/worker-a/nvidia-smi" "$work/worker-b/"
fleet_begin 192.0.2.1
fleet_host gpu-a 192.0.2.3 gpu_a
fleet_host gpu-b 192.0.2.4 gpu_b
fleet_settle
cp "$source/docs/fleet-inventory.py" .
PATH=$work/bin:$PATH
: >"$work/ansible.cfg"
export LC_ALL=C.UTF-8 ANSIBLE_CONFIG=$work/ansible.cfg

# The commands of the page: lines of its examples, and those in its text.
documented=$({
        grep -E '^    [a-z-]+ ' "$source/docs/fleet.md" | cut -c5-
        grep -oE '`(ssh|scp|vmctl|talosctl|kubectl) [^`]*`' "$source/docs/fleet.md" | tr -d '`'
} | awk '!seen[$0]++')
: >"$work/ran"
# page PATTERN: the one that it matches.
page() {
        grep -E -- "$1" <<<"$documented" | tee -a "$work/ran" || true
}
# run PATTERN [WORD OTHER]...: that command as the page has it, but for such words; sets said and status.
run() {
        local command

        command=$(page "$1")
        [ "$(grep -c . <<<"$command")" -eq 1 ] || not_ok "one command of the page is $1" "$command"
        shift
        while [ $# -gt 1 ]; do
                command=${command//"$1"/$2}
                shift 2
        done
        status=0
        said=$(eval "$command" 2>&1 </dev/null) || status=$?
}
# run_well PATTERN: it works.
run_well() {
        run "$1"
        is "the page's command $1" "$status" 0
        [ "$status" -eq 0 ] || diag "$said"
}
there() { echo "qemu+ssh://root@$1/system"; }
# refused: what vmctl says to somebody at a terminal, who could be asked.
refused() {
        timeout 60 script -qec "vmctl -c $(there gpu-a) list" /dev/null </dev/null | tr -d '\r' || true
}
# remedy: the last command that was named.
remedy() { sed -n "s/.*'\(ssh[^']*\)'.*/\1/p" <<<"$1"; }
cannot="vmctl: Cannot connect to libvirt at 'qemu.ssh://root@gpu-a/system': "
without="'ssh ssh://root@gpu-a virsh list' has to work without a question"

got=$(refused)
like 'a host that is not known' "$got" "^${cannot}Host key verification failed\. $without\$"
echo "gpu-a $(cut -d' ' -f2- "$work/gpu-b.known")" >.ssh/known_hosts
got=$(refused)
forget=$(grep -o 'ssh-keygen -f [^ ]* -R [^ ]*' <<<"$got" || true)
another="That host has another key than the known one \($forget forgets that, if the host was made anew\)\. "
like 'one with another key' "$got" "^${cannot}Host key verification failed\. $another$without\$"
eval "$forget" >/dev/null 2>&1
like 'which is forgotten so' "$(refused)" "^${cannot}Host key verification failed\. $without\$"
cat "$work"/*.known >.ssh/known_hosts
mv .ssh/id_ed25519 "$work/"
ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519
rm .ssh/id_ed25519.pub
got=$(refused)
like 'a key that nobody knows there' "$got" "^${cannot}root@gpu-a: Permission denied \(publickey\)\. $without\$"
mv "$work/id_ed25519" .ssh/
check 'what is to work without a question does so now' eval "$(remedy "$got")" </dev/null
run '^ssh root@gpu-a virsh list$'
like 'as the page has it' "$status:$said" '^0:.*Id +Name'

for host in a b; do
        is "gpu-$host: its machine, and not another's" "$(vmctl -c "$(there gpu-$host)" list --quiet </dev/null)" "worker-$host"
done
run '^vmctl -c .*gpu-a/system list$'
like 'listed from here' "$status:$said" '^0:NAME.*worker-a +worker +off .*198\.51\.100\.11'
is 'by its sshd' "$(grep -c 'Accepted publickey for root' "$work/gpu-b.sshd")" 1
run '^vmctl -c .*gpu-b/system start worker-b$'
is 'one is started from here' "$status:$(grep -v running <<<"$said" || true)" '0:'
is 'the URI is what was asked for' "$(vmctl -c "$(there gpu-b)" console --dry-run worker-b </dev/null)" \
        "virsh --connect $(there gpu-b) console worker-b"
got=$(vmctl -c "$(there gpu-a)" create debian --no-gpu --memory 2048 --cpus 2 2>&1 </dev/null) && status=0 || status=$?
like 'machines are made where they run' "$status:$got" '^1:.*on the host that runs vmctl'

# Into guests: one that is bridged, and one that its host alone reaches.
is 'ssh to a guest of there' "$(vmctl -c "$(there gpu-b)" ssh worker-b hostname </dev/null)" worker-b
vmctl -c "$(there gpu-a)" start --quiet worker-a </dev/null
got=$(timeout 20 vmctl -c "$(there gpu-a)" ssh worker-a hostname 2>&1 </dev/null) && status=0 || status=$?
like 'not to one that cannot be reached' "$status:$got" '^255:.*Network is unreachable'
run '^ssh -J' ADDRESS 'ada@198.51.100.11 hostname'
is 'through its host' "$status:$said" 0:worker-a
awk '/^    Host / { inside = 1 } /^$/ { inside = 0 } inside' "$source/docs/fleet.md" >.ssh/config
is 'and always so' "$(vmctl -c "$(there gpu-a)" ssh worker-a hostname </dev/null)" worker-a

# Ansible.
eval "$(page '^export GPUVM_HOSTS')"
run '^ansible-inventory '
got=$(awk '/--@/ { group = $NF } /--[^@]/ { print group, $NF }' <<<"$said" | sed 's/|--//g' | sort | xargs -d '\n')
is 'the inventory has both' "$status:$got" \
        '0:@gpu: worker-a @gpu: worker-b @host_gpu_a: worker-a @host_gpu_b: worker-b @worker: worker-a @worker: worker-b'
run '^ansible -i '
is 'Ansible speaks to both guests' "$status:$(grep -E '^(GPU|worker)' <<<"$said" | sort | xargs -d '\n')" \
        '0:GPU 0: of worker-a GPU 0: of worker-b worker-a | CHANGED | rc=0 >> worker-b | CHANGED | rc=0 >>'
got=$(./fleet-inventory.py --list </dev/null | python3 -c 'import json, sys
for n, v in sorted(json.load(sys.stdin)["_meta"]["hostvars"].items()):
    print(n, *(f"{k}={v[k]}" for k in sorted(v)))')
is 'what it knows of each' "$got" 'worker-a ansible_host=198.51.100.11 ansible_user=ada gpuvm_gpus=1 gpuvm_host=gpu-a gpuvm_state=running
worker-b ansible_host=192.0.2.42 ansible_user=ada gpuvm_gpus=1 gpuvm_host=gpu-b gpuvm_state=running'
is 'one that is not there' "$(GPUVM_HOSTS=$(there gpu-a) ./fleet-inventory.py --host x </dev/null)" '{}'
is 'labels say on which host each is' "$(./fleet-inventory.py --labels </dev/null)" "$(page '^kubectl label')
kubectl label --overwrite node worker-b topology.kubernetes.io/zone=gpu-b gpuvm/gpus=1"
got=$(GPUVM_HOSTS="$(there gone) $GPUVM_HOSTS" ./fleet-inventory.py --list 2>&1 </dev/null) && status=0 || status=$?
like 'a host that does not answer ends it' "$status:$(tail -n 1 <<<"$got")" '^1:qemu.ssh://root@gone.*list failed'

# A worker of one Talos cluster on each, and its control plane: machine configs come by ssh, and the nodes are made there.
# Nothing boots: the disk is empty.
for host in a b; do
        vmctl -c "$(there gpu-$host)" delete --yes --force --quiet worker-$host </dev/null
done
is 'deleted from here' "$(ssh root@gpu-a "virsh -q list --all --name" </dev/null | xargs)" other
printf '%s\n' 'version: v1alpha1' machine: '  type: worker' '  token: secret-1' cluster: '  controlPlane:' \
        '    endpoint: https://192.0.2.10:6443' >gpu-worker.yaml
sed 's/: worker/: controlplane/' gpu-worker.yaml >controlplane.yaml
for command in '^chmod 600' '^scp .*gpu-a:$' '^scp .*gpu-b:$' 'create talos --name '{cp-a,worker-a,worker-b}; do
        run_well "$command"
done
# seed HOST NAME CONFIG: what is in it of the network, and whether the machine config is, to the letter.
seed() {
        ssh "root@$1" "cat $pool/$2-seed.iso" </dev/null | python3 -c 'import json, re, sys
iso = sys.stdin.buffer.read()
net = json.loads(re.search(rb"\{[^\0]*\"ethernets\"[^\0]*\}", iso).group())
for link in net.get("network", net)["ethernets"].values():
    print(link["match"]["macaddress"], *link["addresses"], link["routes"][0]["via"], open(sys.argv[1], "rb").read() in iso)' "$3"
}
mac='52:54:00:[0-9a-f:]*'
like 'the control plane on one host' "$(seed gpu-a cp-a controlplane.yaml)" "^$mac 192\.0\.2\.10/24 192\.0\.2\.1 True\$"
like 'a worker beside it' "$(seed gpu-a worker-a gpu-worker.yaml)" "^$mac 192\.0\.2\.11/24 192\.0\.2\.1 True\$"
like 'and one on the other host, of the same cluster' "$(seed gpu-b worker-b gpu-worker.yaml)" "^$mac 192\.0\.2\.12/24 192\.0\.2\.1 True\$"
for host in a b; do
        like "gpu-$host: it is seen from here, and runs" "$(vmctl -c "$(there gpu-$host)" list </dev/null)" \
                "worker-$host +talos +running .*192\.0\.2\.1[12]"
        got=$(ssh root@gpu-$host "stat -c %a $pool/worker-$host-seed.iso gpu-worker.yaml" </dev/null | xargs)
        is "gpu-$host: who has the secrets of the cluster" "$got" '600 600'
done
got=$(ssh root@gpu-a "vmctl create talos --name more --ip 192.0.2.42/24" 2>&1 </dev/null) && status=0 || status=$?
like 'an address of a guest of the other host is taken' "$status:$got" '^[^0].*192\.0\.2\.42'
got=$(./fleet-inventory.py --list </dev/null | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(*d["talos"]["hosts"], *(d["_meta"]["hostvars"][n]["ansible_host"] for n in d["talos"]["hosts"]))')
is 'the inventory has them as nodes of Talos' "$got" 'cp-a worker-a worker-b 192.0.2.10 192.0.2.11 192.0.2.12'

# Meanwhile a host goes: its cable is pulled while a command waits for a machine that does not shut down. And one that never
# says anything.
took() {
        local began=$SECONDS

        echo "$({ timeout 100 vmctl "$@" 2>&1 </dev/null || echo $?; } | xargs -d '\n') $((SECONDS - began))"
}
took -c "$(there gpu-b)" stop --timeout 90 worker-b >"$work/waits" &
waiter=$!
ip neighbor replace 192.0.2.99 lladdr 02:00:00:00:00:99 dev lan nud permanent
took -c "$(there 192.0.2.99)" list >"$work/silent" &
silent=$!
for _ in $(seq 200); do
        ! pgrep -f '^virt-ssh-helper ' >/dev/null || break
        sleep 0.1
done
check "libvirt's own helper is what ssh runs there" pgrep -f '^virt-ssh-helper '
sleep 5
ip link set gpu-b down

# Workers for Kubernetes.
ssh root@gpu-a "$(declare -f stock); stock" </dev/null
printf 'kubeadm join 192.0.2.10:6443 --token secret-2\n' | ssh root@gpu-a 'umask 077; cat >join'
vmctl -c "$(there gpu-a)" delete --yes --force --quiet worker-a </dev/null
run_well 'create worker --name worker-01$'
run_well 'create worker --name worker-a '
is 'which joins by itself' "$(ssh root@gpu-a "cat $pool/worker-a-seed.iso" </dev/null | grep -ac secret-2)" 1
like 'both are there' "$(vmctl -c "$(there gpu-a)" list </dev/null | tr -s ' ')" 'worker-01 worker running.*worker-a worker running'

wait "$waiter" "$silent"
within() { [ "${1##* }" -ge "$2" ] && [ "${1##* }" -le "$3" ]; }
like 'a host whose cable is pulled' "$(<"$work/waits")" \
        "^vmctl: Lost sight of 'worker-b': 'qemu.ssh://root@gpu-b/system' has not answered for 30 s\. Is the host up\? 1 "
check 'is given up after half a minute' within "$(<"$work/waits")" 20 75
like 'one that never answers' "$(<"$work/silent")" \
        "^vmctl: Cannot connect to libvirt at 'qemu.ssh://root@192\.0\.2\.99/system': it does not answer within 30 s\. Is the host up\? 1 "
check 'is as well' within "$(<"$work/silent")" 28 65
got=$(vmctl -c "$(there gpu-b)" list 2>&1 </dev/null) && status=0 || status=$?
like 'nor is one that is gone' "$status:$got" "^1:.*'qemu.ssh://root@gpu-b/system': .*(No route to host|it does not answer within 30 s)"
ip link set gpu-b up
like 'until it is there again' "$(vmctl -c "$(there gpu-b)" list </dev/null | tr -s ' ')" 'worker-b talos running'

is 'no command of the page is left out but those' "$(grep -vxFf "$work/ran" <<<"$documented")" "$(cat <<'END'
talosctl gen config lab https://192.0.2.10:6443 --install-disk /dev/vda
talosctl machineconfig patch worker.yaml --patch @gpu.yaml --output gpu-worker.yaml
talosctl bootstrap --nodes 192.0.2.10 --endpoints 192.0.2.10 --talosconfig talosconfig
ssh root@gpu-a vmctl image build gpu-worker
vmctl ssh
vmctl list --json
vmctl check NAME
talosctl health
kubectl describe node
END
)"
done_testing
