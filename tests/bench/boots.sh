#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Real boots of systemd in a container, for bench.sh: boots.sh RELEASE RESULT
#
# RESULT gets one "NAME VALUE" a line.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../container/lib.sh
. "$(dirname "$0")/../container/lib.sh"

container_require
release=$1 result=$2
boots=40
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

done_testing
