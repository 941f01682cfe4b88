#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-iommu on made-up machines: iommu.sh DIRECTORY-OF-HELPERS
# shellcheck disable=SC2016 # single quotes: for a shell that runs later

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
helper=$1/gpuvm-iommu
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0

machine() {
        root=$work/$((n += 1))
        make_machine "$root" "$@"
}

run() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

requested() {
        [ -e "$root/run/gpuvm/reboot.d/iommu" ] && echo yes || echo no
}

unchanged() {
        is "$1: changes nothing" "$(boot_digest "$root")" "$before"
        is "$1: asks for no reboot" "$(requested)" no
}

machine
before=$(boot_digest "$root")
run --dry-run
is 'a dry run succeeds' "$status" 0
like 'a dry run names the drop-in' "$said" 'would write /etc/default/grub.d/zz-gpuvm.cfg: kernel command line: intel_iommu=on iommu=pt'
like 'a dry run names the image' "$said" 'would build /boot/initrd.img-6.1.0-13-amd64'
unchanged 'a dry run'
is 'a dry run starts nothing' "$(cat "$root/calls")" ''
run
is 'Intel: succeeds' "$status" 0
is 'Intel: asks for a reboot' "$(requested)" yes
is 'Intel: every entry asks for the IOMMU' \
        "$(grep -c '^.linux.*intel_iommu=on iommu=pt' "$root/boot/grub/grub.cfg")" 4
is 'Intel: grub.cfg keeps its mode' "$(stat -c %a "$root/boot/grub/grub.cfg")" 444
is 'Intel: the running kernel and the newest are one: one image' "$(grep -c mkinitramfs "$root/calls")" 1
check 'Intel: the image has the rule' grep -q 70-gpuvm-vfio.rules "$root/boot/initrd.img-6.1.0-13-amd64"
check 'Intel: the old menu is kept' grep -q 'ro  quiet' "$root/boot/grub/grub.cfg.gpuvm-old"
is 'Intel: nothing is left beside' "$(find "$root/boot" -name '*gpuvm-new*')" ''
check 'Intel: would start' starts "$root"
recorded=$(cd "$root/var/lib/gpuvm/ledger" && grep -l gpuvm-vfio.rules -- *)
like 'Intel: the early rule belongs to step vfio' "$recorded" '^[0-9]+-vfio'
cp -a "$root" "$work/undo"
check 'Intel: gpuvm-undo vfio takes it back' "$1/gpuvm-undo" --root="$work/undo" vfio
is 'Intel: then no file of it is left' "$(grep -rl vfio-pci "$work/undo/etc" || true)" ''
check 'Intel: then the words for the IOMMU stay' grep -q intel_iommu=on "$work/undo/etc/default/grub.d/zz-gpuvm.cfg"
after=$(boot_digest "$root")
: >"$root/calls"
run
is 'a second run succeeds' "$status" 0
is 'a second run writes nothing' "$(boot_digest "$root")" "$after"
is 'a second run starts nothing' "$(cat "$root/calls")" ''
is 'a second run still asks for the reboot' "$(requested)" yes

echo "$(cat "$root/proc/cmdline") intel_iommu=on iommu=pt" >"$root/proc/cmdline"
run
is 'words there but no groups: fails' "$status" 1
like 'words there but no groups: names the switch' "$said" 'Turn on VT-d .*firmware setup'
mkdir "$root/sys/kernel/iommu_groups/0"
run
is 'groups: succeeds' "$status" 0
is 'groups: withdraws the request' "$(requested)" no
check 'groups: the old menu stays until the machine has come up with the new one' test -e "$root/boot/grub/grub.cfg.gpuvm-old"
run
like 'groups: nothing to do' "$said" 'Nothing to do'

machine AMD
before=$(boot_digest "$root")
run
is 'AMD without groups and without an off: fails' "$status" 1
like 'AMD: names the switch' "$said" 'AMD-Vi'
unchanged AMD

machine
before=$(boot_digest "$root")
rm "$root/sys/firmware/acpi/tables/DMAR"
run
is 'no table: fails' "$status" 1
like 'no table: names the remedy' "$said" 'no IOMMU: there is neither an ACPI DMAR nor an IVRS table. Turn on VT-d'
unchanged 'no table'

for place in GRUB_CMDLINE_LINUX GRUB_CMDLINE_LINUX_DEFAULT; do
        for word in intel_iommu=off iommu=off; do
                machine
                echo "$place=\"quiet $word\"" >>"$root/etc/default/grub"
                echo "ro quiet $word" >"$root/proc/cmdline"
                GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
                before=$(boot_digest "$root")
                run
                is "$word in $place: refused" "$status" 1
                like "$word in $place: names it and the consent" "$said" "'$word' is on the kernel command line, from /etc/default/grub.*OverrideIommuOff=yes"
                unchanged "$word in $place"
                printf '[Bootstrap]\nOverrideIommuOff=yes\n' >>"$root/etc/gpuvm.conf"
                run
                is "$word in $place, consent: succeeds" "$status" 0
                is "$word in $place, consent: no entry has it" "$(grep -c "[ ]$word" "$root/boot/grub/grub.cfg")" 0
                is "$word in $place, consent: asks for a reboot" "$(requested)" yes
        done
done

# An administrator's off that is not on the running command line yet, read after our drop-in.
machine
echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX iommu=off"' >"$root/etc/default/grub.d/zzz-admin.cfg"
before=$(boot_digest "$root")
run
is 'an off to come: refused' "$status" 1
like 'an off to come: is named' "$said" "has 'iommu=off', which keeps the IOMMU off"
like 'an off to come: so is the file that has it' "$said" '/etc/default/grub.d/zzz-admin.cfg is read after ours'
unchanged 'an off to come'

# Somebody takes our words out.
machine
echo 'GRUB_CMDLINE_LINUX="${GRUB_CMDLINE_LINUX%%intel_iommu=on*}"' >"$root/etc/default/grub.d/zzz-hostile.cfg"
echo 'GRUB_TIMEOUT=1' >"$root/etc/default/grub.d/zzzz-other.cfg"
before=$(boot_digest "$root")
run
is 'our words are taken out: refused' "$status" 1
like 'our words are taken out: the file is named' "$said" '/etc/default/grub.d/zzz-hostile.cfg is read after ours'
is 'our words are taken out: no restart' "$(requested)" no
unchanged 'our words are taken out'

for program in grub-mkconfig grub-script-check; do
        machine
        before=$(boot_digest "$root")
        touch "$root/fail-$program"
        run
        is "$program fails: so does the phase" "$status" 1
        like "$program fails: says that the old menu stands" "$said" 'grub.cfg was not touched'
        unchanged "$program fails"
        rm "$root/fail-$program" "$root/usr/sbin/grub-mkconfig"
        run
        is 'no grub-mkconfig: fails' "$status" 1
        like 'no grub-mkconfig: names the package' "$said" 'Install the package grub-common'
        unchanged 'no grub-mkconfig'
done

machine
before=$(boot_digest "$root")
touch "$root/truncate-grub-mkconfig"
run
is 'an empty menu: fails' "$status" 1
like 'an empty menu: says so' "$said" 'no menu entry'
unchanged 'an empty menu'

for trouble in fail small; do
        machine
        cp "$root/boot/initrd.img-6.1.0-13-amd64" "$root/old"
        touch "$root/$trouble-mkinitramfs"
        run
        is "mkinitramfs, $trouble: fails" "$status" 1
        check "mkinitramfs, $trouble: the old image stays" cmp "$root/boot/initrd.img-6.1.0-13-amd64" "$root/old"
        is "mkinitramfs, $trouble: nothing is left beside" "$(find "$root/boot" -name '*gpuvm-new*')" ''
        is "mkinitramfs, $trouble: no reboot" "$(requested)" no
        rm "$root/$trouble-mkinitramfs"
        run
        is "mkinitramfs, $trouble: the next run completes" "$status $(requested)" '0 yes'
        check "mkinitramfs, $trouble: with the rule in the image" grep -q gpuvm-vfio "$root/boot/initrd.img-6.1.0-13-amd64"
done

# An image for this machine alone is a fraction of one for any machine.
machine
mkdir "$root/etc/initramfs-tools/conf.d"
echo MODULES=dep >"$root/etc/initramfs-tools/conf.d/driver-policy"
touch "$root/small-mkinitramfs"
run
is 'MODULES=dep: a small image will do' "$status $(requested)" '0 yes'

# Killed while a child of ours is at work.
for program in grub-mkconfig mkinitramfs; do
        machine
        touch "$root/kill-$program"
        run
        is "killed during $program" "$status" 137
        check "killed during $program: would start" starts "$root"
        rm "$root/kill-$program"
        run
        is "killed during $program: the next run completes" "$status $(requested)" '0 yes'
        is "killed during $program: nothing is left beside" "$(find "$root/boot" -name '*gpuvm-new*')" ''
        check "killed during $program: the image has the rule" grep -q gpuvm-vfio "$root/boot/initrd.img-6.1.0-13-amd64"
done

machine
rm -r "$root/boot/grub"
before=$(boot_digest "$root")
run
is 'another loader: fails' "$status" 1
like 'another loader: says what to do' "$said" "add 'intel_iommu=on iommu=pt' to the command line|add the words"
unchanged 'another loader'

machine
make_dracut "$root"
before=$(boot_digest "$root")
run --dry-run
unchanged 'dracut: a dry run'
run
is 'dracut: succeeds' "$status $(requested)" '0 yes'
is 'dracut: one image' "$(grep -c dracut "$root/calls")" 1
is 'dracut: the image has the rule and the driver' \
        "$(grep -c '^etc/udev/rules.d/70-gpuvm-vfio.rules$\|/vfio-pci.ko$' "$root/boot/initrd.img-6.1.0-13-amd64")" 2
check 'dracut: would start' starts "$root"
"$1/gpuvm-undo" --root="$root" vfio >/dev/null 2>&1
is 'dracut: undone, neither is in it' "$(grep -c vfio "$root/boot/initrd.img-6.1.0-13-amd64")" 0
is 'dracut: nor a list of ours' "$(find "$root/etc/dracut.conf.d" -type f)" ''
for program in fail kill; do
        machine
        make_dracut "$root"
        touch "$root/$program-dracut"
        run
        check "dracut, $program: would start" starts "$root"
        is "dracut, $program: is no success, with the old image" "$((status > 0)) $(grep -c vfio "$root/boot/initrd.img-6.1.0-13-amd64")" '1 0'
        rm "$root/$program-dracut"
        run
        is "dracut, $program: the next run completes" \
                "$status $(requested) $(grep -c vfio "$root/boot/initrd.img-6.1.0-13-amd64")" '0 yes 2'
done

# systemd-boot: entries on the EFI partition, with their own copies of the images.
machine
id=0123456789abcdef0123456789abcdef
rm -r "$root/boot/grub"
echo $id >"$root/etc/machine-id"
mkdir -p "$root/boot/efi/loader/entries" "$root/boot/efi/$id/6.1.0-13-amd64"
cp "$root/boot/initrd.img-6.1.0-13-amd64" "$root/boot/efi/$id/6.1.0-13-amd64/initrd.img-6.1.0-13-amd64"
entry=$root/boot/efi/loader/entries/$id-6.1.0-13-amd64.conf
printf 'title Debian\noptions root=UUID=1 ro quiet\nlinux /%s/6.1.0-13-amd64/linux\ninitrd /%s/6.1.0-13-amd64/initrd.img-6.1.0-13-amd64\n' $id $id >"$entry"
cp "$entry" "$root/entry"
echo 'BOOT_IMAGE=/x initrd=\x root=UUID=1  ro "dyndbg=file a.c +p" foo.bar="one two" quiet' >"$root/proc/cmdline"
printf 'options of another system\n' >"$root/boot/efi/loader/entries/other.conf"
run
is 'systemd-boot: succeeds' "$status $(requested)" '0 yes'
is 'systemd-boot: the entry' "$(grep ^options "$entry")" 'options root=UUID=1 ro quiet intel_iommu=on iommu=pt'
is 'systemd-boot: kernels to come' "$(cat "$root/etc/kernel/cmdline")" \
        'root=UUID=1 ro "dyndbg=file a.c +p" foo.bar="one two" quiet intel_iommu=on iommu=pt'
is 'systemd-boot: not the entry of another system' "$(cat "$root/boot/efi/loader/entries/other.conf")" 'options of another system'
check 'systemd-boot: its image has the rule' grep -q gpuvm-vfio "$root/boot/efi/$id/6.1.0-13-amd64/initrd.img-6.1.0-13-amd64"
: >"$root/calls"
run
is 'systemd-boot: a second run starts nothing' "$status $(cat "$root/calls")" '0 '

if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
        # A /boot without room, a read-only /etc.
        machine
        before=$(boot_digest "$root")
        said=$(unshare -m bash -euc 'mount -t tmpfs -o size=1m none "$1/run"; cp -a "$1/boot/." "$1/run"; mount --move "$1/run" "$1/boot"
                dd if=/dev/zero of="$1/boot/filler" bs=4k 2>/dev/null || true; rc=0; "$2" --root="$1" 2>&1 || rc=$?
                rm "$1/boot/filler"; cd "$1/boot"; echo "rc=$rc"; find . -name "*gpuvm*"; cmp grub/grub.cfg "$3"' \
                sh "$root" "$helper" "$root/boot/grub/grub.cfg")
        like 'a full /boot: refused with the remedy' "$said" 'Cannot write the boot menu to /boot/grub: No space left on device. Make room there'
        is 'a full /boot: nothing beside, nothing changed' "${said##*rc=}" 1
        unchanged 'a full /boot'
        said=$(unshare -m bash -euc 'mount --bind "$1/etc" "$1/etc"; mount -o remount,ro,bind "$1/etc"
                rc=0; "$2" --root="$1" 2>&1 || rc=$?; echo "rc=$rc"' sh "$root" "$helper")
        like 'a read-only /etc: refused with the remedy' "$said" 'Cannot write /etc/default/grub.d/zz-gpuvm.cfg: Read-only file system. Make it writable.*rc=1'
        unchanged 'a read-only /etc'
else
        skip 'a full /boot, a read-only /etc' 'needs root and mount namespaces'
fi
done_testing
