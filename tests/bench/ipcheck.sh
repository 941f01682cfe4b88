# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# Addresses that nobody has: vmctl ip check beside arp-scan, on a bridge in a network of its own with 50 hosts behind it in
# a /24, and 200 in a /22.

# In those namespaces; writes "FIGURE SECONDS" lines. The machines are those of libvirt's test driver: none.
bench_ipcheck_inside() {
        local vmctl=$1 i

        mount --make-rprivate /
        mount -t tmpfs tmpfs /run
        mkdir -p /run/netns /run/gpuvm/phases
        echo '{"mode":"bridged","bridge":"br0"}' >/run/gpuvm/phases/bridge.json
        ip netns add far
        ip link set lo up
        ip link add br0 type bridge
        ip link add va master br0 type veth peer name vb netns far
        ip link set va up
        ip link set br0 up
        ip -n far link set vb up
        ip addr add 10.77.0.2/24 dev br0
        ip addr add 10.78.0.2/22 dev br0
        for ((i = 1; i <= 50; i++)); do echo "addr add 10.77.0.$((i * 4 + 30))/24 dev vb"; done >/run/batch
        for ((i = 1; i <= 200; i++)); do echo "addr add 10.78.$(((i * 5 + 7) / 256)).$(((i * 5 + 7) % 256))/22 dev vb"; done >>/run/batch
        ip netns exec far ip -batch /run/batch
        for ((i = 0; i < 9; i++)); do
                bench_ipcheck_time ours24 "$vmctl" -c test:///default ip check --quiet 10.77.0.0/24
                bench_ipcheck_time ours22 "$vmctl" -c test:///default ip check --quiet 10.78.0.0/22
                bench_ipcheck_time arpscan24 arp-scan -I br0 -q -x 10.77.0.0/24
                bench_ipcheck_time arpscan22 arp-scan -I br0 -q -x 10.78.0.0/22
        done
}

bench_ipcheck_time() {
        local start=$EPOCHREALTIME status=0

        "${@:2}" >/run/out 2>&1 || status=$?
        echo "$1 $status $start $EPOCHREALTIME" | awk '{ printf "%s %s\n", $1, $2 == 0 ? $4 - $3 : "nan" }'
}

bench_ipcheck_median() {
        awk -v n="$1" '$1 == n { print $2 }' "$work/ipcheck" | median
}

bench_ipcheck() {
        local ours peer

        # shellcheck disable=SC2016 # another shell's
        unshare --mount --net bash -c '. "$0" && bench_ipcheck_inside "$1"' "$top/tests/bench/ipcheck.sh" \
                "$build/helpers/vmctl" >"$work/ipcheck"
        ours=$(bench_ipcheck_median ours24)
        peer=$(bench_ipcheck_median arpscan24)
        row 'free addresses of a /24, 50 answering: arp-scan' "$peer" s -
        row 'free addresses of a /24, 50 answering: vmctl ip check' "$ours" s \
                "$(awk -v p="$peer" 'BEGIN { m = p / 2.7; print m < 0.65 ? m : 0.65 }')" '0.65 s, and arp-scan divided by 2.7'
        row 'free addresses of a /22, 200 answering: arp-scan' "$(bench_ipcheck_median arpscan22)" s -
        row 'free addresses of a /22, 200 answering: vmctl ip check' "$(bench_ipcheck_median ours22)" s \
                "$(awk -v o="$ours" 'BEGIN { print o * 1.15 }')" '1.15 of the /24'
}
