#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-tune and NVIDIA's management library: tune.sh DIRECTORY-OF-HELPERS FAKESYS FAKENVML

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helper=$1/gpuvm-tune fakesys=$2 fakenvml=$3
work=$(mktemp -d)
at_exit rm -rf "$work"
# shellcheck source=fakebus.sh
. "$(dirname "$0")/fakebus.sh"

gpu=0000:01:00.0 twin=0000:02:00.0 lent=0000:03:00.0

# Two cards on NVIDIA's driver, one of which has clocks to choose from, and one that a VM has.
usual() {
        local address

        machine
        card $gpu 10de 2684 030000 12 nvidia
        card $twin 10de 2684 030000 13 nvidia
        card $lent 10de 2684 030000 14 vfio-pci
        mkdir -p "$root/nvml" "$root/etc" "$root/run/gpuvm"
        for address in $gpu $twin $lent; do
                echo 0 | tee "$root/nvml/$address.persistent" >"$root/nvml/$address.draining"
        done
        echo 405,210 >"$root/nvml/$gpu.clocks"
        echo 5001,1590 >"$root/nvml/$gpu.supported"
        printf '[Gpu]\nPersistence=yes\nApplicationClocks=5001,1590\n' >"$root/etc/gpuvm.conf"
}

# tune OPTIONS...: its words in $output
tune() {
        status=0
        output=$(GPUVM_NVML=${library-$fakenvml} fake "$helper" --root="$root" "$@" 2>&1) || status=$?
        output+=$(said 2>/dev/null)
}

now() {
        (cd "$root/nvml" && cat "$gpu.persistent" "$twin.persistent" "$lent.persistent" "$gpu.clocks" | paste -sd' ')
}

usual
before=$(now)
tune --dry-run
is 'a plan changes nothing' "$status $(now)" "0 $before"
like 'and says what would be set' "$output" "$gpu.*persistence mode on"
like 'from what' "$output" 'application clocks 5001,1590 MHz .memory, graphics. instead of 405,210'
tune
is 'both are set, of GPUs that the host has' "$status $(now)" '0 1 1 0 5001,1590'
like 'one that has no clocks to choose is left as it is' "$output" "$twin: its driver does not know application clocks"
tune --verbose
is 'a second time nothing is left to do' "$status $(now)" '0 1 1 0 5001,1590'
check 'and nothing is set' test "${output/persistence mode on/}" = "$output"

usual
printf '[Gpu]\nPersistence=yes\n[Gpu %s]\nApplicationClocks=5001,9999\n' $gpu >"$root/etc/gpuvm.conf"
tune
is 'clocks that a GPU does not have are a failure, and the rest is done' "$status $(now)" '1 1 1 0 405,210'
like 'which names the command that lists those it has' "$output" "$gpu has no such application clocks.*SUPPORTED_CLOCKS"

usual
printf '[Gpu]\nPersistence=no\n' >"$root/etc/gpuvm.conf"
echo 1 >"$root/nvml/$gpu.persistent"
tune
is 'persistence mode can be turned off, and clocks be left alone' "$status $(now)" '0 0 0 0 405,210'

usual
rm "$root/etc/gpuvm.conf"
tune
is 'without being asked for it does nothing' "$status $(now)" "77 $before"

usual
library=/nowhere tune
is 'neither does it without the library' "$status $(now)" "0 $before"
like 'and says so' "$output" 'libnvidia-ml.so.1. is not installed'

usual
mkdir -p "$root/run/gpuvm/lock"
exec 9>"$root/run/gpuvm/lock/group-12"
flock 9
tune
is 'a GPU that is being handed over is left out, the others are not' "$status $(now)" '0 0 1 0 405,210'
like 'and that is told' "$output" "$gpu is just being handed over"
exec 9>&-

usual
for function in nvmlInitWithFlags nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceGetPersistenceMode nvmlDeviceSetPersistenceMode \
        nvmlDeviceGetApplicationsClock nvmlDeviceSetApplicationsClocks; do
        usual
        FAKENVML_FAIL=$function:999 tune
        is "$function fails: so does this" "$status" 1
        like "and says which GPU" "$output" "Cannot set [a-z ]* of $gpu"
        tune
        is 'the next run makes up for it' "$status $(now)" '0 1 1 0 5001,1590'
done
done_testing
