# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, top are bench.sh's
# Hand-overs of an idle GPU in the lab, beside driverctl; sourced by bench.sh.

bench_handover() {
        local what own peer kernel

        "$top/tests/lab/handover.sh" "$work/handover" >"$work/handover.log" ||
                { echo "bench.sh: the lab failed: $(grep -A5 '^not ok' "$work/handover.log")" >&2; return 1; }
        handover_of() { sed -n "s/^$1 //p" "$work/handover"; }
        for what in attach detach; do
                kernel=$(handover_of "kernel-$what" | median)
                # Without what the kernel takes for the same writes.
                own=$(handover_of "gpuvm-$what" | median | awk -v k="$kernel" '{ print ($1 > k ? $1 - k : 0) }')
                peer=$(handover_of "driverctl-$what" | median | awk -v k="$kernel" '{ print ($1 > k ? $1 - k : 0) }')
                row "$what of an idle GPU, time of driverctl" "$(ratio "$own" "$peer")" "" 0.1 \
                        "$own ms and $peer ms beside the kernel's own $kernel ms; emulated"
                row "$what, system calls that touch sysfs, for a function" "$(handover_of "gpuvm-$what-calls")" "" 40 \
                        "driverctl: $(handover_of "driverctl-$what-calls")"
                row "$what, processes started for both functions" "$(handover_of "gpuvm-$what-processes")" "" 1 \
                        "driverctl, for one: $(handover_of "driverctl-$what-processes")"
        done
}
