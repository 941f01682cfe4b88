#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-iommu, and gpuvm-bootfile and gpuvm-undo after it, killed at a system call that changes something, and the power gone in the same
# moment: boot-cut.sh DIRECTORY-OF-HELPERS GOINGDOWN [CASE...]
#
# After each cut the machine must start as it is.
#
# shellcheck disable=SC2317,SC2154,SC2034 # the functions of the cases and what they share with cut.sh

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=cut.sh
. "$(dirname "$0")/cut.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=kernel-machine.sh
. "$here/kernel-machine.sh"
cut_begin "$@"

# Everything is to be done.
make_machine "$work/iommu"
echo hba >>"$work/iommu/etc/initramfs-tools/modules"
between[iommu]='^\./var/lib/gpuvm/unproven'
run_iommu() {
        "$@" "$helpers/gpuvm-iommu" --root="$root"
}
look_iommu() {
        starts "$root"
}

# And all of it is to be taken back, but for what an administrator has added between two runs.
cp -a "$work/iommu" "$work/undo"
sed -i /hba/d "$work/undo/etc/initramfs-tools/modules"
"$helpers/gpuvm-iommu" --root="$work/undo" >/dev/null 2>&1
cp "$work/iommu/etc/initramfs-tools/modules" "$work/undo/etc/initramfs-tools/modules"
"$helpers/gpuvm-iommu" --root="$work/undo" >/dev/null 2>&1
keeps_no_ledger[undo]=1
run_undo() {
        "$@" "$helpers/gpuvm-undo" --root="$root" --all
}
look_undo() {
        starts "$root"
}

# It has come up with the new files: what was kept of the old ones goes.
cp -a "$work/iommu" "$work/bootfile"
"$helpers/gpuvm-iommu" --root="$work/bootfile" >/dev/null 2>&1
next_boot "$work/bootfile" >/dev/null
between[bootfile]='^\./var/lib/gpuvm/unproven'
keeps_no_ledger[bootfile]=1
run_bootfile() {
        "$@" "$helpers/gpuvm-bootfile" --root="$root"
}
boot_bootfile() {
        echo 33333333-1111-4111-8111-111111111111 >"$root/proc/sys/kernel/random/boot_id"
}
look_bootfile() {
        starts "$root"
}

# The command line with a trial first: made, taken back, made the default.
TRIAL=yes make_machine "$work/trial"
between[trial]='^\./(var/lib/gpuvm/trial|etc/(udev/rules\.d|modules-load\.d|initramfs-tools|default/grub\.d)/)'
run_trial() {
        run_iommu "$@"
}

# Whatever the loader has been told, what it takes next is there and whole, and the start after that is the old one.
look_trial() {
        local root=$work/next image

        starts "$mnt/root" || return
        rm -rf "$root"
        cp -a "$mnt/root" "$root"
        image=$(next_boot "$root") || { echo "next: $image"; return 1; }
        [ "$(tail -n 1 "$root$image")" = 6.1.0-13-amd64 ] || { echo "next: $image is torn"; return 1; }
        image=$(next_boot "$root") || { echo "then: $image"; return 1; }
        case $image in *.gpuvm-trial) echo 'the trial is taken twice'; return 1 ;; esac
}

after_trial() {
        cp -a "$work/trial" "$work/$1"
        "$helpers/gpuvm-iommu" --root="$work/$1" >/dev/null 2>&1
}

after_trial untry
keeps_no_ledger[untry]=1
run_untry() {
        run_undo "$@"
}
look_untry() {
        look_trial
}

after_trial commit
next_boot "$work/commit" >/dev/null
between[commit]='^\./var/lib/gpuvm/(trial|unproven)'
keeps_no_ledger[commit]=1
run_commit() {
        run_iommu "$@"
}
look_commit() {
        look_trial
}

# Another kernel, which is not the first of the menu: tried, and made the default.
new=6.1.0-30-amd64
make_kernel_machine "$work/swap"
put_kernel "$work/swap" "$new" "$generic"
GPUVM_ROOT=$work/swap "$work/swap/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
between[swap]='^\./var/lib/gpuvm/kernel'
run_swap() {
        "$@" "$helpers/gpuvm-packages" --root="$root"
}

# Each start is by a kernel that is there and whole, and the one after the next by the old one.
look_swap() {
        local root=$work/next kernel

        starts "$mnt/root" || return
        rm -rf "$root"
        cp -a "$mnt/root" "$root"
        kernel=$(kernel_next_boot "$root")
        [ "$kernel" = "$(cat "$root/boot/initrd.img-$kernel")" ] || { echo "next: $kernel"; return 1; }
        kernel=$(kernel_next_boot "$root")
        [ "$kernel" = "${1-$old}" ] || { echo "then: $kernel"; return 1; }
}

cp -a "$work/swap" "$work/swapped"
"$helpers/gpuvm-packages" --root="$work/swapped" >/dev/null 2>&1
kernel_next_boot "$work/swapped" >/dev/null
between[swapped]='^\./var/lib/gpuvm/(kernel|unproven)'
keeps_no_ledger[swapped]=1
run_swapped() {
        run_swap "$@"
}
look_swapped() {
        look_swap "$old" >/dev/null || look_swap "$new"
}

cases=("${@:3}")
[ $# -gt 2 ] || cases=(iommu undo bootfile trial untry commit swap swapped)
cut_everywhere 28 "${cases[@]}"
root=$work/undo.whole
[ ! -e "$root" ] || [ ! -e "$work/iommu.start" ] || is 'undo brings all back' "$(cut_start_digest iommu)" "$(cat "$work/iommu.start")"
root=$work/bootfile.whole
[ ! -e "$root" ] || is 'nothing is kept of what was replaced' "$(find "$root/boot" "$root/var/lib/gpuvm" -name '*gpuvm-*' -o -name unproven)" ''
done_testing
