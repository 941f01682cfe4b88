# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# A GPU from one declared machine to the next, in a container with stand-ins for the GPU and for the guests.

# bench_next_of EXPRESSION: the median, in milliseconds, of what awk makes of each line.
bench_next_of() {
        awk "{ print $1 }" "$work/next" | median
}

bench_next() {
        cc -O2 -shared -fPIC -std=gnu11 -D_GNU_SOURCE -I"$top" -I"$top/helpers/lib" -include "$build/config.h" \
                -o "$work/fakesys.so" "$top/tests/mock/fakesys.c" -ldl
        bash "$top/tests/bench/nextvm.sh" trixie "$work/fakesys.so" "$work/next" >"$work/next.log" ||
                { echo "bench.sh: the container failed: $(tail -n 5 "$work/next.log")" >&2; return 1; }
        # shellcheck disable=SC2016 # awk's
        row 'hand-over between two declared machines, beside their own shutdown and boot' "$(bench_next_of '$1 - $2 - $3')" ms 1000 \
                "of $(bench_next_of '$1') ms; by libvirt alone a guest starts in $(bench_next_of '$2') ms and shuts down in $(bench_next_of '$3') ms; the GPU and its resets are stand-ins"
}
