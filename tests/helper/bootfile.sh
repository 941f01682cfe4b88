#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Which files of the boot are replaced, and which start proves them, on made-up machines: bootfile.sh DIRECTORY-OF-HELPERS
# shellcheck disable=SC2016 # single quotes: for a shell that runs later

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
helpers=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0
menu=grub.cfg.gpuvm-old nine=initrd.img-6.1.0-9-amd64.gpuvm-old thirteen=initrd.img-6.1.0-13-amd64.gpuvm-old

# machine [trial|running-9]
machine() {
        root=$work/$((n += 1))
        if [ "${1-}" = trial ]; then TRIAL=yes make_machine "$root"; else make_machine "$root"; fi
        [ "${1-}" != running-9 ] || echo 6.1.0-9-amd64 >"$root/proc/sys/kernel/osrelease"
        before=$(boot_digest "$root")
}

run() {
        status=0
        said=$("$helpers/gpuvm-$1" --root="$root" "${@:2}" 2>&1) || status=$?
}

# What gpuvm-bootfile.service does at the end of a boot, if its condition holds.
settle() {
        if [ -e "$root/var/lib/gpuvm/unproven" ]; then run bootfile "$@"; else status=condition said=; fi
}

# by KERNEL [WORDS]: a start by hand, by its entry in the menu or with these words.
by() {
        local words=${2-}

        next_boot "$root" >/dev/null
        [ -n "$words" ] || words=$(sed -n "s|^\tlinux\t\(/boot/vmlinuz-$1 .*\)|\1|p" "$root/boot/grub/grub.cfg" | head -n 1)
        echo "BOOT_IMAGE=$words" >"$root/proc/cmdline"
        echo "$1" >"$root/proc/sys/kernel/osrelease"
        # As the kernel shows it, with blanks for one each.
        sed -i 's/  */ /g' "$root/proc/cmdline"
}

old() {
        find "$root/boot" -name '*gpuvm-*' -printf '%f\n' | LC_ALL=C sort | paste -sd' '
}

# --- the default changes at once
machine
run iommu
is 'replaced: the old ones are kept' "$status $(old)" "0 $menu $thirteen"
settle
is 'the same boot proves nothing' "$status $(old)" "0 $menu $thirteen"
like 'and that is said' "$said" 'Nothing to do'
next_boot "$root" >/dev/null
settle --dry-run
like 'a dry run names them' "$said" "would remove /boot/$thirteen: the machine has come up with the new one"
is 'and leaves them' "$(old)" "$menu $thirteen"
settle
is 'the next start, with the new ones: the old ones go' "$status $(old)" '0 '
like 'and that is told' "$said" '2 changes made'
settle
is 'from then on its condition fails' "$status" condition
run iommu
is 'the phase has nothing to do' "$status $(grep -c 'Nothing to do' <<<"$said")" '0 1'

# --- a trial becomes the default
machine trial
run iommu
next_boot "$root" >/dev/null
run iommu
settle
is 'in the trial nothing is proven' "$status $(old)" "0 $menu $thirteen"
next_boot "$root" >/dev/null
settle
is 'the start after it: the old ones go' "$status $(old) $(find "$root/var/lib/gpuvm" -name unproven)" '0  '

# --- an image of the newest kernel that does not start: somebody takes the kernel before it
machine running-9
run iommu
is 'two kernels: three files are kept' "$status $(old)" "0 $menu $thirteen $nine"
by 6.1.0-9-amd64
settle
is 'the older kernel: only its own image is proven' "$status $(old)" "0 $menu $thirteen"
run iommu
is 'the phase proves nothing' "$status $(old)" "0 $menu $thirteen"
cp -a "$root" "$work/removed"
by 6.1.0-13-amd64
settle
is 'the newest kernel: all is' "$status $(old)" '0 '
root=$work/removed
rm "$root"/boot/{vmlinuz,initrd.img}-6.1.0-13-amd64
chmod 0644 "$root/boot/grub/grub.cfg"
GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
by 6.1.0-9-amd64
settle
is 'the newest kernel is removed: so is what was kept of it' "$status $(old)" '0 '

# --- started with the old menu, or with its words
machine
run iommu
by 6.1.0-13-amd64 '/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1 ro quiet'
settle
is 'started by the old menu: it stays' "$status $(old)" "0 $menu"
by 6.1.0-13-amd64
settle
is 'then by the new one: it goes' "$status $(old)" '0 '

# --- started with the old image: the kernel tells how many bytes the loader has loaded
# loaded FILE
loaded() {
        local size

        size=$(stat -c %s "$root/boot/$1")
        mkdir -p "$root/sys/kernel/boot_params"
        python3 -c 'import struct, sys; sys.stdout.buffer.write(bytes(0x21c) + struct.pack("<I", (int(sys.argv[1]) + 3) & ~3) + bytes(4096 - 0x220))' \
                "$size" >"$root/sys/kernel/boot_params/data"
}
machine
run iommu
next_boot "$root" >/dev/null
loaded "$thirteen"
settle
is 'started with the old image: all stays' "$status $(old)" "0 $menu $thirteen"
loaded "${thirteen%.gpuvm-old}"
settle
is 'then with the new one: all goes' "$status $(old)" '0 '

# --- /boot is not mounted
machine
mkdir -p "$root/lib/modules/6.1.0-13-amd64"
run iommu
next_boot "$root" >/dev/null
mv "$root/boot" "$root/away"
mkdir "$root/boot"
settle
is 'not mounted: succeeds' "$status" 0
rmdir "$root/boot"
mv "$root/away" "$root/boot"
settle
is 'mounted again: nothing was forgotten' "$status $(old)" '0 '

# --- groups are there from the start: the vfio phase replaces the image
root=$work/$((n += 1))
make_vfio_machine "$root"
run vfio setup
is 'vfio: the old image is kept' "$status $(old)" "0 $thirteen"
next_boot "$root" >/dev/null
settle
is 'vfio: the next start, and it goes' "$status $(old)" '0 '

# --- what the machine starts with is not mounted: nothing counts as done
root=$work/$((n += 1))
make_vfio_machine "$root"
cp -a "$root" "$work/whole"
mv "$root/boot" "$root/away"
mkdir "$root/boot"
run vfio setup
is 'no /boot: refused' "$status" 1
like 'no /boot: says so, with the remedy' "$said" 'There is no kernel in /boot, .* Mount it'
rmdir "$root/boot"
mv "$root/away" "$root/boot"
run vfio setup
is 'no /boot, mounted then: done' "$status" 0
check 'no /boot, mounted then: with the rule in the image' grep -q gpuvm-vfio "$root/boot/initrd.img-6.1.0-13-amd64"
mv "$root/boot" "$root/away"
mkdir "$root/boot"
run vfio setup
is 'no /boot, and nothing to do: no matter' "$status $(grep -c 'Nothing to do' <<<"$said")" '0 1'
run undo vfio
is 'no /boot: nor is it undone' "$status" 1
rmdir "$root/boot"
mv "$root/away" "$root/boot"
run undo vfio
is 'no /boot, mounted then: undone' "$status $(grep -c gpuvm "$root/boot/initrd.img-6.1.0-13-amd64")" '0 0'

root=$work/whole
rm "$root"/boot/initrd.img-*
run vfio setup
is 'kernels without images: nothing to build' "$status $(grep -c mkinitramfs "$root/calls")" '0 0'

# --- systemd-boot, whose entries have copies of their own
systemd_machine() {
        root=$work/$((n += 1))
        make_vfio_machine "$root"
        make_systemd_boot "$root"
        copy=$root/boot/efi/0123456789abcdef0123456789abcdef/6.1.0-13-amd64/initrd.img-6.1.0-13-amd64
}
systemd_machine
run vfio setup
is 'systemd-boot: succeeds' "$status" 0
check 'systemd-boot: the copy has the rule' grep -q gpuvm-vfio "$copy"
check 'systemd-boot: the old copy is kept' bash -c '! grep -q gpuvm "$1"' sh "$copy.gpuvm-old"
next_boot "$root" >/dev/null
settle
is 'systemd-boot: the next start, and both go' "$status $(old)" '0 '
systemd_machine
mv "$root/boot/efi" "$root/away"
mkdir "$root/boot/efi"
run vfio setup
is 'no EFI partition: refused' "$status" 1
like 'no EFI partition: says so, with the remedy' "$said" 'The partition that systemd-boot started this machine from, .* is not mounted. Mount it'
is 'no EFI partition: nothing is replaced' "$(old)" ''
rmdir "$root/boot/efi"
mv "$root/away" "$root/boot/efi"
run vfio setup
is 'no EFI partition, mounted then: done' "$status" 0
check 'no EFI partition, mounted then: with the rule in the copy' grep -q gpuvm-vfio "$copy"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
        systemd_machine
        said=$(unshare -m bash -euc 'mount -t tmpfs -o size=1m none "$1/run"; cp -a "$1/boot/efi/." "$1/run"; mount --move "$1/run" "$1/boot/efi"
                dd if=/dev/zero of="$1/boot/efi/filler" bs=4k 2>/dev/null || true; rc=0; "$2" --root="$1" setup 2>&1 || rc=$?; echo "rc=$rc"' \
                sh "$root" "$helpers/gpuvm-vfio")
        like 'a full EFI partition: refused with the remedy' "$said" 'Cannot replace /boot/efi/.* and keep the old one: No space left on device. Make room there.*rc=1'
        is 'a full EFI partition: nothing is replaced' "$(old)" ''
        check 'a full EFI partition: the image in /boot is as it was' bash -c '! grep -q gpuvm "$1"' sh "$root/boot/initrd.img-6.1.0-13-amd64"
else
        skip 'a full EFI partition' 'needs root and mount namespaces'
fi

# --- undo replaces what has never started
machine
run iommu
next_boot "$root" >/dev/null
settle
run undo --all
is 'undone: what started is kept' "$status $(old)" "0 $menu $thirteen"
check 'undone: with our rule in it' grep -q gpuvm-vfio "$root/boot/$thirteen"
check 'undone: the new image is without' bash -c '! grep -q gpuvm "$1"' sh "$root/boot/${thirteen%.gpuvm-old}"
next_boot "$root" >/dev/null
settle
is 'undone: the next start, and they go' "$status $(old)" '0 '
is 'undone: /etc and /boot are as before' "$(boot_digest "$root")" "$before"
is 'undone: nothing is left in /var/lib/gpuvm' "$(find "$root/var/lib/gpuvm" -type f)" ''

# --- a file system without hard links, as FAT is
if command -v strace >/dev/null; then
        machine
        touch "$root/big-mkinitramfs"
        GPUVM_ROOT=$root "$root/usr/sbin/mkinitramfs" -o /boot/initrd.img-6.1.0-13-amd64 6.1.0-13-amd64
        cp "$root/boot/initrd.img-6.1.0-13-amd64" "$root/was"
        status=0
        ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e trace=linkat -e inject=linkat:error=EPERM \
                "$helpers/gpuvm-iommu" --root="$root" >/dev/null 2>&1 || status=$?
        is 'FAT: the old ones are copied' "$status $(old)" "0 $menu $thirteen"
        check 'FAT: a big one, too' cmp "$root/boot/$thirteen" "$root/was"
        check 'FAT: the new one is in its place' grep -q gpuvm-vfio "$root/boot/initrd.img-6.1.0-13-amd64"
else
        skip 'a file system without hard links' 'no strace here'
fi
done_testing
