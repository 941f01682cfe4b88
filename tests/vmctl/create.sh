#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl create: its plans on recorded machines, and with a real libvirtd and QEMU in namespaces of their own whole, cut at
# each step, and several at once: create.sh VMCTL SOURCE

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
source=$2
work=$(mktemp -d)
at_exit rm -rf "$work"
uri=test:///default

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" -c "$uri" create "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}

run talos --dry-run --root="$source/tests/hosts/intel-one-gpu"
if [ "$status" -eq 1 ] && [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library is not installed"
fi
is 'a plan needs nothing asked for' "$status:$err" 0:
like 'with a name by kind' "$out" 'name +talos-01 +the lowest that is free'
like 'and each default with its reason' "$out" 'disk +50 GiB +standard, thin'
like 'also what only the factory knows' "$out" 'release +the newest +that the image factory has'
run talos --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --talos-version v1.13.9
like 'unless it was asked for' "$out" 'release +v1\.13\.9 +asked for'
run debian --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --user ada
like 'and who may enter' "$out" 'user +ada +asked for'
SUDO_USER=games run debian --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --json
is 'by default whoever calls' "$(python3 -c 'import json, sys; print(json.load(sys.stdin)["user"]["value"])' <<<"$out")" games
run ubuntu --dry-run --json --root="$source/tests/hosts/intel-one-gpu" --name box --memory 4G --no-gpu
is 'as JSON' "$(python3 -c 'import json, sys
p = json.load(sys.stdin)
print(p["name"]["value"], p["name"]["why"], p["memory"]["value"], p["gpu"]["value"])' <<<"$out")" 'box asked for 4096 MiB none'
run ubuntu --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu
like 'a release without support is told' "$out" 'release +25\.10 +the standard one; no support since 2026-07-09, packages come from the archive'
run debian --dry-run --json --root="$source/tests/hosts/intel-one-gpu" --no-gpu --release bookworm
is 'one with support as well' "$(python3 -c 'import json, sys
p = json.load(sys.stdin)["release"]
print(p["value"], p["why"])' <<<"$out")" '12 asked for'
run llm --dry-run --json --root="$source/tests/hosts/intel-one-gpu" --no-gpu
is 'one for language models is a server of its own release' "$(python3 -c 'import json, sys
p = json.load(sys.stdin)
print(p["name"]["value"], p["release"]["value"], p["release"]["why"])' <<<"$out")" 'llm-01 24.04 what its engines are built for'
run llm --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --engine both
like 'vLLM needs a GPU' "$status:$err" '^2:.*vLLM needs a GPU'
run talos --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --packages vim
like 'Talos takes no packages' "$status:$err" '^2:.*--packages is for machines of the kind ubuntu, debian, llm or worker'
run debian --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --user-data /dev/null --firewall 80
like 'nor does user-data that is given' "$status:$err" '^2:.*--firewall .*--user-data is in its place'
for words in 'talos --release 24.04' 'talos --user-data /dev/null' 'talos --ssh-key /dev/null' 'ubuntu --machine-config /dev/null' 'debian --server' \
        'debian --talos-version v1.13.9' 'worker --release 13' 'llm --user-data /dev/null' 'debian --join /dev/null'; do
        # shellcheck disable=SC2086 # words
        run $words --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu
        option=${words#* } option=${option%% *}
        like "$words: not ignored" "$status:$err" "^2:vmctl: $option is for machines of the kind [a-z, ]+$"
done
for words in 'talos --talos-version abc' 'talos --schematic xyz' 'debian --user root' 'ubuntu --release 99' 'llm --cuda-toolkit 12.4'; do
        # shellcheck disable=SC2086 # words
        run $words --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu
        option=${words#* } option=${option%% *}
        like "$words: refused" "$status:$err" "^2:vmctl: '${words##* }' is .* $option"
done
run debian --dry-run --root="$source/tests/hosts/intel-one-gpu" --no-gpu --firewall '80 53/udp x'
like 'a word in a list' "$status:$err" "^2:.*'x' is no port .* for --firewall"

# A store of models: what the host has to have for it. Before 11.0 libvirt cannot keep it read-only, a mount can.
cp -a "$source/tests/hosts/intel-one-gpu" "$work/host"
store=(llm --dry-run --root="$work/host" --no-gpu --model-store /srv/models)
run "${store[@]}"
like 'a store of models that is not there' "$status:$err" "^1:.*--model-store: cannot open the directory '/srv/models'"
mkdir -p "$work/host/srv/models" "$work/host/usr/libexec"
run "${store[@]}"
like 'a host without virtiofsd' "$status:$err" "^1:.*--model-store: virtiofsd is not installed. 'sudo apt install virtiofsd'"
touch "$work/host/usr/libexec/virtiofsd"
run "${store[@]}"
if [ "$(virsh --version 2>/dev/null | cut -d. -f1)" -ge 11 ]; then
        is 'libvirt keeps it read-only' "$status:$err" 0:
else
        like 'a libvirt that cannot keep it read-only' "$status:$err" "^1:.*cannot share '/srv/models' read-only, 11.0 can. .*mount -m -o bind,ro /srv/models"
fi
# shellcheck disable=SC2016 # for the other shell
is 'a directory that is read-only itself' "$(unshare -m sh -c 'mount --bind -o ro "$1" "$1" && shift && "$@" 2>&1 >/dev/null; echo $?' sh \
        "$work/host/srv/models" "$vmctl" -c "$uri" create "${store[@]}")" 0
run debian --dry-run --root="$work/host" --no-gpu --model-store /srv/models
like 'of machines for language models alone' "$status:$err" '^2:.*--model-store is for machines of the kind llm'

run windows
like 'a kind that is none' "$status:$err" "^2:.*'windows'"
run talos --dry-run --memory lots
like 'a size that is none' "$status:$err" "^2:.*--memory"
for words in '--memory lots' '--cpus 0' '--hugepages 3M' '--firmware coreboot' '--rom maybe' '--rom off --no-gpu' '--rom on --gpu 2' '--release 7' '--timeout soon' '--ip 192.0.2.700' $'--description a\001b'; do
        # shellcheck disable=SC2086 # words
        "$vmctl" -c qemu+unix:///system?socket=/nonexistent create debian $words 2>"$work/err" && status=0 || status=$?
        like "$words: refused before libvirt is asked" "$status:$(<"$work/err")" "^2:.*(${words%% *}|'${words##* }')"
done
uri='qemu+unix:///system?socket=/nonexistent' run talos --dry-run
like 'a plan needs no libvirt' "$status:$out:$err" '^0:.*name +talos-01.*knows nothing of other machines'
run talos --dry-run --root="$source/tests/hosts/intel-one-gpu" --cpus 1 --pin
like 'a host that says nothing of its CPUs pins none' "$status:$err" '^1:.*0 CPUs are free to be pinned'
run talos --dry-run --rom off
like 'and what is for a card is refused without any' "$status:$err" '^1:.*--rom is for a card, and none can be had'
run talos --dry-run --name test
like 'a name that is taken' "$status:$err" "^4:.*'test' already"
run talos
like 'elsewhere than on the host itself it is refused' "$status:$err" '^1:.*--dry-run works elsewhere'

# GPUs: two cards in one IOMMU group go together, or stay.
host=$work/twins
cp -r "$source/tests/hosts/amd-two-twins" "$host"
printf 'MemTotal: 67108864 kB\nMemAvailable: 66000000 kB\n' >"$host/proc/meminfo"
printf '[Gpu]\nAcceptSiblings=0000:01:00.0\n' >"$host/etc/gpuvm.conf"
# machines XML...: of the test driver's, all off.
machines() {
        uri=test:///$work/node.xml
        echo "<node>$*</node>" >"$work/node.xml"
}
# theirs BUS FUNCTION [STATE]: 1 runs, 5 is off.
theirs() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>theirs</name><memory>65536</memory><os><type>hvm</type></os><devices>
<hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0" bus="%s" slot="0" function="%s"/></source></hostdev></devices><test:runstate>%s</test:runstate></domain>' "$1" "$2" "${3-5}"
}
# gpu ARGUMENT...: sets out to what is chosen, and why; or status and err.
gpu() {
        run debian --dry-run --json --root "$host" --name new --memory 2G "$@"
        [ "$status" -ne 0 ] || out=$(python3 -c 'import json, sys; g = json.load(sys.stdin)["gpu"]; print(g["value"] + ":", g["why"])' <<<"$out")
}
gpu
is 'each in a group of its own: one' "$out" '0000:01:00.0: the first that is free'
# Of 66,000,000 KiB.
mkdir -p "$host/var/lib/gpuvm/creating"
echo 'memory 33000000' | tee "$host/var/lib/gpuvm/creating/one" >"$host/var/lib/gpuvm/creating/two"
gpu
like 'memory that others in the making are going to pin is not free' "$status:$err" '^1:.*2048 MiB of memory are not free: .*, and 0 MiB are available'
rm "$host/var/lib/gpuvm/creating/two"
gpu
is 'what is left of it is' "$out" '0000:01:00.0: the first that is free'
rm -r "$host/var/lib/gpuvm"
machines "$(theirs 1 1)"
gpu
is 'who has its audio has the card, also while he is off' "$out" '0000:21:00.0: the first that is free'
gpu --gpu 0000:01:00.0
like 'nobody else gets it' "$status:$err" "^4:.*GPU 0000:01:00\.0 belongs to machine 'theirs'"
mkdir -p "$host/sys/bus/pci/devices/0000:21:00.0/drm/card1" "$host/proc/812/fd"
echo 1:5 >"$host/sys/bus/pci/devices/0000:21:00.0/drm/card1/dev"
ln -s /dev/zero "$host/proc/812/fd/7"
echo Xorg >"$host/proc/812/comm"
echo 0::/system.slice/gdm.service >"$host/proc/812/cgroup"
: >"$host/proc/812/maps"
gpu
is 'one that somebody uses is no default' "$out" 'none: none is free'
run debian --dry-run --root "$host" --name new --memory 2G
like 'and he is named' "$out" 'GPU 0000:21:00\.0 is not free: Xorg \(pid 812, uid [0-9]+, gdm\.service\) has drm/card1 open'
gpu --gpu 0000:21:00.0
like 'nor does it go when it is asked for' "$status:$err" '^4:.*GPU 0000:21:00\.0 is in use: Xorg \(pid 812'
rm -r "$host/proc/812"
machines
for function in 0 1; do
        ln -sfn ../../../../kernel/iommu_groups/15 "$(readlink -f "$host/sys/bus/pci/devices/0000:21:00.$function")/iommu_group"
        mv "$host/sys/kernel/iommu_groups/20/devices/0000:21:00.$function" "$host/sys/kernel/iommu_groups/15/devices/"
done
gpu
is 'both in one group: both' "$out" '0000:01:00.0 0000:21:00.0: the first that are free, of one IOMMU group'
gpu --gpu 0000:21:00.0
is 'also when one is asked for' "$out" '0000:01:00.0 0000:21:00.0: asked for, with all of the IOMMU group'
machines "$(theirs 1 1 1)"
gpu
is 'what a machine has of the group it has whole' "$out" 'none: none is free'
gpu --gpu 0000:21:00.0
like 'so the other one stays as well' "$status:$err" "^4:.*GPU 0000:21:00\.0 goes with all of its IOMMU group \(0000:01:00\.0, 0000:01:00\.1, 0000:21:00\.0, 0000:21:00\.1\), or not at all: GPU 0000:01:00\.0 belongs to machine 'theirs'"
rm "$host/etc/gpuvm.conf"
machines
gpu --gpu 0000:21:00.0
like 'what the host needs keeps the whole group' "$status:$err" '^4:.*GPU 0000:(01|21):00\.0 cannot go to a machine: .*0000:01:00\.0, the only console'
rm "$host/sys/kernel/iommu_groups/15/devices/"*
rm "$host"/sys/devices/pci*/*/0000:{01,21}:00.*/iommu_group
gpu --gpu 0000:21:00.0
like 'nothing goes without an IOMMU' "$status:$err" '^4:.*GPU 0000:21:00\.0 cannot go to a machine: it has no IOMMU group'

# CPUs that a machine in the making has chosen are its own already.
mkdir -p "$host/sys/devices/system/cpu" "$host/sys/devices/system/node/node0" "$host/var/lib/gpuvm/creating"
echo 0-7 >"$host/sys/devices/system/cpu/online"
echo 0-7 >"$host/sys/devices/system/node/node0/cpulist"
echo 0 >"$host/sys/devices/system/node/online"
pinned() {
        run debian --dry-run --json --root "$host" --name new --memory 2G --no-gpu --pin --cpus 2
        out=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["pinned"]["value"])' <<<"$out")
}
pinned
is 'CPUs of its own' "$out" 1,2
echo 'cpus 1,2' >"$host/var/lib/gpuvm/creating/other"
pinned
is 'are none of a machine in the making' "$out" 3,4
rm "$host/var/lib/gpuvm/creating/other"
uri=test:///default

mac() {
        virsh -q -c qemu:///system domiflist "$1" | awk '{ print $5 }'
}
# The real one. Prints a line for each thing that is compared.
real() {
        local status

        ground
        ! make >/run/none 2>&1 || echo 'made without a network'
        grep -o "'default' is not there" /run/none
        network
        state >/run/before

        make --user ada --ip 192.0.2.7/24 --gateway 192.0.2.1 >/run/said
        echo "first: $(vm list | awk '$1 == "debian-01" { print $2, $3, $4, $NF }')"
        echo "mode: $(stat -c %a $pool/debian-01.qcow2 $pool/debian-01-seed.iso | tr '\n' ' ')"
        qemu-img info -U --output=json $pool/debian-01.qcow2 | python3 -c 'import json, sys
d = json.load(sys.stdin)
print("disk:", d["virtual-size"] >> 30, d["backing-filename"], d["backing-filename-format"], d["actual-size"] < 1 << 20)'
        echo "seed: $(strings -n 4 $pool/debian-01-seed.iso | grep -c -e '"name":"ada"' -e '192.0.2.7/24')"
        echo "ssh: $(vm ssh --dry-run debian-01)"
        status=0
        make --ip 192.0.2.7/24 >/run/second 2>&1 || status=$?
        echo "taken: $status $(grep -o 'belongs to another' /run/second)"
        vm delete --yes --force --quiet debian-01
        state | diff /run/before - && echo 'delete removes what create made'

        # Who answers on the guest's address is nobody it knows.
        ip route add local 192.0.2.9/32 dev lo
        python3 -m http.server 22 >/dev/null 2>&1 &
        make --wait --timeout 3 --ip 192.0.2.9/24 --gateway 192.0.2.1 >/dev/null 2>/run/waited || cat /run/waited
        echo "waited: $(virsh -q -c qemu:///system domblklist debian-01 | awk '$1 == "sda" { print $2 }') $(ls $pool)"
        vm info debian-01 | sed -n 's/^Checked *\(.*\) at [^ ]*: /verdict: \1, /p'
        virsh -q -c qemu:///system dumpxml --inactive debian-01 | grep verdict && echo 'the definition has it as well'
        kill %1
        status=0
        make --name late --wait --timeout 1 >/dev/null 2>/run/late || status=$?
        echo "late: $status $(grep -o 'is not ready after [0-9]* s: it runs; it has no agent' /run/late | sed 's/[0-9][0-9]*/N/') $(vm list | awk '$1 == "late" { print $3, $4, $5 }')"
        vm delete --yes --force --quiet debian-01 late
        state | diff /run/before - && echo 'and those are removed as well'

        # What is held is held while it is made, and not while its guest is waited for.
        mkdir -p /var/cache/gpuvm/images
        qemu-img convert -O qcow2 /var/cache/base.qcow2 /var/cache/gpuvm/images/kept.qcow2
        (cd /var/cache/gpuvm/images && python3 -c 'import json, os, sys
name = "debian-13-" + sys.argv[1]
json.dump(dict({k: "" for k in ("url", "schematic", "digest", "content", "signature")}, name=name, kind="debian", release="13", arch=sys.argv[1],
               file="kept.qcow2", format="qcow2", size=1 << 30, length=os.stat("kept.qcow2").st_size, used=0, pulled=0),
          open(name + ".json", "w"))' "$(dpkg --print-architecture)")
        env LD_PRELOAD="$preload" "$vmctl" create debian --memory 128 --cpus 1 --no-gpu --ssh-key "$key" --name held --wait --timeout 300 \
                </dev/null >/run/held 2>&1 &
        for _ in $(seq 600); do
                [ "$(virsh -q -c qemu:///system domstate held 2>/dev/null)" != running ] || [ -e /var/lib/gpuvm/creating/held ] || break
                sleep 0.1
        done
        echo "who waits holds nothing: $(flock -n -x /var/cache/gpuvm/images/kept.qcow2 echo free) $(jobs -r | wc -l)"
        kill %% && wait %%
        grep -q "Interrupted; 'held' goes on" /run/held || cat /run/held
        vm delete --yes --force --quiet held
        # What the kernel has just spoken with, and what libvirt has leased, is known by the MAC.
        make --name near >/dev/null
        ip neigh replace 192.0.2.60 lladdr "$(mac near)" dev virbr9 nud permanent
        printf '%s' '<network><name>leased</name><bridge name="virbr8" stp="off"/><ip address="198.51.100.1" netmask="255.255.255.0">' \
                '<dhcp><range start="198.51.100.9" end="198.51.100.99"/></dhcp></ip></network>' >/run/leased.xml
        virsh -q -c qemu:///system "net-define /run/leased.xml; net-start leased" >/dev/null
        make --name far --network leased --mac 52:54:00:AB:CD:EF >/dev/null
        printf '[{"ip-address":"198.51.100.57","mac-address":"%s","expiry-time":9999999999}]' "$(mac far)" >/var/lib/libvirt/dnsmasq/virbr8.status
        echo "addresses: $(vm list | awk '$1 ~ /near|far/ { print $1, $NF }' | tr '\n' ' ')"
        vm list --json | python3 -c 'import json, sys
print("with sources:", *(a["source"] for v in json.load(sys.stdin) for a in v["addresses"]))'
        kill -STOP "$(</run/libvirt/qemu/near.pid)"
        echo "one hangs: $(timeout 20 env LD_PRELOAD="$preload" "$vmctl" list | awk '$1 ~ /near|far/ { print $1, $3, $4 }' | tr '\n' ' ')"
        kill -CONT "$(</run/libvirt/qemu/near.pid)"
        status=0
        make --name again --mac 52:54:00:ab:CD:EF >/dev/null 2>/run/again || status=$?
        echo "a MAC is one in any case: $status $(grep -o 'belongs to another machine' /run/again)"
        vm delete --yes --force --quiet near far
        virsh -q -c qemu:///system "net-destroy leased; net-undefine leased" >/dev/null

        flock /run/gpuvm/vm.lock sleep 100 &
        until ! flock -n /run/gpuvm/vm.lock true; do
                sleep 0.1
        done
        status=0
        timeout -s INT 10 env LD_PRELOAD="$preload" "$vmctl" create debian "${standard[@]}" >/dev/null 2>/run/waits || status=$?
        echo "who waits can be stopped: $status $(grep -o "Interrupted while another.*" /run/waits)"
        kill %% && wait %% 2>/dev/null

        ! make --image /var/cache/bad.qcow2 >/dev/null 2>&1 || echo 'made of a missing image'
        qemu-img create -q -f qcow2 -b /var/cache/base.qcow2 -F qcow2 /var/cache/bad.qcow2
        make --quiet --image /var/cache/bad.qcow2 2>&1 | grep -o 'names a backing file'
        state | diff /run/before - && echo 'nothing is left of what failed'
}
create_real "$work" 900 mac
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
        done_testing
        exit
fi

is 'a real libvirtd makes it whole, or not at all' "$got" "'default' is not there
first: debian running 1 192.0.2.7/24
mode: 600 600 
disk: 50 /var/cache/base.qcow2 qcow2 True
seed: 2
ssh: ssh -lada -- 192.0.2.7
taken: 4 belongs to another
delete removes what create made
waited: - debian-01.qcow2
verdict: warn, runs and its ssh answers; it has no agent that answers: Guest agent is not responding: QEMU guest agent is not connected
late: 1 is not ready after N s: it runs; it has no agent running, not well
and those are removed as well
who waits holds nothing: free 1
addresses: far 198.51.100.57/24 near 192.0.2.60 
with sources: lease arp
one hangs: far running 1 near running 1 
a MAC is one in any case: 4 belongs to another machine
who waits can be stopped: 124 Interrupted while another 'vmctl create' was at work; nothing was made
names a backing file
nothing is left of what failed"
done_testing
