#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl metrics: the format, what is in it, and whom it leaves alone: metrics.sh VMCTL SOURCE FAKESYS FAKENVML
#
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1 hosts=$2/tests/hosts fakesys=$3 fakenvml=$4
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=../helper/fakebus.sh
. "$(dirname "$0")/../helper/fakebus.sh"

# Prometheus' text format, strictly: prints what is wrong, or nothing; with arguments the values of these samples.
cat >"$work/parse.py" <<'PY'
import re, sys
name = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
label = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
text = sys.stdin.buffer.read().decode("utf-8")
if not text.endswith("\n"):
    print("no newline at the end")
current, kind, over, seen, values = None, {}, set(), set(), {}
for line in text.split("\n")[:-1]:
    if m := re.fullmatch(rf"# HELP ({name}) ([^\n]*)", line):
        if current:
            over.add(current)
        current = m[1]
        if current in over:
            print("twice", line)
    elif m := re.fullmatch(rf"# TYPE ({name}) (gauge|counter)", line):
        if m[1] != current or current in kind:
            print("out of place", line)
        kind[current] = m[2]
    elif m := re.fullmatch(rf"({name})(?:\{{((?:{label})(?:,{label})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)", line):
        labels = re.findall(label, m[2] or "")
        key = (m[1], tuple(sorted(labels)))
        if m[1] != current or m[1] not in kind or key in seen or len({k for k, _ in labels}) < len(labels):
            print("out of place or twice", line)
        seen.add(key)
        values[m[1] + "".join("," + v for _, v in labels)] = m[len(m.groups())]
    else:
        print("no line of the format:", line)
for wanted in sys.argv[1:]:
    print(wanted, values.get(wanted, "none"))
PY
parse() {
        python3 "$work/parse.py" "$@" <<<"$out"
}
# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$(GPUVM_NVML=$fakenvml FAKESYS_ROOT=${root-} "$vmctl" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}

for host in intel-one-gpu amd-two-twins nvswitch-board; do
        run metrics --root "$hosts/$host"
        is "$host: it is the format" "$status:$(parse)" 0:
done
run metrics --root "$hosts/amd-two-twins"
is 'GPUs by owner' "$(parse gpuvm_gpus,host gpuvm_gpus,free gpuvm_libvirt_up)" 'gpuvm_gpus,host 2
gpuvm_gpus,free 0
gpuvm_libvirt_up none'

# Machines, one with a name of somebody else's making.
machine_xml() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>%s</name><metadata>%s</metadata>
                <memory unit="KiB">2048</memory><vcpu>2</vcpu><os><type>hvm</type></os><test:runstate>%s</test:runstate></domain>\n' "$1" "$2" "$3"
}
ours='<g:vm xmlns:g="urn:gpuvm:vm:1" kind="talos"/>'
{
        echo '<node><cpu><mhz>1</mhz><nodes>1</nodes><sockets>1</sockets><cores>2</cores><threads>1</threads><active>2</active><memory>3145728</memory></cpu>'
        machine_xml talos-01 "$ours" 1
        machine_xml 'a&quot;b\c} 1' "$ours" 5
        machine_xml theirs '' 1
        echo '</node>'
} >"$work/node.xml"
run metrics --root "$hosts/amd-two-twins" -c "test://$work/node.xml"
is 'machines' "$(parse gpuvm_vm_up,talos-01 gpuvm_vm_ready,talos-01 gpuvm_vm_memory_bytes,talos-01 gpuvm_vm_up,theirs gpuvm_vms,running gpuvm_vms,off gpuvm_libvirt_up)" \
        'gpuvm_vm_up,talos-01 1
gpuvm_vm_ready,talos-01 none
gpuvm_vm_memory_bytes,talos-01 2097152
gpuvm_vm_up,theirs none
gpuvm_vms,running 1
gpuvm_vms,off 1
gpuvm_libvirt_up 1'
like 'a name is escaped' "$out" 'gpuvm_vm_up\{vm="a\\"b\\\\c\} 1"\} 0'
run metrics --root "$hosts/amd-two-twins" -c "test://$work/none.xml"
is 'without libvirt the rest is told' "$status:$(parse gpuvm_libvirt_up gpuvm_gpus,host)" '0:gpuvm_libvirt_up 0
gpuvm_gpus,host 2'
is 'and nobody is told twice a minute' "$(grep -c 'Cannot connect' "$work/err")" 0

# Two GPUs on NVIDIA's driver; one of them is open in a process.
gpu=0000:01:00.0 idle=0000:02:00.0
usual() {
        local address n=7

        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $idle 10de 2684 030000 13 nvidia
        mkdir -p "$root/nvml" "$root/proc/88/fd"
        mkdir -p "$root/sys/bus/pci/devices/$gpu/drm/card7"
        echo 1:5 >"$root/sys/bus/pci/devices/$gpu/drm/card7/dev"
        echo python3 >"$root/proc/88/comm"
        : >"$root/proc/88/maps"
        ln -s /dev/zero "$root/proc/88/fd/3"
        for address in $gpu $idle; do
                echo 0 >"$root/nvml/$address.persistent"
                echo 0 >"$root/nvml/$address.draining"
                echo "$n 1073741824 25769803776 41 75500 2100" >"$root/nvml/$address.sample"
                : >"$root/nvml/$address.opened"
        done
}
opened() {
        wc -l <"$root/nvml/$1.opened"
}
usual
run metrics --root "$root"
is 'a GPU that works tells what it is at' "$status:$(parse "gpuvm_gpu_busy_ratio,$gpu" "gpuvm_gpu_memory_used_bytes,$gpu" "gpuvm_gpu_memory_total_bytes,$gpu" \
        "gpuvm_gpu_temperature_celsius,$gpu" "gpuvm_gpu_power_watts,$gpu" "gpuvm_gpu_sm_clock_hertz,$gpu" gpuvm_gpu_driver_answers)" \
        "0:gpuvm_gpu_busy_ratio,$gpu 0.07
gpuvm_gpu_memory_used_bytes,$gpu 1073741824
gpuvm_gpu_memory_total_bytes,$gpu 25769803776
gpuvm_gpu_temperature_celsius,$gpu 41
gpuvm_gpu_power_watts,$gpu 75.5
gpuvm_gpu_sm_clock_hertz,$gpu 2100000000
gpuvm_gpu_driver_answers 1"
is 'one that nobody has open is left alone' "$(parse "gpuvm_gpu_power_watts,$idle"; opened $idle)" "gpuvm_gpu_power_watts,$idle none
0"
echo '7 x x 41 x 2100' >"$root/nvml/$gpu.sample"
run metrics --root "$root"
is 'what it cannot tell is left out' "$(parse "gpuvm_gpu_power_watts,$gpu" "gpuvm_gpu_temperature_celsius,$gpu")" "gpuvm_gpu_power_watts,$gpu none
gpuvm_gpu_temperature_celsius,$gpu 41"

# untouched WHAT: nothing was opened, and nothing of it is told.
untouched() {
        run metrics --root "$root"
        is "$1 is left alone" "$status:$(parse "gpuvm_gpu_temperature_celsius,$gpu"; opened $gpu)" "0:gpuvm_gpu_temperature_celsius,$gpu none
0"
}
usual
echo D3cold >"$root/sys/bus/pci/devices/$gpu/power_state"
untouched 'one that sleeps'
usual
mkdir "$root/sys/bus/pci/devices/$gpu/power"
echo suspended >"$root/sys/bus/pci/devices/$gpu/power/runtime_status"
untouched 'one that the kernel has put to sleep'
usual
printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
untouched 'an exclusive one'
usual
mkdir -p "$root/run/gpuvm/vfio"
printf '%s nvidia - 0 0 0 0\n' "$gpu" >"$root/run/gpuvm/vfio/$gpu"
untouched 'one that is being handed over'
usual
echo 1 >"$root/nvml/$gpu.draining"
untouched 'one that lets nobody in'
usual
rm "$root/sys/bus/pci/drivers/nvidia/$gpu"
on_driver $gpu vfio-pci
untouched 'one on VFIO'

# A driver that hangs is given up, and left alone for a while.
usual
start=$SECONDS
FAKENVML_HANG=nvmlDeviceGetPowerUsage run metrics --root "$root"
check 'one that hangs is given up' test $((SECONDS - start)) -lt 30
is 'which is told' "$status:$(parse gpuvm_gpu_driver_answers)" '0:gpuvm_gpu_driver_answers 0'
before=$(opened $gpu)
run metrics --root "$root"
is 'and left alone then' "$(parse gpuvm_gpu_driver_answers gpuvm_gpus,host):$(opened $gpu)" "gpuvm_gpu_driver_answers 0
gpuvm_gpus,host none:$before"
touch -d '11 minutes ago' "$root/run/gpuvm/metrics.hung"
run metrics --root "$root"
is 'but not for ever' "$(parse gpuvm_gpu_driver_answers)" 'gpuvm_gpu_driver_answers 1'

# Nor do many that hang take the time of each.
usual
for n in 03 04 05 06 07 08 09 0a 0b 0c; do
        card 0000:$n:00.0 10de 2684 030000 $((16#$n + 20)) nvidia
done
for n in "$root"/sys/bus/pci/devices/*; do
        mkdir -p "$root/proc/driver/nvidia/gpus/${n##*/}"
        printf 'Model: \t\t NVIDIA Test\n' >"$root/proc/driver/nvidia/gpus/${n##*/}/information"
done
run metrics --root "$root"
is 'twelve that answer' "$(parse gpuvm_gpu_driver_answers gpuvm_gpus,stuck)" 'gpuvm_gpu_driver_answers 1
gpuvm_gpus,stuck 0'
start=$SECONDS
FAKESYS_HANG=/information LD_PRELOAD=$fakesys ASAN_OPTIONS=verify_asan_link_order=0 run metrics --root "$root"
check 'twelve that hang are given up together' test $((SECONDS - start)) -lt 30
is 'which is told of each' "$(parse gpuvm_gpu_driver_answers gpuvm_gpus,stuck)" 'gpuvm_gpu_driver_answers 0
gpuvm_gpus,stuck 12'
usual

# A file, for everybody, replaced as a whole.
umask 077
run metrics --root "$root" --output "$work/gpuvm.prom"
is 'a file is for everybody' "$status:$out:$(stat -c %a "$work/gpuvm.prom")" 0::644
out=$(<"$work/gpuvm.prom")
is 'and has the same in it' "$(parse gpuvm_gpu_driver_answers)" 'gpuvm_gpu_driver_answers 1'
is 'nothing is left beside it' "$(find "$work" -maxdepth 1 -name '*gpuvm.prom*' | wc -l)" 1
run metrics --output relative
like 'a relative path' "$status:$err" '^2:.*absolute path'
done_testing
