#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Real boots of systemd in a container, for bench.sh: boots.sh RELEASE RESULT HOST
#
# RESULT gets one "NAME VALUE" a line. HOST: a recorded machine on which every phase has nothing to do.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../container/lib.sh
. "$(dirname "$0")/../container/lib.sh"

container_require
release=$1 result=$2 host=$3
boots=15
machine_new "$release"
: >"$result"

# In milliseconds: how long all generators took, and what our units took since the boot.
stage() {
        systemctl is-system-running --wait >/dev/null
        systemctl show -p GeneratorsStartTimestampMonotonic -p GeneratorsFinishTimestampMonotonic --value |
                awk '{ t[NR] = $1 } END { print (t[2] > t[1] ? t[2] - t[1] : t[1] - t[2]) / 1000 }'
        systemd-analyze critical-chain --no-pager | grep -c gpuvm
        systemctl show -P ExecMainStartTimestampMonotonic 'gpuvm-*.service' | awk '$1 > 0' | grep -c .
}

# Interleaved, so that what else the machine does hits both.
mkdir -p "$machine/etc/systemd/system-generators"
mask=$machine/etc/systemd/system-generators/gpuvm-generator
for ((i = 0; i < boots; i++)); do
        for name in with without; do
                rm -f "$mask"
                [ "$name" = with ] || ln -s /dev/null "$mask"
                machine_boot stage
                { read -r ms && read -r critical && read -r started; } <<<"$output"
                echo "stage-$name $ms" >>"$result"
                [ "$name" = without ] || echo "critical $critical
started $started" >>"$result"
        done
done
rm -f "$mask"
ok "$boots boots with the generator and $boots without"

# The whole target with nothing to do, each unit in its sandbox, on the recorded machine.
cp -a "$host" "$machine/finished"
for unit in "$machine"/lib/systemd/system/gpuvm-*.service; do
        name=${unit##*/}
        mkdir -p "$machine/etc/systemd/system/$name.d"
        printf '[Service]\nEnvironment=GPUVM_ROOT=/finished\nReadWritePaths=/finished\n' \
                >"$machine/etc/systemd/system/$name.d/bench.conf"
done
# A recorded machine has no libvirt to ask: that phase may say so, its time counts.
printf '[Service]\nExecStart=\nExecStart=-/usr/lib/gpuvm/gpuvm-storage\n' \
        >>"$machine/etc/systemd/system/gpuvm-storage.service.d/bench.conf"
# Without the first run, which leaves records.
target() {
        systemctl is-system-running --wait >/dev/null
        for _ in 1 2 3 4 5 6; do
                began=$(date +%s%N)
                systemctl start gpuvm-bootstrap.target || journalctl -b --no-pager -u 'gpuvm-*' | tail -n 5 >&2
                echo "$(systemctl is-active gpuvm-bootstrap.target) $((($(date +%s%N) - began) / 1000))"
        done
}
machine_boot target
while read -r state usec; do
        [ "$state" != active ] || echo "target $(awk -v u="$usec" 'BEGIN { print u / 1000 }')"
done < <(sed 1d <<<"$output") >>"$result"
if grep -q '^target ' "$result"; then
        ok 'the target with nothing to do'
else
        not_ok 'the target with nothing to do' "$(<"$shared/stderr")"
fi
done_testing
