# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work and top are bench.sh's
# What a boot pays for us. What the target costs with nothing to do is measured in the lab, where a real one is.

bench_boot() {
        local result=$work/boots with without

        bash "$top/tests/bench/boots.sh" trixie "$result" | grep -v '^ok' || true
        values() { awk -v n="$1" '$1 == n { print $2 }' "$result"; }
        with=$(values stage-with | median)
        without=$(values stage-without | median)
        row 'generator stage of a boot, without ours' "$without" ms -
        row 'generator stage of a boot, with ours' "$with" ms "$(awk -v a="$without" 'BEGIN { printf "%.3f\n", a + 1 }')" \
                'one millisecond more than without, by turns'
        row 'our units on the critical path of a boot' "$(values critical | median)" '' 0
        row 'our units started in a boot' "$(values started | median)" '' 0
}
