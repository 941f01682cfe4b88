#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl gpu on recorded machines, and on one of the test's with processes and machines: gpu.sh VMCTL SOURCE FAKESYS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1
hosts=$2/tests/hosts
fakesys=$3
work=$(mktemp -d)
at_exit rm -rf "$work"

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}

# facts HOST: a line for each GPU, all that does not come from this machine's hardware database.
facts() {
        run gpu status --json --root "$hosts/$1"
        python3 -c 'import json, sys
for g in json.load(sys.stdin):
    print(g["address"], g["ids"], g["architecture"], g["iommu_group"], g["driver"], g["mode"], g["owner"],
          "refused" if g["refused"] else "good",
          " ".join(f["address"] + ("" if f["own"] else "!") for f in g["functions"]))' <<<"$out"
}

is 'one GPU' "$(facts intel-one-gpu)" \
        '0000:01:00.0 10de:2684 Ada 12 nouveau flexible host refused 0000:01:00.0 0000:01:00.1'
is 'twins' "$(facts amd-two-twins)" '0000:01:00.0 10de:2204 Ampere 15 nouveau flexible host refused 0000:01:00.0 0000:01:00.1
0000:21:00.0 10de:2204 Ampere 20 nouveau flexible host good 0000:21:00.0 0000:21:00.1'
is 'a group with what the host needs' "$(facts gpu-with-nic)" \
        '0000:01:00.0 10de:2236 Ampere 1 None flexible nobody refused 0000:01:00.0 0000:02:00.0! 0000:02:00.1!'
like 'four functions' "$(facts turing-four-functions)" ' Turing [0-9]+ .* ([0-9a-f:]+\.[0-3] ?){4}$'
like 'no IOMMU' "$(facts iommu-off)" ' None .* refused '
run gpu status --root "$work"
is 'a machine without any' "$status:$out" '0:This machine has no NVIDIA GPU.'

run gpu status --root "$hosts/gpu-with-nic"
like 'as a table' "$out" '^# +GPU .*OWNER.0 +0000:01:00\.0 .* Ampere +1 +- +flexible +nobody'
run gpu status --root "$hosts/gpu-with-nic" --tree
like 'as a tree' "$out" $'pci0000:00 +root bus.*\n.*0000:00:01\.0 +bridge.*\n.*0000:01:00\.0 +Ampere.*\n.*0000:02:00\.0 +network .* igb'
run gpu status --root "$hosts/gpu-with-nic" 01:00.0
like 'one of them whole' "$out" '^GPU +0000:01:00\.0.*In its group +0000:02:00\.0, class 020000, igb.*Not for VMs +IOMMU group 1 also holds 0000:02:00\.0.*Largest BAR +32 GiB'
run gpu status --root "$hosts/gpu-with-nic" 1
like 'what is not there' "$status:$err" "^3:.*There is no GPU '1' here"
run gpu status --root "$hosts/gpu-with-nic" --tree --json 0
like 'JSON is JSON' "$out" '^\['
run gpu status -c qemu+ssh://elsewhere/system
like 'other machines are looked at over there' "$status:$err" '^1:.*Run it over there'

# The mode of one: a drop-in that goes again.
cp -r "$hosts/amd-two-twins" "$work/twins"
run gpu mode --root "$work/twins" --dry-run 21:00.0 exclusive
like 'a dry run of a mode' "$status:$out" '^0:would write (/etc/gpuvm\.conf\.d/60-gpu-pci-[^/]*\.conf):.*\[Gpu pci-[^]]*\].Mode=exclusive.would start gpuvm-vfio\.service$'
dropin=$work/twins${BASH_REMATCH[1]}
check 'writes nothing' test ! -e "$dropin"
run gpu mode --root "$work/twins" 21:00.0 exclusive
like 'a mode' "$status:$out" "^0:Wrote .*'gpuvm-undo gpu' takes that back.Nothing was done to GPU 0000:21:00\.0: systemd does not run that machine\. From the next boot on it is on VFIO"
run gpu status --root "$work/twins"
like 'holds' "$out" '0000:01:00\.0 .* flexible.*0000:21:00\.0 .* exclusive'
like 'and can be undone' "$("${vmctl%/*}/gpuvm-undo" --root "$work/twins" --list gpu)" "gpu +file +${dropin#"$work/twins"}: remove it"
run gpu mode --root "$work/twins" --json 1 exclusive
is 'again' "$(python3 -c 'import json, sys; o = json.load(sys.stdin); print(o["address"], o["was"], o["mode"], o["changed"], o["done"])' <<<"$out")" \
        '0000:21:00.0 exclusive exclusive False False'
run gpu mode --root "$work/twins" 1 flexible
like 'back' "$status:$out" '^0:Removed .*the host has it'
check 'takes it away' test ! -e "$dropin"
run gpu mode --root "$work/twins" 0 exclusive
like 'one that cannot be given is refused' "$status:$err" '^5:.*GPU 0000:01:00\.0 cannot be exclusive: .'
printf '[Gpu 0000:21:00.0]\nMode=flexible\n' >"$work/twins/etc/gpuvm.conf.d/99-last.conf"
run gpu mode --root "$work/twins" 1 exclusive
like 'somebody else has the last word' "$status:$err" '^4:.*Something that is read after .*60-gpu-.* flexible'
check 'and nothing is left' test ! -e "$dropin"
rm "$work/twins/etc/gpuvm.conf.d/99-last.conf"
printf '[Bootstrap]\nVfio=no\n' >"$work/twins/etc/gpuvm.conf"
run gpu mode --root "$work/twins" 1 exclusive
like 'nobody would do it' "$status:$err" '^1:.*Vfio=no'
run gpu mode --root "$work/twins" 1 shared
like 'a mode that is none' "$status:$err" "^2:.*'shared' is no mode"

# What its unit would do.
run gpu reset --root "$work/twins" --dry-run 1
like 'a plan of a reset' "$status:$err" "^1:.*0000:21:00\.0 has the host's driver nouveau, and is not reset below it"
run gpu recover --root "$work/twins" 1
like 'a recorded machine is not changed' "$status:$err" '^2:.*not changed'
run gpu recover --dry-run --root "$work/twins" 7
like 'one that is not there' "$status:$err" "^3:.*There is no GPU '7'"

# One with processes, and with machines that libvirt knows.
cp -r "$hosts/intel-one-gpu" "$work/host"
device=$work/host/sys/bus/pci/devices/0000:01:00.0
mkdir -p "$device/drm/card1" "$work/host/proc/812/fd"
echo 1:5 >"$device/drm/card1/dev"
ln -s /dev/zero "$work/host/proc/812/fd/7"
echo Xorg >"$work/host/proc/812/comm"
echo 0::/system.slice/gdm.service >"$work/host/proc/812/cgroup"
: >"$work/host/proc/812/maps"
echo "ada:x:$(id -u):0::/:/bin/sh" >"$work/host/etc/passwd"
run gpu holders --root "$work/host" 0
like 'who uses it' "$status:$out" '^0:GPU +PID +USER +COMMAND +UNIT +WHAT.0000:01:00\.0 +812 +ada +Xorg +gdm\.service +drm/card1'
run gpu status --root "$work/host"
like 'is in the table' "$out" 'host: Xorg \(812\)'
run gpu holders --root "$hosts/intel-one-gpu" 0
is 'or nobody' "$status:$out" '0:Nobody uses 0000:01:00.0.'

# Words of strangers do not steer the terminal, and JSON stays JSON.
printf 'X\302\233Aorg' >"$work/host/proc/812/comm"
printf 'D0\033[2J\177' >"$device/power_state"
run gpu holders --root "$work/host" 0
like 'control characters are shown' "$out" 'X(.u009b|.xc2.x9b)Aorg'
is 'and not sent' "$(tr -d '[:print:]\n' <<<"$out" | od -An -c)" ''
run gpu status --root "$work/host" 0
like 'wherever they are' "$out" 'host: X.u009bAorg .*Power +D0.u001b\[2J.u007f'
run gpu status --json --root "$work/host" 0
is 'JSON keeps what it is' "$(python3 -c 'import json, sys; g = json.load(sys.stdin)[0]; h = g["holders"][0]; print(h["user"], ascii(h["command"] + g["power"]))' <<<"$out")" \
        "ada 'X\\x9bAorgD0\\x1b[2J\\x7f'"
is 'as text that can be looked at' "$(tr -d '[:print:]\n' <<<"$out" | od -An -c)" ''
rm "$device/power_state"

# A driver that hangs holds nobody up: it is asked by somebody else.
ln -sfn ../../../../bus/pci/drivers/nvidia "$(readlink -f "$device")/driver"
mkdir -p "$work/host/proc/driver/nvidia/gpus/0000:01:00.0"
printf 'Model: \t\t NVIDIA Test\n' >"$work/host/proc/driver/nvidia/gpus/0000:01:00.0/information"
status=0
out=$(FAKESYS_ROOT=$work/host FAKESYS_HANG=/information LD_PRELOAD=$fakesys ASAN_OPTIONS=verify_asan_link_order=0 \
        timeout 60 "$vmctl" gpu status --root "$work/host" 0 2>&1 </dev/null) || status=$?
like 'a driver that does not answer' "$status:$out" '^0:.*Owner +stuck.*Stuck +the driver nvidia has not answered for 5 s'
run gpu status --root "$work/host" 0
like 'and one that does' "$status:$out" '^0:.*Owner +host: X'

rm -r "$work/host/proc/812" "$work/host/proc/driver"
ln -sfn ../../../../bus/pci/drivers/vfio-pci "$(readlink -f "$device")/driver"
run gpu status --root "$work/host"
like 'on VFIO it is free' "$out" 'vfio-pci +flexible +free'
mkdir -p "$work/host/run/gpuvm/vms/lab"
: >"$work/host/run/gpuvm/vms/lab/0000:01:00.0"
run gpu status --root "$work/host" 0
like 'and for whom it was taken is shown' "$out" 'Owner +free.Taken for +lab'
run gpu status --root "$work/host" --json
like 'in JSON as well' "$out" '"taken_for": ?"lab"'
printf '<node><domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>theirs</name><memory>65536</memory>
<os><type>hvm</type></os><devices><hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0x0000" bus="0x01"
slot="0x00" function="0x0"/></source></hostdev></devices><test:runstate>1</test:runstate></domain></node>' >"$work/node.xml"
run -c "test:///$work/node.xml" gpu status --root "$work/host"
if [[ $err == *'is not installed'* ]]; then
        skip 'which machine has it' "libvirt's library is not installed"
else
        like 'until a machine has it, whoever made that' "$out$err" 'vfio-pci +flexible +machine theirs'
fi
run -c "test:///$work/node.xml" gpu mode --root "$work/host" --dry-run 0 flexible
like 'a GPU is not taken from a machine' "$status:$err" '^4:.*GPU 0000:01:00\.0 is in use by theirs'
run -c qemu+unix:///system?socket=/nonexistent gpu status --root "$work/host"
like 'without libvirt that is not known, and said' "$status:$out:$err" '^0:.*vfio-pci.*not known without libvirt'
done_testing
