#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl gpu attach and detach, on recorded hosts with libvirt's test driver, and with a real libvirtd: what is chosen, what is
# refused, each step cut in each way, and two that want one GPU: gpuattach.sh VMCTL SOURCE
#
# Machines that run are the lab's (../lab/L16.sh): nothing here has a GPU.
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
hosts=$2/tests/hosts
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

ports='<controller type="pci" index="0" model="pcie-root"/>'
for i in 1 2 3; do ports+="<controller type='pci' index='$i' model='pcie-root-port'/>"; done
# hostdev BUS FUNCTION
hostdev() {
        printf '<hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0" bus="%s" slot="0" function="%s"/></source></hostdev>' "$@"
}
# domain NAME STATE DEVICES [METADATA]: of the test driver; 1 runs, 3 is paused, 5 is off.
domain() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>%s</name>%s
<memory>65536</memory><os><type>hvm</type></os><devices>%s</devices><test:runstate>%s</test:runstate></domain>' \
                "$1" "${4+<metadata><g:vm xmlns:g='urn:gpuvm:vm:1' kind='debian'>$4</g:vm></metadata>}" "$3" "$2"
}
# run HOST ARGUMENT...: on a copy of the recorded host, with $work/node.xml for its machines. Sets status, out and err.
run() {
        local host=$work/$1

        [ -d "$host" ] || cp -r "$hosts/$1" "$host"
        status=0
        out=$("$vmctl" -c "test:///$work/node.xml" gpu "${@:2}" --root "$host" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
node() {
        echo "<node>$*</node>" >"$work/node.xml"
}

twins=amd-two-twins
node "$(domain lab 5 "$ports" '')"
run $twins attach lab --dry-run
if [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library or libxml2 is not installed"
fi
is 'the only one that is idle, whole' "$status:$out" '0:lab would get 0000:21:00.0 (0000:21:00.0, 0000:21:00.1), at its next start'
for word in 1 21:00.0 0000:21:00.0; do
        run $twins attach lab $word --json
        is "the GPU is known as $word" "$status $(python3 -c 'import json, sys; a = json.load(sys.stdin)
print(a["machine"], a["running"], a["changed"], *[g["address"] for g in a["gpus"]], *a["gpus"][0]["functions"])' <<<"$out")" \
                '0 lab False True 0000:21:00.0 0000:21:00.0 0000:21:00.1'
done
run $twins attach lab 0
like 'what the host needs is not given' "$status:$err" '^1:.*0000:01:00\.0 cannot be given to a machine: .*the only console'
run $twins attach lab 7
like 'nor what is not there' "$status:$err" "^3:.*There is no GPU '7' here"
run $twins attach nobody
like 'nor to a machine that is not there' "$status:$err" "^3:.*There is no virtual machine 'nobody'"
run $twins attach lab --when-idle=soon
like 'a time is a time' "$status:$err" "^2:.*'soon' is no time for --when-idle"
run iommu-off attach lab 0
like 'nothing without an IOMMU' "$status:$err" '^1:.*no IOMMU group'
run no-iommu attach lab
like 'and nothing to choose from there' "$status:$err" '^4:.*No GPU is free or idle, of these:'
run nvswitch-board attach lab 0
like 'no part of a board with NVSwitches' "$status:$err" '^1:.*NVSwitches \(.*\), over which its GPUs are one.*Name all GPUs of the board, also 0000:04:00\.0'
run nvswitch-board attach lab 0 1
like 'nor all of it with a switch that stays' "$status:$err" '^1:.*Bind the switches to vfio-pci first, also 0000:05:00\.0'
board=$work/nvswitch-board/sys/bus/pci/devices/0000
for function in 05:00.0 06:00.0; do ln -sfn ../../../../bus/pci/drivers/vfio-pci "$(readlink -f "$board:$function")/driver"; done
run nvswitch-board attach lab 0 1 --dry-run
is 'all of it goes, with its switches' "$status:$(cut -d' ' -f 4 <<<"$out" | xargs)" '0:0000:03:00.0 0000:04:00.0 0000:05:00.0 0000:06:00.0'
node "$(domain lab 5 "$ports$(hostdev 3 0)$(hostdev 5 0)" '<g:gpu address="0000:03:00.0"/>')"
run nvswitch-board detach lab --dry-run
is 'what was cut half way is taken back as it is' "$status:$(cut -d' ' -f 4 <<<"$out" | xargs)" '0:0000:03:00.0 0000:05:00.0'
node "$(domain lab 5 "$ports$(hostdev 3 0)$(hostdev 4 0)$(hostdev 5 0)" '<g:gpu address="0000:03:00.0"/><g:gpu address="0000:04:00.0"/>')"
run nvswitch-board detach lab 0
like 'and no part of the whole' "$status:$err" '^1:.*Name all GPUs of the board, also 0000:04:00\.0'
node "$(domain lab 5 "$ports" '')"
sed -i 's/sc02i00/sc00i00/' "$board:04:00.0/modalias"
run nvswitch-board attach lab 1 --dry-run
is 'a card with a display is on no such board' "$status:$(cut -d' ' -f 4 <<<"$out" | xargs)" '0:0000:04:00.0'
status=0
err=$("$vmctl" -c qemu+ssh://elsewhere/system gpu attach lab 2>&1) || status=$?
like 'GPUs of elsewhere are given over there' "$status:$err" '^1:.*Run it over there'

# What another machine has, on or off, whoever made it.
node "$(domain lab 5 "$ports" '')$(domain theirs 5 "$ports$(hostdev 33 1)")"
run $twins attach lab 1
like "another machine's, which is off" "$status:$err" "^4:.*0000:21:00\.0 belongs to machine 'theirs', also while that is off"
run $twins attach lab
like 'is no choice' "$status:$err" '^4:.*0000:21:00\.0 .*of machine theirs'
run $twins attach theirs
like 'machines of others are left alone' "$status:$err" '^5:.*was not made by gpuvm'
node "$(domain lab 5 "$ports" '')$(domain ours 5 "$ports" '<g:gpu address="0000:21:00.0"/>')"
run $twins attach lab 1
like 'by what it says of itself' "$status:$err" "^4:.*belongs to machine 'ours'"
mkdir -p "$work/$twins/var/lib/gpuvm/creating"
echo 'gpu 0000:21:00.0' >"$work/$twins/var/lib/gpuvm/creating/new"
node "$(domain lab 5 "$ports" '')"
run $twins attach lab 1
like 'or of one in the making' "$status:$err" "^4:.*0000:21:00\.0 was chosen by a 'vmctl create' that was cut"
rm -r "$work/$twins/var/lib/gpuvm"

node "$(domain lab 5 '<controller type="pci" index="0" model="pci-root"/>' '')"
run $twins attach lab
like 'nothing without root ports' "$status:$err" '^1:.*has no PCI Express root ports'
node "$(domain lab 5 "$ports$(hostdev 33 0)$(hostdev 33 1)" '<g:gpu address="0000:21:00.0"/>')"
run $twins attach lab 1 --json
like 'what it has already is no change' "$status:$out" '^0:.*"changed": ?false'
run $twins detach lab
is 'detach takes the only one' "$status:$out" '0:lab does not have 0000:21:00.0 any more; its driver is nouveau'
run $twins detach lab 01:00.0
like 'not one that it does not have' "$status:$err" "^3:.*'lab' has no GPU '01:00.0'"
node "$(domain lab 5 "$ports$(hostdev 33 0)$(hostdev 9 0)" '<g:gpu address="0000:21:00.0"/><g:gpu address="0000:09:00.0"/>')"
run $twins detach lab
like 'of two it has to be told which' "$status:$err" '^1:.*has more than one:.*0000:21:00\.0.*0000:09:00\.0'
run $twins detach lab 09:00.0
is 'one that the host has no more as well' "$status:$out" '0:lab does not have 0000:09:00.0 any more, nor does this host'
node "$(domain lab 5 "$ports" '')"
run $twins detach lab
like 'or it has none' "$status:$err" "^3:.*'lab' has no GPU"

# One that is declared: its file says so as well, and 'vmctl apply' leaves it as it is.
dropin=etc/gpuvm/vms/lab.vm.d/60-vmctl-gpu.conf
# declare_lab GPU: its file.
declare_lab() {
        mkdir -p "$work/$twins/etc/gpuvm/vms"
        printf '[Vm]\nKind=debian\n[Gpu]\nGpu=%s\n' "$1" >"$work/$twins/etc/gpuvm/vms/lab.vm"
}
diff_lab() {
        "$vmctl" -c "test:///$work/node.xml" diff lab --root "$work/$twins" 2>&1
        echo "status $?"
}
with="$ports$(hostdev 33 0)$(hostdev 33 1)"
declare_lab none
node "$(domain lab 5 "$ports" '')"
run $twins attach lab 1 --dry-run
like 'a dry run says that the file would' "$status:$err" "^0:.*would write /$dropin: the file of 'lab' says so as well"
check 'and writes nothing' test ! -e "$work/$twins/$dropin"
run $twins attach lab 1
like 'what is attached is declared' "$status:$err" "^0:.*write /$dropin"
node "$(domain lab 5 "$with" '<g:gpu address="0000:21:00.0"/>')"
is 'and diff finds it as declared' "$(diff_lab)" 'status 0'
run $twins detach lab
is 'what is detached is declared no more' "$status:$(test -e "$work/$twins/$dropin" || echo gone)" 0:gone
node "$(domain lab 5 "$ports" '')"
is 'and diff finds that as declared' "$(diff_lab)" 'status 0'
declare_lab 21:00.0
node "$(domain lab 5 "$with" '<g:gpu address="0000:21:00.0"/>')"
run $twins detach lab --quiet
is 'also what its own file names' "$status:$(tail -n 1 "$work/$twins/$dropin")" '0:Gpu=none'
node "$(domain lab 5 "$ports" '')"
is 'and that as well' "$(diff_lab)" 'status 0'
run $twins attach lab 1 --json
is 'back again the file alone is enough' "$status:$err:$(test -e "$work/$twins/$dropin" || echo gone)" 0::gone
declare_lab none
node "$(domain lab 1 "$ports" '')"
run $twins attach lab 1
is 'one that gets nothing declares nothing' "$status:$(test -e "$work/$twins/$dropin" || echo nothing)" 4:nothing
node "$(domain lab 5 "$ports" '')"
mkdir -p "$work/$twins/${dropin%/*}"
printf '[Gpu]\nGpu=\nGpu=none\n' >"$work/$twins/$dropin"
run $twins attach lab 1 --quiet
like "somebody's own file stays" "$status:$err" "^0:.*The file of 'lab' does not say so: /$dropin is not by vmctl\. Until you change its Gpu=, 'vmctl apply' takes the GPU back"
is 'as it is' "$(xargs <"$work/$twins/$dropin")" '[Gpu] Gpu= Gpu=none'
rm -r "${work:?}/$twins/${dropin%/*}"
ln -s /nowhere "$work/$twins/${dropin%/*}"
run $twins attach lab 1 --quiet
like 'what cannot be written is told' "$status:$err" "^0:.*does not say so: cannot change /$dropin: .*takes the GPU back"
rm "$work/$twins/${dropin%/*}"
declare_lab '2 x RTX 3090'
run $twins attach lab 1
like 'a wish is not undone by a name' "$status:$err" "^0:.*lab.vm asks for GPUs by number or model \('2 x RTX 3090'\)"
node "$(domain lab 5 "$with" '<g:gpu address="0000:21:00.0"/>')"
run $twins detach lab
is 'and stands when one goes' "$status:$(find "$work/$twins/etc/gpuvm/vms" -type f -printf '%f ')" '0:lab.vm '
rm -r "$work/$twins/etc/gpuvm/vms"

# One that is off: nobody is waited for, and nothing is stopped.
node "$(domain lab 5 "$ports" '')"
run $twins attach lab 1 --when-idle=5min --stop-units --quiet
like 'what its start does not do is told' "$status:$err" "^0:.*'lab' is off: --when-idle and --stop-units are for one that runs.*'WhenIdle='.*'vmctl gpu holders'"

# One that runs: what keeps it from getting a GPU is told before anything is done; the test driver attaches nothing.
node "$(domain lab 1 "$ports" '')"
run $twins attach lab 1
like 'only what is on VFIO goes to one that runs' "$status:$err" '^4:.*0000:21:00\.0 is not on VFIO but with nouveau'
device=$work/$twins/sys/bus/pci/devices/0000:21:00
for function in 0 1; do ln -sfn ../../../../bus/pci/drivers/vfio-pci "$(readlink -f "$device.$function")/driver"; done
run $twins attach lab 1
like 'what libvirt refuses is told in its words' "$status:$err" '^1:.*Cannot give 0000:21:00\.0 to .lab.: .*not supported'
check 'and nothing is left of it' test ! -e "$work/$twins/run/gpuvm/vms"
node "$(domain lab 1 '<controller type="pci" index="0" model="pcie-root"/><controller type="pci" index="1" model="pcie-root-port"/>' '')"
run $twins attach lab 1
like 'too few ports' "$status:$err" "^1:.*'lab' runs, and has 1 free root ports for 2 functions\. Stop it"
node "$(domain lab 3 "$ports" '')"
run $twins attach lab 1
like 'a guest that is paused notices nothing' "$status:$err" "^4:.*'lab' is paused"

# A real libvirtd: definitions that others see, of QEMU's machines, and of the test driver's, which are quick. The host is the
# recorded one.
define() {
        local name type=$1

        for name in "${@:2}"; do
                virsh -q -c "$uri" define /dev/stdin >/dev/null <<-END
		<domain type="$type"><name>$name</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"/></metadata><memory unit="MiB">64</memory>
		<os><type arch="x86_64" machine="q35">hvm</type></os><devices><controller type="pci" index="0" model="pcie-root"/>
		<controller type="pci" index="1" model="pcie-root-port"/><graphics type="vnc" passwd="secret"/></devices></domain>
		END
        done
}
gpu() {
        vm -c "$uri" gpu "$@" --root /run/host
}
has() {
        virsh -q -c "$uri" dumpxml "$1" | grep -cE '<hostdev|:gpu address'
}
whole() {
        virsh -q -c "$uri" dumpxml --security-info "$1" | grep -vE '<address |controller|<target|<alias|<model|memballoon|g:vm|^ *$'
}
slots() {
        virsh -q -c "$uri" dumpxml "$1" | sed -n '/<hostdev/,/<\/hostdev/s/.*<address type.*bus=.\(0x..\). slot=.\(0x..\). function=.\(0x.\).*/\1 \2 \3/p' | xargs
}
# cut INJECTION ARGUMENT...: attach or detach under strace.
cut() {
        status=0
        ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -f -E LD_PRELOAD="$preload" -qq -o /dev/null -e trace="${1%%:*}" -e inject="$1" \
                "$vmctl" -c "$uri" gpu "${@:2}" --root /run/host </dev/null >/run/cut 2>&1 || status=$?
}
# At each of what it sends to libvirt and writes to files, and an error of that. All of them with GPUVM_LONG=1, else some and
# the last ones, where the definition changes.
cuts() {
        local n what all left

        ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -f -E LD_PRELOAD="$preload" -qq -o /run/calls -e trace=write,ftruncate \
                "$vmctl" -c "$uri" gpu attach one 1 --root /run/host --quiet >/run/cut 2>&1 </dev/null || cat /run/cut
        gpu detach one >/run/again 2>&1 || cat /run/again
        all=$(grep -c . /run/calls)
        [ "$all" -gt 20 ] || echo "only $all calls"
        for what in signal=KILL error=EIO; do
                for ((n = 1; n <= all; n++)); do
                        [ -n "$GPUVM_LONG" ] || [ $((n % 60)) = 30 ] || [ $((all - n)) -lt 4 ] || continue
                        cut "write,ftruncate:$what:when=$n" attach one 1
                        left=$(has one)
                        case $status:$left in
                        0:3 | [1-9]*:0 | 137:3) ;;
                        1:3) grep -q 'Cannot write the result' /run/cut || echo "$what at $n of $all: $(cat /run/cut)" ;;
                        *) echo "$what at $n of $all: $status, and $left of it is there: $(cat /run/cut)" ;;
                        esac
                        gpu attach one 1 >/run/again 2>&1 || echo "$what at $n: not again: $(cat /run/again)"
                        [ "$(has one)" = 3 ] || echo "$what at $n: again, and $(has one)"
                        gpu detach one >/run/again 2>&1 || echo "$what at $n: not back: $(cat /run/again)"
                        [ "$(has one)" = 0 ] || echo "$what at $n: back, and $(has one)"
                done
        done
        echo 'cut at each step'
}
# A detach that was cut is finished by the next one.
cut_detaches() {
        local n what all

        gpu attach one 1 >/run/again 2>&1 || cat /run/again
        ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -f -E LD_PRELOAD="$preload" -qq -o /run/calls -e trace=write,ftruncate \
                "$vmctl" -c "$uri" gpu detach one --root /run/host --quiet >/run/cut 2>&1 </dev/null || cat /run/cut
        all=$(grep -c . /run/calls)
        for what in signal=KILL error=EIO; do
                for ((n = 1; n <= all; n++)); do
                        [ -n "$GPUVM_LONG" ] || [ $((n % 80)) = 40 ] || [ $((all - n)) -lt 4 ] || continue
                        gpu attach one 1 >/run/again 2>&1 || echo "$what at $n: not again: $(cat /run/again)"
                        cut "write,ftruncate:$what:when=$n" detach one
                        gpu detach one >/run/again 2>&1 || grep -q "'one' has no GPU" /run/again || echo "$what at $n: not finished: $(cat /run/again)"
                        [ "$(has one)" = 0 ] || echo "$what at $n: finished, and $(has one)"
                done
        done
        echo 'detach cut at each step'
}
race() {
        local i first won=0 told=0 rounds=50

        for i in $(seq $rounds); do
                gpu attach one 1 >/run/first 2>&1 &
                first=$!
                gpu attach two 1 >/run/second 2>&1 &
                wait $first $!
                case "$(has one) $(has two)" in '3 0' | '0 3') won=$((won + 1)) ;; *) cat /run/first /run/second ;; esac
                ! grep -qhE "on its way to '(one|two)'|belongs to machine '(one|two)'" /run/first /run/second || told=$((told + 1))
                gpu detach one >/dev/null 2>&1
                gpu detach two >/dev/null 2>&1
        done
        echo "races that one has won: $((won - rounds)) $((told - rounds))"
}
real() {
        local status=0 keeper uri=qemu:///system

        cp -r "$hosts/amd-two-twins" /run/host # which is empty in there
        define qemu one
        whole one >/run/before
        gpu attach one >/run/said 2>&1 || cat /run/said
        echo "has: $(has one) at $(slots one | sed 's/0x0[1-9] 0x00/X/g')"
        virsh -q -c $uri dumpxml --security-info one | grep -o "passwd='[a-z]*'"
        virsh -q -c $uri dumpxml one | grep -o "<memballoon model='[a-z]*'"
        gpu detach one >/run/said 2>&1 || cat /run/said
        whole one | diff /run/before - | grep '^[<>]'

        # What the test driver has is there as long as somebody is connected.
        uri=test+unix:///default
        virsh -q -c $uri event --domain test --event lifecycle --loop >/dev/null 2>&1 &
        keeper=$!
        # It is connected once what another connection has made outlives that one.
        for _ in $(seq 600); do
                define test two
                ! virsh -q -c $uri list --all --name | grep -qx two || break
                sleep 0.1
        done
        define test one
        cuts
        cut_detaches
        race
        kill $keeper
}
export hosts GPUVM_LONG=${GPUVM_LONG-}
create_real "$work" 3400 define gpu has whole slots cut cuts cut_detaches race
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
        done_testing
        exit
fi
is 'with a real libvirtd' "$got" "has: 3 at X 0x0 X 0x1
passwd='secret'
<memballoon model='none'
cut at each step
detach cut at each step
races that one has won: 0 0"
done_testing
