#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-nvidia.service with the archive's real driver, whose module DKMS builds for the archive's kernel:
# nvidia-dkms.sh RELEASE
#
# The card is made up, so nothing is loaded. The packages are fetched before the boot; inside there is no network.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie} boot_limit=${GPUVM_BOOT_LIMIT:-5400}
machine_new "$release"
mkdir -p "$machine/etc/gpuvm.conf.d" "$machine/etc/initramfs-tools/conf.d"
printf '[Bootstrap]\nVfio=no\nKvm=no\nBridge=no\n[Gpu]\nCudaToolkit=no\nContainerToolkit=no\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
# An initramfs that nobody starts needs no modules.
echo MODULES=list >"$machine/etc/initramfs-tools/conf.d/test"

mkdir -p "$shared/pci/devices/0000:01:00.0"
echo 0x10de >"$shared/pci/devices/0000:01:00.0/vendor"
echo 0x2684 >"$shared/pci/devices/0000:01:00.0/device"
echo 0x030000 >"$shared/pci/devices/0000:01:00.0/class"
echo 'mount --bind /shared/pci /sys/bus/pci' >"$shared/before-init"

# The archive's kernel, and what the driver needs in apt's cache; the sources have main alone again when it boots.
inside() {
        DEBIAN_FRONTEND=noninteractive chroot "$machine" "$@" </dev/null
}
fetch() {
        local apt=(apt-get -q -y --no-install-recommends)

        cp --dereference /etc/resolv.conf "$machine/etc/resolv.conf"
        cp -r /etc/apt/apt.conf.d/. "$machine/etc/apt/apt.conf.d/"
        rm -f "$machine/etc/apt/apt.conf.d/docker-clean"
        echo "deb http://deb.debian.org/debian $release contrib non-free non-free-firmware" \
                >"$machine/etc/apt/sources.list.d/test.list"
        inside apt-get -q update
        inside "${apt[@]}" --download-only install nvidia-kernel-dkms libcuda1 nvidia-smi nvidia-persistenced \
                linux-headers-amd64 ca-certificates pciutils
        inside "${apt[@]}" install linux-image-amd64
        rm "$machine/etc/apt/sources.list.d/test.list"
}
if ! fetch >"$shared/apt.log" 2>&1; then
        diag "$(tail -n 5 "$shared/apt.log")"
        skip_all 'needs a Debian mirror'
fi
kernel=$(basename "$machine"/boot/vmlinuz-*)
echo "${kernel#vmlinuz-}" >"$shared/kernel"
like "$release: the machine starts a kernel of the archive" "$(cat "$shared/kernel")" '^[0-9.]+.*-amd64$'

driver() {
        local kernel pass

        kernel=$(cat /shared/kernel)
        for pass in first second; do
                systemctl start gpuvm-nvidia.service || journalctl --no-pager -n 40 -u "gpuvm-*" >&2
                echo "$pass $(systemctl show --value -p Result gpuvm-nvidia.service)" \
                        "$(sed -n 's/.*"action".*/change/p' /run/gpuvm/phases/nvidia.json | wc -l)"
        done
        cp /var/lib/gpuvm/phases/nvidia.json /shared/nvidia.json
        dkms status
        modinfo -k "$kernel" -F vermagic nvidia-current
        modinfo -k "$kernel" -F version nvidia-current
        ls /usr/lib/x86_64-linux-gnu/libcuda.so.1
        dpkg --audit
        gpuvm-undo nvidia >/shared/undo 2>&1 || tail /shared/undo
        dpkg-query -W -f '${Package} ${Status}\n' '*nvidia*' libcuda1 dkms linux-headers-amd64 2>/dev/null | grep ' installed'
        modinfo -k "$kernel" -F version nvidia-current 2>/dev/null
        find /etc/apt /etc/modprobe.d -name '*gpuvm*'
}
machine_boot driver
kernel=$(cat "$shared/kernel")
like "$release: the driver is installed" "$(grep ^first <<<"$output")" '^first success [1-9]'
is "$release: the second run changes nothing" "$(grep ^second <<<"$output")" 'second success 0'
like "$release: DKMS has built it" "$output" "nvidia-current/[0-9.]+, ${kernel//+/\\+}, x86_64: installed"
like "$release: for the kernel that starts" "$output" "${kernel//+/\\+} SMP"
like "$release: with the library" "$output" '/usr/lib/x86_64-linux-gnu/libcuda.so.1'
is "$release: undo takes all of it back" "$(sed '1,/libcuda.so.1/d' <<<"$output")" ''
diag "$(sed -n 's/.*"took_ms": *\([0-9]*\).*/the driver took \1 ms/p' "$shared/nvidia.json")"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 80 "$shared/stderr")"
done_testing
