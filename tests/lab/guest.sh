#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Makes the disk of a guest for the lab's machines, and prints its path: guest.sh
#
# A kernel of Debian's with guest/init.c, started by a GRUB of its own, as small as can be: an emulated machine that
# emulates another takes some hundred times as long as a real one.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { echo "guest.sh: $*" >&2 && exit 1; }

disk=$("$here/image.sh" --stocked --cmdline intel_iommu=on)
root=$(dirname "$disk")/root
guest=$(dirname "$disk")/guest-$(cat "$here/guest.sh" "$here/guest/init.c" | sha256sum | cut -c1-16).qcow2

exec 9>"$guest.lock"
flock -w 600 9 || die "another makes it, and does not end"
if [ ! -e "$guest" ]; then
        work=$(mktemp -d)
        trap 'rm -rf "$work" "$root/tmp/guest"' EXIT
        mkdir -p "$root/tmp/guest/initrd"
        gcc -std=gnu17 -Wall -Wextra -Werror -O2 -static -o "$root/tmp/guest/initrd/init" "$here/guest/init.c"
        find "$root/lib/modules" -name virtio_blk.ko.xz | sort -V | tail -n 1 | xargs -I{} cp {} "$root/tmp/guest/initrd/"
        # shellcheck disable=SC2016 # the chroot's shell expands it
        chroot "$root" sh -c 'cd /tmp/guest/initrd && ls | cpio --quiet -o -H newc >../initrd.img'
        # Each character on the serial port is two system calls of an emulated kernel; and in there now and then a call of
        # the firmware's SetVirtualAddressMap() ends the guest with a jump to nowhere.
        printf '%s\n' 'search --no-floppy --file /vmlinuz --set=root' \
                'linux /vmlinuz console=ttyS0,115200 panic=-1 quiet efi=noruntime' 'initrd /initrd.img' 'boot' >"$root/tmp/guest/embed.cfg"
        chroot "$root" grub-mkimage -O x86_64-efi -o /tmp/guest/BOOTX64.EFI -c /tmp/guest/embed.cfg -p / \
                part_gpt fat search search_fs_file linux boot
        truncate -s 62M "$work/esp"
        mkfs.vfat -n GUEST "$work/esp" >/dev/null
        mmd -i "$work/esp" ::EFI ::EFI/BOOT
        mcopy -i "$work/esp" "$root/tmp/guest/BOOTX64.EFI" ::EFI/BOOT/
        mcopy -i "$work/esp" "$root/tmp/guest/initrd.img" ::
        mcopy -i "$work/esp" "$(find "$root/boot" -name 'vmlinuz-*' | sort -V | tail -n 1)" ::vmlinuz
        truncate -s 64M "$work/disk"
        printf '%s\n' "label: gpt" "start=1MiB, size=62MiB, type=U" | sfdisk -q "$work/disk"
        dd if="$work/esp" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none
        qemu-img convert -f raw -O qcow2 -c "$work/disk" "$guest.new"
        chmod 444 "$guest.new"
        mv "$guest.new" "$guest"
fi
echo "$guest"
