#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl check on every recorded machine, and on broken ones: check.sh VMCTL SOURCE
#
# What is expected of tests/hosts/NAME is in tests/vmctl/check/NAME. After a change that is meant, run this with
# GPUVM_UPDATE_GOLDEN=1, and read the diff before it is committed.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1
hosts=$2/tests/hosts
golden=$2/tests/vmctl/check
work=$(mktemp -d)
chmod 755 "$work"
at_exit rm -rf "$work"
unset GPUVM_ROOT GPUVM_LIBVIRT_URI GPUVM_CUDA GPUVM_NVML

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}

# result CHECK: its worst in the JSON of $out.
result() {
        python3 -c 'import json, sys
levels = ["none", "skip", "ok", "warn", "fail"]
found = [levels.index(c["result"]) for c in json.load(sys.stdin)["checks"] if c["check"] == sys.argv[1]]
print(levels[max(found, default=0)])' "$1" <<<"$out"
}

# As vmctl(1) has it: members and their types, and what goes with what.
cat >"$work/schema.py" <<'END'
import json, sys
d = json.load(sys.stdin)
assert set(d) == {"version", "result", "vm_capable", "vm_gpus", "root", "checks"}, set(d)
assert d["version"] == 1 and type(d["vm_capable"]) is bool and type(d["root"]) is bool
assert all(type(g) is str for g in d["vm_gpus"])
worst = "ok"
for c in d["checks"]:
    assert set(c) == {"check", "result", "object", "text", "remedy", "fix", "phase", "because"}, set(c)
    assert type(c["check"]) is str and type(c["text"]) is str and c["text"]
    assert all(c[k] is None or type(c[k]) is str for k in ("object", "remedy", "fix", "phase", "because"))
    assert c["result"] in ("ok", "skip", "warn", "fail")
    assert c["because"] is None or c["result"] == "skip"
    assert c["phase"] is None or c["fix"] == f"sudo systemctl start gpuvm-{c['phase']}.service"
    if c["because"]:
        assert any(o["check"] == c["because"] and o["result"] == "fail" for o in d["checks"]), c
    if c["result"] in ("warn", "fail") and worst != "fail":
        worst = c["result"]
assert d["result"] == worst
assert not d["vm_capable"] or d["vm_gpus"]
sys.exit({"ok": 0, "fail": 1, "warn": 2}[worst])
END

# schema WANTED-STATUS NAME
schema() {
        local got=0

        python3 "$work/schema.py" <<<"$out" 2>"$work/why" || got=$?
        is "$2" "$got $(<"$work/why")" "$1 "
}

# unnamed TEXT: without what a bundle changes: interfaces that are named by their MAC address, and what a phase failed of.
unnamed() {
        printf '%s\n' "$1" | sed 's/enx[0-9a-f]*/enx/g; s/user alice; .*SECRETPATH[^"]*/user/; s/user user; [^"]*/user/'
}

listing() {
        find "$1" -printf '%P %y %m %s %T@ %l\n' | sort
}

# --- each machine
n=0
for tree in "$hosts"/*/; do
        name=$(basename "$tree")
        n=$((n + 1))
        listing "$tree" >"$work/before"
        run check --root "$tree"
        printf '%s\nexit status %s\n%s' "$out" "$status" "$err" >"$work/got"
        [ -z "${GPUVM_UPDATE_GOLDEN-}" ] || cp "$work/got" "$golden/$name"
        check "$name: the verdict" diff "$golden/$name" "$work/got"
        run check --root "$tree" --json
        schema "$status" "$name: JSON is as documented, and says what the exit status says"
        listing "$tree" >"$work/after"
        check "$name: nothing is changed" diff "$work/before" "$work/after"
        # what somebody else gets of it
        run check --root "$tree" --json
        wanted=$out
        "$vmctl" check --root "$tree" --bundle "$work/$name.tgz" --quiet >/dev/null 2>&1 || true
        run check --root "$work/$name.tgz" --json
        is "$name: the bundle says the same" "$out" "$wanted"
done
for tree in "$hosts"/*/; do
        is "$(basename "$tree"): the bundle's mode" "$(stat -c %a "$work/$(basename "$tree").tgz")" 600
done
check 'there are ten machines' test "$n" -ge 10
run doctor --root "$hosts/intel-one-gpu" --quiet
like 'the doctor says the same, in short' "$status $out" $'^1 fail  bootstrap .*\nwarn  vfio '
check_fails 'and nothing of what is well' 1 grep -q '^ok\|^skip\|Not fit' <<<"$out"

# --- this machine, whatever it is
run check --json
schema "$status" 'this machine'
is 'it was asked by whom it was' "$(grep -c '"root": *true' <<<"$out")" "$([ "$(id -u)" -ne 0 ] && echo 0 || echo 1)"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
        status=0
        out=$(setpriv --reuid=65534 --regid=65534 --clear-groups "$vmctl" check --json 2>"$work/err") || status=$?
        schema "$status" 'anybody may look'
        like 'and is told what could not be seen' "$out" '"root": *false'
        out=$(setpriv --reuid=65534 --regid=65534 --clear-groups "$vmctl" check 2>"$work/err") || true
        like 'in words' "$out" 'not asked as root, who sees more'
        check_fails 'but only root may put it right' 5 setpriv --reuid=65534 --regid=65534 --clear-groups "$vmctl" check --fix --yes
else
        skip 'anybody may look' 'needs root'
        skip 'and is told what could not be seen' 'needs root'
        skip 'in words' 'needs root'
        skip 'but only root may put it right' 'needs root'
fi

# --- a libvirt that takes the connection and says nothing
cp -r "$hosts/intel-one-gpu" "$work/host"
mkdir -p "$work/host/usr/bin" "$work/host/usr/share/OVMF"
touch "$work/host/usr/bin/qemu-system-x86_64" "$work/host/usr/share/OVMF/OVMF_CODE_4M.fd"
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(60)' "$work/silent" &
silent=$!
at_exit kill "$silent"
for ((i = 0; i < 100; i++)); do [ ! -e "$work/silent" ] || break; sleep 0.1; done
began=$(date +%s)
# AddressSanitizer wraps the xdr functions that libvirt takes from libtirpc, but finds only those loaded before it.
asan=$(ldd "$vmctl" | sed -n 's/.*=> \(.*libasan[^ ]*\) .*/\1/p')
preload=${asan:+$asan libtirpc.so.3}
! nm -D "$vmctl" 2>/dev/null | grep -q __asan_init || preload=${preload:-libtirpc.so.3}
export GPUVM_LIBVIRT_URI="qemu+unix:///system?socket=$work/silent"
LD_PRELOAD="$preload" run check --root "$work/host" --json
unset GPUVM_LIBVIRT_URI
took=$(($(date +%s) - began))
if [[ $out == *'is not installed'* ]]; then
        skip 'a libvirt that hangs is a failure' "libvirt's library is not installed"
else
        is 'a libvirt that hangs is a failure' "$(result libvirt) $(grep -c 'does not answer' <<<"$out")" 'fail 1'
fi
check "not ours: it took $took s" test "$took" -le 20

# --- putting right
run check --root "$work/host" --fix --dry-run
like 'what would be started is told' "$err" 'gpuvm-nvidia\.service would be started.*gpuvm-kvm\.service would be started'
run check --root "$work/host" --fix --yes
like 'a record is not put right' "$status:$err" '^1:.*A record cannot be put right'

# --- a bundle has what is needed, and nothing that tells who it is
rm -rf "$work/host"
cp -a "$hosts/intel-one-gpu" "$work/host"
host=$work/host
net=$host/sys/devices/pci0000:00/0000:00:1c.0/0000:03:00.0/net
mkdir -p "$host"/etc/{apt/sources.list.d,driverctl.d,modprobe.d,ssh,gpuvm.conf.d} "$host"/boot/grub "$host"/run/gpuvm/{phases,reboot.d} \
        "$host"/var/lib/{dkms,gpuvm,dbus} "$host"/sys/class/dmi/id "$host/sys/fs/btrfs/5a5a5a5a-1111-2222-3333-444455556666/devices" "$host"/root/.ssh
echo tank-7.lab.example.com >"$host/etc/hostname"
echo 5e1a1ab0c0ffee00112233445566778 >"$host/etc/machine-id"
echo SERIAL-4711 | tee "$host"/sys/class/dmi/id/{product_serial,board_serial,chassis_serial,product_uuid} >"$host/sys/devices/pci0000:00/0000:02:00.0-serial" || true
echo 'BOOT_IMAGE=/vmlinuz root=UUID=3ab1cd5e-0123-4567-89ab-0123456789ab ip=198.51.100.7::198.51.100.1 intel_iommu=on cloud.token=TOPSECRET hostname=tank-7 rd.luks.key=/SECRETKEY quiet' >"$host/proc/cmdline"
printf '[Gpu]\nAcceptSiblings=0000:01:00.0\n# call alice at 555-0100, TOPSECRET\n[Network]\nSubnet=198.51.100.0/24\n[Image]\nUbuntuUrl=https://alice:TOPSECRET@mirror.tank.example.com\n[Nobody]\nPassword=TOPSECRET\n' >"$host/etc/gpuvm.conf"
printf '[Bootstrap]\nUser=alice\n' >"$host/etc/gpuvm.conf.d/10-user.conf"
echo 'deb https://alice:TOPSECRET@private.tank.example.com/SECRETPATH/debian bookworm main' >"$host/etc/apt/sources.list"
printf 'deb http://deb.debian.org/debian bookworm main # TOPSECRET\n' | sed 's/ # .*//' >"$host/etc/apt/sources.list.d/debian.list"
printf 'set superusers="alice"\npassword_pbkdf2 alice grub.pbkdf2.TOPSECRET\nmenuentry x { linux /vmlinuz root=UUID=3ab1cd5e-0123-4567-89ab-0123456789ab }\n\tlinux\t/vmlinuz a.b="one TOPSECRET" systemd.set_credential=x:TOPSECRET intel_iommu=on ds=nocloud;h=tank-7\n' >"$host/boot/grub/grub.cfg"
printf 'options secretmodule key=TOPSECRET\noptions vfio-pci ids=10de:ffff\n' >"$host/etc/modprobe.d/local.conf"
echo '{"phase": "bridge", "mode": "bridged", "bridge": "br0", "reason": "gateway 198.51.100.1 is 52:54:00:ab:cd:ef, tank-7 asked"}' >"$host/run/gpuvm/phases/bridge.json"
printf 'root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$host/etc/passwd"
echo '{"phase": "kvm", "result": "failed", "changes": [{"action": "join", "object": "libvirt", "detail": "user BERTA"}], "notes": ["mirror of BERTA"],
"failure": "Failed to add user alice; /dev/disk/by-id/ata-SECRETSERIAL-part1 from https://private.tank.example.com/SECRETPATH/x"}' >"$host/run/gpuvm/phases/kvm.json"
{ head -c 300 /dev/zero; echo 'tank-7 Secure Boot Module Signature key'; head -c 300 /dev/zero; } >"$host/var/lib/dkms/mok.pub"
{ printf '\006\000\000\000CN=tank-7'; cat "$host/var/lib/dkms/mok.pub"; } >"$host/sys/firmware/efi/efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"
mv "$net/enp3s0" "$net/enx525400abcdef"
ln -sfn ../../devices/pci0000:00/0000:00:1c.0/0000:03:00.0/net/enx525400abcdef "$host/sys/class/net/enx525400abcdef"
rm "$host/sys/class/net/enp3s0"
printf 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nenx525400abcdef\t00000000\t0164336\t0003\t0\t0\t0\t00000000\nenx525400abcdef\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\n' >"$host/proc/self/net/route"
printf '1 0 259:1 / / rw - btrfs /dev/mapper/tank--7--vg-root rw,subvol=/SECRETVOL\n2 1 0:77 / /home/alice/SECRETMOUNT rw - nfs4 nas.tank.example.com:/export rw,addr=198.51.100.9\n' >"$host/proc/self/mountinfo"
echo 'PRIVATE KEY TOPSECRET' | tee "$host/root/.ssh/id_ed25519" "$host/etc/ssh/ssh_host_ed25519_key" >"$host/etc/shadow"
printf 'processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t: fpu vmx\naddress sizes\t: 46 bits physical\nserial: SERIAL-4711\n' >"$host/proc/cpuinfo"
echo 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Release Build  (alice@tank-7)' >"$host/proc/version-of-driver"
mkdir -p "$host/proc/driver/nvidia" && mv "$host/proc/version-of-driver" "$host/proc/driver/nvidia/version"
cp "$hosts/../fuzz/corpus/evidence/ok-all" "$host/run/gpuvm/evidence.json"
run check --root "$host" --bundle "$work/b.tgz" --json
wanted=$out
like 'where it is, and that one should look into it' "$err" "Written to '$work/b.tgz'.*tar -tf"
check_fails 'replayed, it is no different' 1 grep -q 'looks different' <<<"$err"
run check --root "$work/b.tgz" --json
is 'the same verdict there' "$(unnamed "$out")" "$(unnamed "$wanted")"
mkdir "$work/spread"
tar -xzf "$work/b.tgz" -C "$work/spread"
run check --root "$work/spread" --json
is 'and of its directory' "$(unnamed "$out")" "$(unnamed "$wanted")"
for word in SERIAL-4711 TOPSECRET SECRET alice tank 'PRIVATE KEY' 198.51.100 C6336401 0164336 3ab1cd5e 52:54:00:ab:cd:ef 525400abcdef \
        5e1a1ab0c0ffee 5a5a5a5a-1111 mirror nas private 555-0100 BERTA; do
        is "no '$word' in it" "$(grep -rilaF -- "$word" "$work/spread" || true)$(find "$work/spread" -iname "*$word*" -o -lname "*$word*")" ''
done
like 'what counts is there' "$(cat "$work/spread/proc/cmdline" "$work/spread/etc/gpuvm.conf" "$work/spread/etc/apt/sources.list.d/debian.list" "$work/spread/etc/modprobe.d/local.conf")" \
        'intel_iommu=on.*AcceptSiblings=0000:01:00\.0.*deb http://deb\.debian\.org/debian bookworm main.*ids=10de:ffff'
is 'nothing but files, directories and links' "$(find "$work/spread" ! -type f ! -type d ! -type l)" ''
sleep 1
"$vmctl" check --root "$host" --bundle "$work/c.tgz" --quiet >/dev/null 2>&1 || true
check 'the same host is the same bundle' cmp "$work/b.tgz" "$work/c.tgz"
run check --root "$host" --bundle "$work/nowhere/b.tgz"
like 'where nothing can be written' "$status:$err" "Cannot write '$work/nowhere/b.tgz'"
check 'nothing is left' test ! -e "$work/nowhere"
is 'nor where bundles are unpacked' "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'gpuvm-check-*' -newer "$work/host/etc/hostname" 2>/dev/null)" ''

# --- what somebody made who means harm
for file in "$2"/tests/fuzz/corpus/tar/should-fail-*; do
        run check --root "$file"
        like "${file##*/} is no bundle" "$status:$err" "^1:.*Cannot read '.*Is it what 'vmctl check --bundle' wrote"
done
run check --root "$2/tests/fuzz/corpus/tar/ok-below-link"
like 'nothing is written through a link' "$status:$err" '^1:.*Cannot unpack'
check 'anywhere' test ! -e /tmp/gpuvm-below-link

# --- that the host itself computes
cp -a "$hosts/h200-guest" "$work/computes"
mkdir -p "$work/computes/sys/module/nvidia"
echo 580.95.05 >"$work/computes/sys/module/nvidia/version"
gpus=$(cd "$work/computes/sys/bus/pci/devices" && grep -l 0x10de ./*/vendor | sed 's|./||; s|/vendor||' | paste -sd' ')
export FAKECUDA_GPUS=$gpus
run check --root "$work/computes" --gpu-compute
like 'a record cannot compute' "$status:$err" '^2:.*a record of one cannot compute'
export GPUVM_CUDA=${1%/*}/../tests/fakecuda.so GPUVM_NVML=${1%/*}/../tests/fakenvml.so FAKESYS_ROOT=$work/computes
mkdir "$work/computes/nvml"
for gpu in $gpus; do
        echo 0 >"$work/computes/nvml/$gpu.persistent"
done
run check --root "$work/computes" --json
is 'unasked nothing computes' "$(result compute)" none
run check --root "$work/computes" --gpu-compute --json
is 'it does on each GPU' "$(result compute) $(grep -o '"text": *"GPU [^"]*: computes' <<<"$out" | wc -l)" "ok $(wc -w <<<"$gpus")"
is 'and NVML answers' "$(result nvml)" ok
schema "$status" 'and that is told as all else is'
FAKECUDA_FAIL=cuInit:803 run check --root "$work/computes" --gpu-compute --json
is 'or not' "$(result compute) $status" 'fail 1'
schema 1 'and that is a failure'
run check --gpu-compute somebody
like 'machines are asked otherwise' "$status:$err" '^2:.*are about the host'
unset GPUVM_CUDA GPUVM_NVML FAKECUDA_GPUS FAKESYS_ROOT

# --- usage
run check --root "$work/nowhere"
like 'no such directory' "$status:$err" "^3:.*Cannot open '$work/nowhere'"
run check -c qemu+ssh://elsewhere/system
like 'another machine is checked over there' "$status:$err" '^1:.*Run it over there'
run check --root
is 'bad usage has the status of warnings' "$status" 2

# --- bad input: each file of a machine empty, or full of anything
for kind in empty junk directory; do
        rm -rf "$work/tree"
        cp -a "$hosts/laptop" "$work/tree"
        mkdir -p "$work/tree/run/gpuvm/phases" "$work/tree/var/lib/gpuvm"
        touch "$work/tree/run/gpuvm/evidence.json" "$work/tree/run/gpuvm/phases/"{bridge,kvm}.json "$work/tree/var/lib/gpuvm/bridge"
        while read -r -d '' file; do
                case $kind in
                empty) : >"$file" ;;
                junk) printf '\0\377\n=:[%%n \n\n0x \t- - -\n%s' "$file" >"$file" ;;
                directory) rm "$file" && mkdir "$file" ;;
                esac
        done < <(find "$work/tree" -type f -print0)
        run check --root "$work/tree" --json
        check "$kind files: ends by itself" test "$status" -le 2
        is "$kind files: no sanitizer spoke" "$(grep -c 'Sanitizer\|runtime error' <<<"$err" || true)" 0
        rm -rf "$work/tree/run/gpuvm/evidence.json"
        run check --root "$work/tree" --json
        if [ "$kind" = directory ]; then
                like "$kind files: says that nothing can be read" "$status $err" '^1 .*Cannot read what this host is made of'
        else
                schema "$status" "$kind files: still speaks JSON"
        fi
done
done_testing
