#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-vm: what systemd is told and how it ends, on libvirt's test driver and, in namespaces, with a real libvirtd and QEMU:
# vm.sh HELPERS FAKEAGENT HOSTS
#
# shellcheck disable=SC2317 # the steps are called inside the namespaces
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helper=$(realpath "$1/gpuvm-vm")
fakeagent=$(realpath "$2")
hosts=$(realpath "$3")
mock=$(realpath "$(dirname "$0")/../mock")
work=$(mktemp -d)
at_exit rm -rf "$work"

# A socket as systemd's; each message becomes a line, but a barrier, which ends with its message (sd_notify_barrier(3)).
cat >"$work/notify.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
with open(sys.argv[2], "a", buffering=1) as f:
    while True:
        text = s.recv(65536).decode()
        if text not in ("BARRIER=1", "X_LAST=1"):
            f.write(text.replace("\n", " ") + "\n")
PY

# up [ARGUMENT...]: starts the helper, sets pid; what it says is in out and err, what it tells systemd in told.
up() {
        : >"$work/told"
        LD_PRELOAD=${preload-} "$helper" "$@" >"$work/out" 2>"$work/err" </dev/null &
        pid=$!
}
# until_in PATTERN FILE: for at most half a minute, while the helper runs.
until_in() {
        local i

        for ((i = 0; i < 300; i++)); do
                ! grep -q -- "$1" "$2" || return 0
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.1
        done
        echo "no '$1' in ${2##*/}: $(tail -n 3 "$2" "$work/err")"
        return 1
}
# down: waits for its end, and for the last of what it has told.
down() {
        status=0
        wait "$pid" || status=$?
        systemd-notify X_LAST=1
}

# machine NAME METADATA: off.
machine() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>%s</name><metadata>%s</metadata>
                <memory unit="KiB">1024</memory><vcpu>1</vcpu><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>\n' "$1" "$2"
}
{
        echo '<node><cpu><mhz>1</mhz><nodes>1</nodes><sockets>1</sockets><cores>2</cores><threads>1</threads><active>2</active><memory>3145728</memory></cpu>'
        machine talos-01 '<g:vm xmlns:g="urn:gpuvm:vm:1" kind="talos"><g:gpu address="0000:01:00.0"/></g:vm>'
        machine theirs ''
        machine llm-01 '<g:vm xmlns:g="urn:gpuvm:vm:1" kind="llm"/>' |
                sed 's#</os>#&<devices><filesystem type="mount" accessmode="passthrough"><driver type="virtiofs"/><source dir="/srv/models"/><target dir="gpuvm-models"/></filesystem></devices>#'
        machine llm-02 '<g:vm xmlns:g="urn:gpuvm:vm:1" kind="llm"/>'
        echo '</node>'
} >"$work/node.xml"
mkdir "$work/root"
python3 "$work/notify.py" "$work/notify" "$work/told" &
notifier=$!
at_exit kill "$notifier"
while [ ! -S "$work/notify" ]; do
        sleep 0.1
done
export NOTIFY_SOCKET=$work/notify GPUVM_LIBVIRT_URI=test://$work/node.xml

up --root="$work/root" run talos-01
if ! until_in READY=1 "$work/told" >/dev/null && grep -q 'libvirt0' "$work/err"; then
        skip_all "libvirt's library is not installed"
fi
check 'it is ready when the machine runs' until_in READY=1 "$work/told"
check 'and says so' until_in 'STATUS=The machine is running' "$work/told"
kill -TERM "$pid"
down
is 'told to stop it has the guest shut down, and ends well' "$status" 0
like 'which is told' "$(<"$work/told")" 'Asked the guest to shut down'
like 'and logged' "$(<"$work/err")" "'talos-01' has shut down"

# A guest with an agent (mock/fakeagent.c), and a file that asks for it.
mkdir -p "$work/guest" "$work/root/etc/gpuvm/vms"
export FAKEAGENT_ROOT=$work/guest
# declare LINE...: in [Vm].
declare_it() {
        printf '%s\n' '[Vm]' Kind=talos "$@" >"$work/root/etc/gpuvm/vms/talos-01.vm"
}
# up_with_agent ARGUMENT...
up_with_agent() {
        LD_LIBRARY_PATH=$fakeagent up --root="$work/root" run talos-01
}
declare_it Ready=agent WatchdogSec=1 Watchdog=restart
up_with_agent
check 'one that has to be ready is waited for' until_in 'Waiting until it is ready: it runs; it has no agent' "$work/told"
is 'systemd is not told that it is ready' "$(grep -c READY=1 "$work/told")" 0
: >"$work/guest/agent"
check 'until it is' until_in READY=1 "$work/told"
for round in 1 2 3; do
        rm "$work/guest/agent"
        down
        is "one that is not well any more is stopped, $round" "$status" 69
        like 'which is told' "$(<"$work/err")" "'talos-01' is not well: it runs; it has no agent.*'talos-01' has shut down, and starts again"
        : >"$work/guest/agent"
        up_with_agent
        check 'and comes back' until_in READY=1 "$work/told"
done
rm "$work/guest/agent"
check 'but not for ever' until_in 'is left as it is: it was started again for that three times' "$work/err"
check 'that it is not well stays' until_in 'STATUS=The machine is not well: it runs; it has no agent' "$work/told"
: >"$work/guest/agent"
check 'until it is well again' until_in "'talos-01' is well again" "$work/err"
rm "$work/guest/agent"
left_again() {
        local i

        for ((i = 0; i < 300; i++)); do
                [ "$(grep -c 'is left as it is' "$work/err")" -lt 2 ] || return 0
                sleep 0.1
        done
        return 1
}
check 'or is not, once more' left_again
rm "$work/root/run/gpuvm/watchdog/talos-01"
down
is 'when the hour is over it is tried again' "$status" 69
: >"$work/guest/agent"
up_with_agent
check 'and it comes back' until_in READY=1 "$work/told"
check 'as it was' until_in 'STATUS=The machine is running' "$work/told"
sleep 2
is 'what has not changed is told once' "$(grep -c 'STATUS=The machine is running' "$work/told")" 1
kill -TERM "$pid"
down
is 'told to stop it ends well' "$status" 0
rm "$work/guest/agent"
# One for language models: its engines are asked by its own program, which may take its time.
mkdir -p "$work/guest/bin/usr/local/lib/gpuvm-setup"
program=$work/guest/bin/usr/local/lib/gpuvm-setup/check
# engines WORD TEXT [COMMAND]: what it says from now on.
engines() {
        printf '#!/bin/sh\n%s\necho "engines %s %s"\n' "${3-}" "$1" "$2" >"$program.new"
        chmod +x "$program.new"
        mv "$program.new" "$program"
}
: >"$work/guest/agent"
printf '[Vm]\nKind=llm\nWatchdogSec=1\n' >"$work/root/etc/gpuvm/vms/llm-02.vm"
LD_LIBRARY_PATH=$fakeagent up --root="$work/root" run llm-02
check 'without a setup nobody knows of engines' until_in 'Waiting until it is ready: .*; it has not said whether its engines answer' "$work/told"
engines fail 'has no answer from vllm'
check 'it is not ready without them' until_in 'Waiting until it is ready: .*; it has no answer from vllm' "$work/told"
is 'and systemd is not told so' "$(grep -c READY=1 "$work/told")" 0
engines ok 'has engines that answer'
check 'but with them' until_in READY=1 "$work/told"
like 'that program is asked' "$(<"$work/guest/asked")" '"arg":\[ *"engines" *\]'
engines fail 'has no answer from ollama'
check 'one that dies is missed' until_in "'llm-02' is not well: it runs.*; it has no answer from ollama" "$work/err"
engines ok 'has engines that answer'
check 'until it answers again' until_in "'llm-02' is well again" "$work/err"
engines ok 'is never heard' 'exec sleep 60'
# Since that was started, which nothing but an end of it follows.
looks_on() {
        local i

        for ((i = 0; i < 300; i++)); do
                ! awk '/guest-exec"/ { n = 0 } /guest-ping/ { n++ } END { exit n < 3 }' "$work/guest/asked" || return 0
                sleep 0.1
        done
        return 1
}
check 'while that program runs the looks go on' looks_on
kill -TERM "$pid"
down
is 'and keeps nobody' "$status" 0
rm -r "$work/guest/agent" "$work/guest/bin"
declare_it Ready=address
up_with_agent
check 'one that waits' until_in 'STATUS=Waiting until it is ready' "$work/told"
is 'is not ready' "$(grep -c READY=1 "$work/told")" 0
kill -TERM "$pid"
down
is 'and if it is off before it was, that is no failure to systemd' "$status $(grep -c READY=1 "$work/told")" '0 1'
declare_it Ready=address ReadySec=1
up_with_agent
check 'one that is late is told' until_in "'talos-01' is not ready after [0-9]* s: it runs; it has no address" "$work/err"
check 'and the unit is there all the same' until_in READY=1 "$work/told"
kill -TERM "$pid"
down
rm -r "$work/root/etc"
up --root="$work/root" run theirs
down
like 'a machine of others is left alone' "$status:$(<"$work/err")" "^1:.*'theirs' was not made by gpuvm"
like 'systemd is told why' "$(<"$work/told")" "STATUS=.*'theirs' was not made by gpuvm"
up --root="$work/root" run none
down
like 'one that is not there' "$status:$(<"$work/err")" "^1:.*There is no virtual machine 'none'"
for argument in ../x a/b '' -x; do
        up --root="$work/root" run -- "$argument"
        down
        is "'$argument' is no name" "$status" 2
done
up --root="$work/root" settle talos-01
down
is 'nothing is given back on a recorded machine' "$status:$(<"$work/err")" 0:
# What is shared, before it starts.
look() {
        up --root="$work/root" look "$1"
        down
}
look talos-01
is 'a machine that shares nothing may start' "$status:$(<"$work/err")" 0:
look none
is 'and one that is not there is told of by "run"' "$status" 0
look llm-01
like 'nothing is started without what it shares' "$status:$(<"$work/told")" "^1:.*STATUS=Cannot open '/srv/models', which 'llm-01' shares: No such file.*'sudo mount /srv/models'"
mkdir -p "$work/root/srv/models"
look llm-01
like 'nor where the guest could write to it' "$status:$(<"$work/told")" "^1:.*STATUS='/srv/models' is not mounted read-only, and 'llm-01'"
if unshare -m true 2>/dev/null; then
        # shellcheck disable=SC2016 # for the other shell
        is 'which it cannot below a mount that is read-only' "$(unshare -m sh -c 'mount --bind -o ro "$1" "$1" && shift && "$@"; echo $?' sh \
                "$work/root/srv/models" "$helper" --root="$work/root" look llm-01 2>&1)" 0
else
        skip 'which it cannot below a mount that is read-only' 'needs root'
fi
up --root="$work/root" --dry-run run talos-01
down
is 'a dry run says what it would do' "$status:$(<"$work/out")" '0:vm: would start talos-01: a virtual machine of kind talos'
is 'and tells systemd nothing' "$(<"$work/told")" ''
# GPUs by number and model, on a recorded host with two alike, of which its only screen needs one.
ports='<controller type="pci" index="0" model="pcie-root"/>'
for i in 1 2 3; do ports+="<controller type='pci' index='$i' model='pcie-root-port'/>"; done
# wishing NAME WISH [DEVICES [STATE]]: of the test driver; 1 runs.
wishing() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>%s</name><metadata>%s</metadata>
                <memory unit="KiB">1024</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>%s</devices><test:runstate>%s</test:runstate></domain>\n' \
                "$1" "<g:vm xmlns:g='urn:gpuvm:vm:1' kind='debian'><g:wish gpus='$2'/></g:vm>" "$ports${3-}" "${4-5}"
}
has_second='<hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0" bus="0x21" slot="0" function="0"/></source></hostdev>'
{
        echo '<node>'
        wishing any 1
        wishing model 'RTX 3090'
        wishing both '2 x 3090'
        wishing wrong 'A100'
        wishing nonsense '%i'
        echo '</node>'
} >"$work/wishes.xml"
{
        echo '<node>'
        wishing any 1
        wishing other 1 "$has_second" 1
        wishing named 1 | sed 's#<g:wish [^>]*>#<g:gpu address="0000:21:00.0"/>#'
        echo '</node>'
} >"$work/taken.xml"
cp -r "$hosts/amd-two-twins" "$work/twins"
# wish NAME: starts it, and stops it if it starts.
wish() {
        up --root="$work/twins" run "$1"
        ! until_in READY=1 "$work/told" >/dev/null || kill -TERM "$pid"
        down
}
GPUVM_LIBVIRT_URI=test://$work/wishes.xml
for name in any model; do
        wish $name
        like "$name is chosen" "$status:$(<"$work/err")" "^0:.*'$name' gets GPU 0000:21:00\.0"
done
wish both
like 'not what the host needs' "$status:$(<"$work/told")" "^1:.*No GPUs for 'both', which asks for 2 x 3090: 0000:01:00\.0 .*cannot be given to a machine: .*console.*; 0000:21:00\.0 .*: free"
wish wrong
like 'nor another model' "$status:$(<"$work/told")" "^1:.*No GPUs for 'wrong', which asks for A100: .*another model"
wish nonsense
like 'nor nonsense' "$status:$(<"$work/told")" "^1:.*'nonsense' asks for GPUs '%i', which means nothing"
GPUVM_LIBVIRT_URI=test://$work/taken.xml
wish any
like 'nor what another machine has' "$status:$(<"$work/told")" "^1:.*0000:21:00\.0 .*: machine 'other' has it"
mkdir -p "$work/twins/run/gpuvm/vms/other"
: >"$work/twins/run/gpuvm/vms/other/0000:21:00.0"
wish named
like 'nor by name' "$status:$(<"$work/told")" "^1:.*GPU 0000:21:00\.0 of 'named' is with 'other', which is on"
is 'and whose it was it stays' "$(find "$work/twins/run/gpuvm/vms" -type f)" "$work/twins/run/gpuvm/vms/other/0000:21:00.0"
mkdir -p "$work/twins/etc/gpuvm/vms"
printf '[Vm]\nKind=debian\n[Gpu]\nGpu=21:00.0\nWhenIdle=3\n' >"$work/twins/etc/gpuvm/vms/named.vm"
wish named
like 'it waits for that as well' "$status:$(<"$work/told")" "^1:.*Waiting for GPU 0000:21:00\.0, which 'other' has"
printf '[Vm]\nKind=debian\n[Gpu]\nGpu=1\nWhenIdle=3\n' >"$work/twins/etc/gpuvm/vms/any.vm"
wish any
like 'unless it waits for that' "$status:$(<"$work/told")" "Waiting for GPUs: 1: .*machine 'other' has it"
is 'for a while' "$status" 1
# For as long as it takes to be told.
sed -i 's/^WhenIdle=.*/WhenIdle=60/' "$work/twins/etc/gpuvm/vms/any.vm"
up --root="$work/twins" run any
check 'who is told to stop' until_in 'Waiting for GPUs' "$work/told"
kill -TERM "$pid"
down
like 'waits no longer' "$status:$(<"$work/err")" '^1:.*Stopped while waiting for a GPU'
sed -i 's/^WhenIdle=.*/WhenIdle=3/' "$work/twins/etc/gpuvm/vms/any.vm"
# Two at once: the second finds what the first has leased and libvirt does not know of yet.
GPUVM_LIBVIRT_URI=test://$work/wishes.xml
exec 9>>"$work/twins/run/gpuvm/leases/0000:21:00.0"
# lock TYPE START LENGTH: of that file, as its holder does: 37 is F_OFD_SETLK.
lock() {
        python3 -c 'import fcntl, struct, sys
fcntl.fcntl(9, 37, struct.pack("hhqqi4x", getattr(fcntl, sys.argv[1]), 0, int(sys.argv[2]), int(sys.argv[3]), 0))' "$@"
}
lock F_WRLCK 0 0
printf first >"$work/twins/run/gpuvm/leases/0000:21:00.0"
# The second byte is free once the name is there.
lock F_UNLCK 1 1
wish any
exec 9>&-
like 'what is on its way elsewhere is not taken' "$status:$(<"$work/told")" "0000:21:00\.0 .*: it is on its way to machine 'first', or from it"
GPUVM_LIBVIRT_URI=test://$work/node.xml

up --root="$work/root" release talos-01
down
is 'nothing taken, nothing given back' "$status:$(grep -v 'Nothing to do' "$work/err")" 0:
mkdir -p "$work/root/run/gpuvm/vms"
: >"$work/root/run/gpuvm/vms/talos-01"
up --root="$work/root" release talos-01
down
is 'what was taken has to be known' "$status" 1
EXIT_STATUS=69 up --root="$work/root" release talos-01
down
is 'but for one that starts again: nobody looks' "$status" 0
unset GPUVM_LIBVIRT_URI

# LeakSanitizer looks for the size of thread-local storage that libvirt's libraries bring along where there is none.
asan=$(ldd "$helper" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}

# The real one. Prints a line for each thing that is compared.
# define NAME KIND: a machine from 512 bytes.
define() {
        python3 "$mock/bootsector.py" "$2" "/var/cache/$1.raw"
        cat >"/run/$1.xml" <<XML
<domain type="qemu"><name>$1</name>
<metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:log path="/var/log/libvirt/qemu/$1.console"/></g:vm></metadata>
<memory unit="MiB">16</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
<devices><disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/var/cache/$1.raw"/><target dev="sda" bus="sata"/></disk>
<serial type="pty"><log file="/var/log/libvirt/qemu/$1.console" append="on"/></serial><memballoon model="none"/></devices></domain>
XML
        virsh -q -c qemu:///system define "/run/$1.xml" >/dev/null
}
# seeded NAME GUEST-LINE: declared, with a seed that is in its drive and in a pool, and an agent.
seeded() {
        define "$1" polite
        echo secret >"/var/cache/seeds/$1.iso"
        virsh -q -c qemu:///system pool-refresh seeds
        sed -i -e 's#<target dev="sda" bus="sata"/>#<target dev="vda" bus="virtio"/>#' -e "s#<g:log #<g:seed path='/var/cache/seeds/$1.iso'/>&#" \
                -e "s#<serial #<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/var/cache/seeds/$1.iso'/><target dev='sda' bus='sata'/><readonly/></disk>&#" \
                "/run/$1.xml"
        virsh -q -c qemu:///system "undefine $1; define /run/$1.xml" >/dev/null
        printf '%s\n' '[Vm]' Kind=worker '[Guest]' "$2" >"/run/gpuvm/vms/$1.vm"
}
# drive NAME: what is in it now, and from its next start on.
drive() {
        virsh -q -c qemu:///system "domblklist $1; domblklist --inactive $1" | awk '$1 == "sda" { print $2 }' | paste -sd' '
}
seeds() {
        mkdir -p /var/cache/seeds /run/gpuvm/vms "$work/guest/run/cloud-init"
        virsh -q -c qemu:///system 'pool-define-as seeds dir --target /var/cache/seeds; pool-start seeds'
        : >"$work/guest/agent"
        : >"$work/guest/asked"
        printf '{"v1":{"stage":"init"}}' >"$work/guest/run/cloud-init/status.json"
        seeded joins Join=/root/join
        LD_LIBRARY_PATH=$fakeagent up run joins
        until_in cloud-init "$work/guest/asked"
        echo "seed, not read yet: $(drive joins)"
        printf '{"v1":{"stage":null,"modules-final":{"finished":1}}}' >"$work/guest/run/cloud-init/status.json"
        until_in 'has read its seed' "$work/err"
        echo "seed, read: $(drive joins)$(ls /var/cache/seeds)"
        kill -TERM "$pid"
        down
        seeded plain SshKey=/root/key.pub
        LD_LIBRARY_PATH=$fakeagent up run plain
        until_in READY=1 "$work/told"
        kill -TERM "$pid"
        down
        echo "seed without secrets: $status $(ls /var/cache/seeds)"
        rm "$work/guest/agent"
}
state() {
        virsh -q -c qemu:///system domstate "$1" | head -n 1
}
real() {
        local status pid

        mkdir -p /var/log/libvirt/qemu
        define polite polite
        define deaf deaf
        define 'done' 'done'

        up run polite
        until_in READY=1 "$work/told"
        until_in 'guest:' "$work/out"
        echo "console: $(cat "$work/out")"
        kill -TERM "$pid"
        down
        echo "stopped: $status $(state polite)"

        up run 'done'
        down
        echo "by itself: $status $(grep -o "'done' has shut down" "$work/err")"

        up run polite
        until_in READY=1 "$work/told"
        kill -KILL "$(cat /run/libvirt/qemu/polite.pid)"
        down
        echo "crashed: $status $(grep -o "'polite' has crashed" "$work/err")"

        up run deaf
        until_in READY=1 "$work/told"
        kill -KILL "$pid"
        down
        echo "killed: $status $(state deaf)"
        up run deaf
        until_in READY=1 "$work/told"
        echo "found again: $(grep -o 'runs already' "$work/err")"
        virsh -q -c qemu:///system destroy deaf >/dev/null
        down
        echo "destroyed: $status $(grep -o 'as if its plug were pulled' "$work/err")"

        up run polite
        until_in READY=1 "$work/told"
        kill "$(cat /run/libvirtd.pid)"
        until_in 'does not answer; the machine runs on' "$work/told"
        : >"$work/told"
        # Its clients are gone a moment before itself, and no other one starts beside it.
        while [ -e /run/libvirtd.pid ]; do
                sleep 0.1
        done
        libvirtd -d
        until_in 'The machine is running' "$work/told"
        kill -TERM "$pid"
        down
        echo "libvirtd restarted: $status $(state polite)"

        seeds
        kill "$(cat /run/libvirtd.pid)"
        while [ -e /run/libvirtd.pid ]; do
                sleep 0.1
        done
        up run polite
        down
        echo "without libvirtd: $status $(grep -o 'libvirt does not answer' "$work/err")"
        libvirtd -d
}
{
        declare -p work helper mock preload fakeagent FAKEAGENT_ROOT
        declare -f up until_in down define seeded drive seeds state real
        echo real
} >"$work/real"
missing=
for program in qemu-system-x86_64 virsh; do
        command -v "$program" >/dev/null || missing=$program
done
status=0
got=$([ -z "$missing" ] || exit 77
        "$(dirname "$0")/with-libvirtd.sh" timeout 500 bash -uo pipefail "$work/real" 2>"$work/real.err") || status=$?
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-system-x86, dnsmasq-base and iptables'
        done_testing
        exit
fi
is 'with a real libvirtd and QEMU' "$got" 'console: polite: guest: up and ?
stopped: 0 shut off
by itself: 0 '"'done' has shut down"'
crashed: 1 '"'polite' has crashed"'
killed: 137 running
found again: runs already
destroyed: 0 as if its plug were pulled
libvirtd restarted: 0 shut off
seed, not read yet: /var/cache/seeds/joins.iso /var/cache/seeds/joins.iso
seed, read: - -
seed without secrets: 0 plain.iso
without libvirtd: 1 libvirt does not answer'
[ "$tap_failed" -eq 0 ] || diag "$(grep -v '^$' "$work/real.err" | tail -n 20)"
done_testing
