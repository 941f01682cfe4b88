# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# An image of 2 GiB with 780 MiB of data, as Talos makes them (xz -6 in blocks), from a server on this machine: vmctl beside
# the three commands of a script. On the disk, where images go.

# One that is made once: programs, and holes between them. It takes minutes.
bench_image_make() {
        local raw=$1 i

        truncate -s 2G "$raw"
        for i in 0 1 2 3; do
                { tar -C / -cf - usr 2>/dev/null || true; } | tail -c +$((i * 300 * 1048576 + 1)) | head -c $((195 * 1048576)) |
                        dd of="$raw" bs=1M seek=$((i * 512 + 5)) conv=notrunc iflag=fullblock status=none || true
        done
        xz -T2 -6 -k -f "$raw"
}

# bench_seconds COMMAND...: of wall time, the disk's part too.
bench_seconds() {
        local start end

        sync
        start=$(date +%s.%N)
        "$@" >/dev/null 2>"$work/err" || { echo nan; return; }
        sync
        end=$(date +%s.%N)
        awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f\n", b - a }'
}

# As one writes it down.
bench_image_script() {
        rm -rf "$disk/script"
        mkdir "$disk/script"
        curl -sS --cacert "$disk/server/ca.pem" -o "$disk/script/image.raw.xz" "$url/image/x/v1.13.9/nocloud-amd64.raw.xz"
        xz -d "$disk/script/image.raw.xz"
        qemu-img convert -f raw -O qcow2 "$disk/script/image.raw" "$disk/script/image.qcow2"
}

bench_image_pull() {
        rm -rf "$disk/root/var"
        GPUVM_ROOT=$disk/root "$build/helpers/vmctl" image pull talos v1.13.9 --no-gpu --quiet
}

bench_image() {
        local disk=$top/dist/bench server good url data i ours=() script=()

        mkdir -p "$disk/server" "$disk/root/etc"
        { [ -e "$disk/image.raw" ] && [ -e "$disk/image.raw.xz" ]; } || bench_image_make "$disk/image.raw"
        rm -f "$disk/server/ports"
        IMAGESERVER_FILE=$disk/image.raw.xz python3 "$top/tests/mock/imageserver.py" "$disk/server" 2>/dev/null &
        server=$!
        for ((i = 0; i < 300; i++)); do
                [ -e "$disk/server/ports" ] && break
                sleep 0.1
        done
        good=$(sed -n 's/^good=//p' "$disk/server/ports")
        url=https://localhost:$good/file
        printf '[Image]\nTalosUrl=%s\n' "$url" >"$disk/root/etc/gpuvm.conf"
        export GPUVM_IMAGE_CA=$disk/server/ca.pem
        for i in 1 2 3; do
                ours+=("$(bench_seconds bench_image_pull)")
                script+=("$(bench_seconds bench_image_script)")
        done
        # The goal is a ratio: 2.2 times faster.
        i=$(printf '%s\n' "${script[@]}" | median)
        row 'image of 2 GiB: curl, xz -d, qemu-img convert' "$i" s -
        row 'image of 2 GiB: vmctl image pull' "$(printf '%s\n' "${ours[@]}" | median)" s "$(awk -v s="$i" 'BEGIN { printf "%.3f\n", s / 2.2 }')" \
                'on two cores: the script divided by 2.2'
        data=$(du -k "$disk/image.raw" | cut -f1)
        row 'image of 2 GiB: written, of its data' "$(ratio "$(du -k "$disk"/root/var/cache/gpuvm/images/*.raw | cut -f1)" "$data")" '' 1.02
        row 'image of 2 GiB: memory' "$(rm -rf "$disk/root/var" && GPUVM_ROOT=$disk/root peak_mib "$build/helpers/vmctl" image pull talos v1.13.9 --no-gpu -q)" MiB 192
        row 'image that is in the cache' "$(GPUVM_ROOT=$disk/root wall_ms '' 100 "$build/helpers/vmctl" image pull talos v1.13.9 --no-gpu -q)" ms 3.5 \
                '1.5 to start, 2 to find it'
        kill "$server"
        rm -rf "$disk/script" "$disk/root" "$disk/server"
}
