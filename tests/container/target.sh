#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The target under a real systemd: order, running again, failure, what is switched off: target.sh RELEASE
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
all='preflight packages nvidia kvm iommu vfio bridge storage verify'
machine_new "$release"
rm -f "$machine/etc/gpuvm.conf" "$machine"/etc/gpuvm.conf.d/*
stub_all

# A machine that is not asked to do anything boots without us.
boot_only() {
        systemctl is-system-running --wait
        systemctl show -P InvocationID 'gpuvm-*.service' | tr -d '\n'
        echo "|$(systemctl is-active gpuvm-bootstrap.target)"
        systemd-analyze critical-chain --no-pager | grep -c gpuvm || true
}
machine_boot boot_only
is "$release: a boot runs none of our units" "$output" 'running
|inactive
0'

run_twice() {
        systemctl start gpuvm-bootstrap.target
        echo "first $?"
        systemctl start gpuvm-bootstrap.target
        echo "second $? $(systemctl is-active gpuvm-bootstrap.target)"
        systemctl show -P Type,RemainAfterExit 'gpuvm-*.service' | sort -u | paste -sd' '
}
machine_boot run_twice
is "$release: without a configuration all phases run, in order, and again" "$(ran)" "$all $all"
is "$release: a second start is a second invocation of each" "$(cut -d' ' -f2 "$shared/ran" | sort -u | wc -l)" 18
like "$release: both succeed" "$output" '^first 0
second 0 active'
is "$release: the boot ended by itself" "$status" 0

# Failure, on a machine where it worked before, and on one where it did not.
stub iommu 'exit 1'
rm "$shared/ran"
fail_fresh() {
        systemctl start gpuvm-bootstrap.target
        echo "$? $(systemctl is-active gpuvm-bootstrap.target) $(systemctl is-failed gpuvm-iommu.service)"
        systemctl is-active gpuvm-vfio.service
}
machine_boot fail_fresh
is "$release: a phase that fails stops the chain" "$(ran)" 'preflight packages nvidia kvm iommu'
is "$release: and the target" "$output" '1 inactive failed
inactive'

rm "$shared/ran"
fail_later() {
        sed -i 's/^exit 1$/[ -e \/run\/ok ] || exit 1/' /shared/stub-iommu
        touch /run/ok
        systemctl start gpuvm-bootstrap.target
        echo "$?"
        rm /run/ok
        systemctl start gpuvm-bootstrap.target
        echo "$?"
        touch /run/ok
        systemctl start gpuvm-bootstrap.target
        echo "$?"
}
machine_boot fail_later
is "$release: also one that worked before; and it recovers" "$output" '0
1
0'
is "$release: each start began at the first phase" "$(ran)" "$all preflight packages nvidia kvm iommu $all"

stub iommu 'exit 77'
rm "$shared/ran"
start() {
        systemctl start gpuvm-bootstrap.target
        echo "$?"
}
machine_boot start
is "$release: not applicable is not failed" "$output $(ran)" "0 $all"

stub iommu
mkdir -p "$machine/etc/gpuvm.conf.d"
printf '[Bootstrap]\nKvm=no\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
rm "$shared/ran"
start_twice() {
        start
        printf '[Bootstrap]\nVfio=no\n' >/etc/gpuvm.conf.d/51-test.conf
        systemctl daemon-reload
        echo again >>/shared/ran
        start
}
machine_boot start_twice
is "$release: a phase that is switched off does not run, and a reload is enough to switch one off" "$output $(ran)" '0
0 preflight packages nvidia iommu vfio bridge verify again preflight packages nvidia bridge verify'
rm "$machine"/etc/gpuvm.conf.d/5?-test.conf

# Switched off.
echo 'root=/dev/vda1 ro quiet gpuvm.bootstrap=off' >"$shared/cmdline"
rm "$shared/ran"
mkdir -p "$machine/var/lib/gpuvm"
echo garbage >"$machine/var/lib/gpuvm/pending"
start_and_say() {
        systemctl is-system-running --wait
        systemctl start gpuvm-bootstrap.target 2>&1
        echo "$?"
        journalctl --sync
        journalctl -b --no-pager -o cat -u gpuvm-bootstrap.target
        systemctl show -P InvocationID gpuvm-resume.service | tr -d '\n'
}
machine_boot start_and_say
is "$release: gpuvm.bootstrap=off: nothing ran" "$(ran)" ''
like "$release: gpuvm.bootstrap=off: not even with a bootstrap pending, and the boot is whole" "$output" '^running'
like "$release: gpuvm.bootstrap=off: a start says why not" "$output" 'gpuvm\.bootstrap='
rm "$machine/var/lib/gpuvm/pending"
echo 'root=/dev/vda1 ro quiet' >"$shared/cmdline"

masked() {
        systemctl mask --quiet gpuvm-bootstrap.target
        systemctl start gpuvm-bootstrap.target 2>&1
        echo "$?"
}
machine_boot masked
like "$release: a masked target does not start" "$output" 'is masked'
is "$release: masked: nothing ran" "$(ran)" ''
done_testing
