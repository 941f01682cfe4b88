# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work and build are bench.sh's
# The generator against systemd's own that reads one configuration file too.

bench_generator() {
        local ours=$build/generators/gpuvm-generator theirs=/usr/lib/systemd/system-generators/systemd-fstab-generator
        local d clean a b n

        # In memory, as /run/systemd/generator is.
        d=$(mktemp -d -p /dev/shm)
        mkdir -p "$d"/{n,e,l}
        clean="sh -c 'rm -rf $d/n/* $d/e/* $d/l/*'"
        a=$(wall_ms "$clean" 200 "$ours" "$d/n" "$d/e" "$d/l")
        b=$(wall_ms "$clean" 200 "$theirs" "$d/n" "$d/e" "$d/l")
        row 'systemd-fstab-generator, wall' "$b" ms -
        row 'generator, wall' "$a" ms "$(ratio "$b" 2)" 'half of systemd-fstab-generator'
        rm -rf "$d"/?/*
        a=$(instructions "$ours" "$d/n" "$d/e" "$d/l")
        b=$(instructions "$theirs" "$d/n" "$d/e" "$d/l")
        row 'systemd-fstab-generator, instructions' "$b" M -
        row 'generator, instructions' "$a" M "$(ratio "$b" 15)" '1/15 of systemd-fstab-generator'
        rm -rf "$d"/?/*
        row 'generator, memory' "$(peak_mib "$ours" "$d/n" "$d/e" "$d/l")" MiB 2
        mkdir -p "$d/root/etc/gpuvm/vms"
        for n in {1..100}; do
                printf '[Vm]\nKind=ubuntu\nCpus=8\nMemory=16384\n[Gpu]\nGpu=0000:%02x:00.0\n[Install]\nWantedBy=multi-user.target\n' \
                        $((n % 50)) >"$d/root/etc/gpuvm/vms/vm$n.vm"
        done
        a=$(wall_ms "$clean" 50 "$ours" --root="$d/root" "$d/n" "$d/e" "$d/l")
        row 'generator, 100 declared machines, wall' "$a" ms 20
        rm -rf "$d"
}
