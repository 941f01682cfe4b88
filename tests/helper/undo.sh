#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-undo after gpuvm-iommu, and on records of every kind: undo.sh DIRECTORY-OF-HELPERS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
helpers=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0

machine() {
        root=$work/$((n += 1))
        make_machine "$root"
}

undo() {
        status=0
        said=$("$helpers/gpuvm-undo" --root="$root" "$@" 2>&1) || status=$?
}

# The next start, and what gpuvm-bootfile.service does at its end.
settled() {
        next_boot "$root" >/dev/null
        "$helpers/gpuvm-bootfile" --root="$root" >/dev/null 2>&1
}

iommu() {
        "$helpers/gpuvm-iommu" --root="$root" >/dev/null 2>&1
}

# record NUMBER STEP KIND OBJECT WAS [DATA]: as the ledger has them.
record() {
        local file head
        mkdir -p "$root/var/lib/gpuvm/ledger"
        file=$root/var/lib/gpuvm/ledger/$1-$2
        printf 'gpuvm-undo 1\nstep=%s\nkind=%s\nobject=%s\nwas=%s\nmode=420\nuid=0\ngid=0\nsize=%s\n' \
                "$2" "$3" "$4" "$5" "${#6}" >"$file"
        head=$({ cat "$file"; printf %s "$6"; } | gzip -c | tail -c 8 | head -c 4 | od -An -tx4 | tr -d ' ')
        printf 'crc=%s\n\n%s' "$head" "$6" >>"$file"
}

machine
before=$(boot_digest "$root")
undo --list
is 'nothing is recorded: succeeds' "$status" 0
like 'nothing is recorded: says so' "$said" 'Nothing is recorded'
undo
is 'no step: bad usage' "$status" 2
undo --all iommu
is 'a step and --all: bad usage' "$status" 2
iommu
after=$(boot_digest "$root")
undo --list
like 'the list has the drop-in' "$said" 'iommu +file +/etc/default/grub.d/zz-gpuvm.cfg: remove it, it was not there'
like 'the list says what stays' "$said" 'Upgraded packages and kernels stay'
undo --list --json
is 'the list as JSON' "$(python3 -c 'import json, sys; print(*sorted({r["step"] for r in json.load(sys.stdin) if r["kind"] == "file"}))' <<<"$said")" 'iommu vfio'
records=$(find "$root/var/lib/gpuvm/ledger" -type f | wc -l)
undo --all --dry-run
is 'a dry run succeeds' "$status" 0
like 'a dry run names the drop-in' "$said" 'would remove /etc/default/grub.d/zz-gpuvm.cfg'
is 'a dry run changes nothing' "$(boot_digest "$root")" "$after"
is 'a dry run keeps the records' "$(find "$root/var/lib/gpuvm/ledger" -type f | wc -l)" "$records"
: >"$root/calls"
undo --all
is 'all: succeeds' "$status" 0
settled
is 'all: /etc and /boot as before' "$(boot_digest "$root")" "$before"
is 'all: no records left' "$(find "$root/var/lib/gpuvm" -type f)" ''
is 'all: grub.cfg came back without grub-mkconfig' "$(grep -c grub-mkconfig "$root/calls")" 0
is 'all: the image is made anew once' "$(grep -c mkinitramfs "$root/calls")" 1
: >"$root/calls"
undo --all
is 'again: succeeds' "$status" 0
is 'again: starts nothing' "$(cat "$root/calls")" ''

machine
before=$(boot_digest "$root")
iommu
undo iommu
is 'the step: succeeds' "$status" 0
is 'the step: without its words' "$(grep -c intel_iommu=on "$root/boot/grub/grub.cfg")" 0
check 'the step: what is for exclusive GPUs stays' test -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
undo vfio
is 'the step and vfio: succeeds' "$status" 0
settled
is 'the step and vfio: /etc and /boot as before' "$(boot_digest "$root")" "$before"
undo nonsense
is 'an unknown step: succeeds' "$status" 0
like 'an unknown step: says so' "$said" "Nothing is recorded for step 'nonsense'"

# An administrator was there after us.
machine
iommu
echo '# mine' >>"$root/etc/default/grub.d/zz-gpuvm.cfg"
undo --all
is 'a file changed since: succeeds' "$status" 0
like 'a file changed since: is named' "$said" 'zz-gpuvm.cfg stays: somebody changed it after gpuvm; --force'
check 'a file changed since: stays' grep -q '# mine' "$root/etc/default/grub.d/zz-gpuvm.cfg"
check 'a file changed since: its record stays' grep -qr 'zz-gpuvm.cfg' "$root/var/lib/gpuvm/ledger"
undo --force iommu
check 'with --force it goes' test ! -e "$root/etc/default/grub.d/zz-gpuvm.cfg"
is 'with --force: no records left' "$(find "$root/var/lib/gpuvm/ledger" -type f)" ''

# A new menu since, for a new kernel: the old one must not come back.
machine
iommu
for f in vmlinuz initrd.img; do cp "$root/boot/$f-6.1.0-13-amd64" "$root/boot/$f-6.1.0-20-amd64"; done
GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
undo iommu
is 'a new menu since: succeeds' "$status" 0
check 'a new menu since: has the new kernel' grep -q 6.1.0-20 "$root/boot/grub/grub.cfg"
is 'a new menu since: does not ask for the IOMMU' "$(grep -c iommu "$root/boot/grub/grub.cfg")" 0

# The old menu names a kernel that is gone.
machine
iommu
rm "$root"/boot/{vmlinuz,initrd.img}-*
for f in vmlinuz initrd.img; do echo x >"$root/boot/$f-6.1.0-20-amd64"; done
undo iommu
is 'the old kernels are gone: succeeds' "$status" 0
check 'the old kernels are gone: the menu has the one that is there' grep -q 6.1.0-20 "$root/boot/grub/grub.cfg"

# The menu became ours twice, and the kernels changed in between.
menu() {
        GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
}

other_kernel() {
        for f in vmlinuz initrd.img; do mv "$root/boot/$f-6.1.0-13-amd64" "$root/boot/$f-6.1.0-20-amd64"; done
        echo 6.1.0-20-amd64 >"$root/proc/sys/kernel/osrelease"
}

kernels() {
        sed -n 's/^\tlinux\t.*vmlinuz-\([^ ]*\).*/\1/p' "$root/boot/grub/grub.cfg" | sort -u | paste -sd' '
}

machine
iommu
rm "$root/etc/default/grub.d/zz-gpuvm.cfg"
other_kernel
menu
iommu
is 'ours again: asks for the IOMMU' "$(kernels) $(grep -c intel_iommu=on "$root/boot/grub/grub.cfg")" '6.1.0-20-amd64 6.1.0-9-amd64 4'
undo iommu
is 'ours again: succeeds' "$status" 0
is 'ours again: the menu has the kernels of today' "$(kernels)" '6.1.0-20-amd64 6.1.0-9-amd64'
is 'ours again: does not ask for the IOMMU' "$(grep -c iommu "$root/boot/grub/grub.cfg")" 0
is 'ours again: no records left' "$(grep -l '^step=iommu' "$root"/var/lib/gpuvm/ledger/* || true)" ''

# The same kernels, other words: neither the first menu nor one with ours in it comes back.
machine
iommu
sed -i 's/quiet/quiet mine/' "$root/etc/default/grub"
menu
printf '[Bootstrap]\nOverrideIommuOff=yes\n' >>"$root/etc/gpuvm.conf"
sed -i 's/GRUB_CMDLINE_LINUX=""/GRUB_CMDLINE_LINUX="iommu=off"/' "$root/etc/default/grub"
menu
echo 'BOOT_IMAGE=/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1 ro iommu=off' >"$root/proc/cmdline"
iommu
sed -i 's/iommu=off//' "$root/etc/default/grub"
undo iommu
is 'other words since: succeeds' "$status" 0
is 'other words since: they stay, ours go' "$(grep -c mine "$root/boot/grub/grub.cfg") $(grep -c iommu "$root/boot/grub/grub.cfg")" '2 0'

# One kernel more, or one less, that nobody told GRUB of.
machine
iommu
for f in vmlinuz initrd.img; do cp "$root/boot/$f-6.1.0-13-amd64" "$root/boot/$f-6.1.0-20-amd64"; done
undo iommu
is 'a kernel more: is in the menu' "$status $(kernels)" '0 6.1.0-13-amd64 6.1.0-20-amd64 6.1.0-9-amd64'
machine
iommu
rm "$root"/boot/*-6.1.0-13-amd64
undo iommu
is 'a kernel less: is not in the menu' "$status $(kernels)" '0 6.1.0-9-amd64'

machine
iommu
touch "$root/fail-mkinitramfs"
before=$(boot_digest "$root")
undo iommu vfio
is 'mkinitramfs fails: so does undo' "$status" 1
check 'mkinitramfs fails: would start' starts "$root"
check 'mkinitramfs fails: it is remembered' grep -qr '^kind=refresh' "$root/var/lib/gpuvm/ledger"
rm "$root/fail-mkinitramfs"
undo iommu vfio
is 'mkinitramfs fails: the next run completes' "$status" 0
is 'mkinitramfs fails: then without our rule' "$(grep -c gpuvm "$root/boot/initrd.img-6.1.0-13-amd64")" 0

# Records of other kinds, and damage.
machine
printf 'kvm:x:100:anna,bert\nlibvirt:x:101:\n' >"$root/etc/group"
echo 'anna:x:1000:1000::/home/anna:/bin/sh' >"$root/etc/passwd"
mkdir -p "$root/etc/made" "$root/etc/used"
touch "$root/etc/used/file"
ln -s elsewhere "$root/etc/link"
printf wrote >"$root/etc/twice"
record 000001 kvm member anna kvm ''
record 000002 kvm member anna libvirt ''
record 000003 kvm active libvirtd.service inactive ''
record 000004 kvm enabled libvirtd.service disabled ''
record 000005 vfio refresh udev '' ''
record 000006 vfio dir /etc/made absent ''
record 000007 vfio dir /etc/used absent ''
record 000008 iommu file /etc/twice present old
record 000009 iommu wrote /etc/twice '' between
record 000010 vfio file /etc/twice present between
record 000011 vfio wrote /etc/twice '' wrote
record 000012 vfio file /etc/link link target
record 000013 vfio wrote /etc/link '' wrote
record 000014 kvm file /etc/gone absent ''
record 000015 kvm file /etc/shadowed present secret
record 000016 kvm file ../../escape present x
truncate -s -1 "$root/var/lib/gpuvm/ledger/000015-kvm"
echo junk >"$root/var/lib/gpuvm/ledger/000017-kvm"
undo iommu
is 'written by a later step: succeeds' "$status" 0
like 'written by a later step: stays, with the step named' "$said" "/etc/twice stays: step 'vfio' wrote to it later"
undo vfio
is 'the later step: succeeds' "$status" 0
is 'the later step: back to what the earlier one wrote' "$(cat "$root/etc/twice")" between
is 'a link that somebody changed stays' "$(readlink "$root/etc/link")" elsewhere
check 'an empty directory of ours goes' test ! -e "$root/etc/made"
check 'a directory in use stays' test -e "$root/etc/used/file"
check 'udev is told' grep -qx udevadm "$root/calls"
undo iommu
is 'then the earlier step' "$(cat "$root/etc/twice")" old
undo kvm
is 'a path that is not absolute: fails' "$status" 1
check 'a path that is not absolute: nothing outside' test ! -e "$work/escape"
is 'the user leaves the group' "$(cat "$root/etc/group")" 'kvm:x:100:,bert
libvirt:x:101:'
is 'gpasswd once, for the group that has the user' "$(grep -c '^gpasswd -d' "$root/calls")" 1
is 'systemctl stop and disable' "$(grep -cx systemctl "$root/calls")" 2
like 'damaged records are named' "$said" '000015-kvm is no whole record'
check 'damaged records are not acted upon' test ! -e "$root/etc/shadowed"
check 'damaged records stay' test -e "$root/var/lib/gpuvm/ledger/000017-kvm"

# The bootstrap's own memory goes with everything.
machine
mkdir -p "$root/var/lib/gpuvm/phases"
touch "$root/var/lib/gpuvm/phases/iommu.json" "$root/var/lib/gpuvm/report.json" "$root/var/lib/gpuvm/pending"
record 000001 vfio refresh daemon-reload '' ''
undo --all
is 'all: succeeds without files too' "$status" 0
is 'all: forgets the story' "$(find "$root/var/lib/gpuvm" -type f)" ''

# What is taken back must not come back at the next boot: neither by the story nor by a request.
waiting_machine() {
        machine
        mkdir -p "$root/var/lib/gpuvm/phases" "$root/run/gpuvm/reboot.d" "$root/run/systemd/system" \
                "$root/usr/lib/systemd/system"
        touch "$root/var/lib/gpuvm/pending" "$root/run/gpuvm/reboot.d"/{iommu,packages} "$root/run/gpuvm/motd"
        record 000001 kvm active libvirtd.service inactive ''
        touch "$root/usr/lib/systemd/system/libvirtd.service" "$root/fail-systemctl"
}

# waits: what is left that goes on by itself.
waits() {
        find "$root/var/lib/gpuvm/pending" "$root/run/gpuvm" -type f ! -name turn -printf '%f\n' 2>/dev/null | sort | paste -sd' '
}

waiting_machine
undo --all --dry-run
is 'a dry run leaves the story and the requests' "$(waits)" 'iommu motd packages pending'
undo iommu
is 'one step: ends the story, takes its request' "$status $(waits)" '0 packages'
undo --all
is 'all: takes every request, whatever fails' "$status $(waits)" '1 '

# A unit that is there and does not obey.
like 'systemctl fails: says so' "$said" "'systemctl stop libvirtd.service' did not work"
check 'systemctl fails: it is remembered' test -e "$root/var/lib/gpuvm/ledger/000001-kvm"
rm "$root/fail-systemctl"
undo --all
is 'systemctl fails: the next run completes' "$status $(find "$root/var/lib/gpuvm" -type f)" '0 '
waiting_machine
rm "$root/usr/lib/systemd/system/libvirtd.service"
undo --all
is 'the unit is gone: succeeds' "$status" 0
like 'the unit is gone: says so' "$said" 'There is no libvirtd.service any more'
is 'the unit is gone: no records left' "$(find "$root/var/lib/gpuvm" -type f)" ''

# Undo and the phases of the bootstrap keep out of each other's way.
at_work() {
        python3 - "$root/run/gpuvm/turn" "$1" <<'PYTHON' &
import fcntl, sys, time
f = open(sys.argv[1], "r+")
fcntl.lockf(f, getattr(fcntl, sys.argv[2]))
open(sys.argv[1] + ".taken", "w")
time.sleep(600)
PYTHON
        worker=$!
        at_exit kill "$worker"
        until [ -e "$root/run/gpuvm/turn.taken" ]; do sleep 0.1; done
        rm "$root/run/gpuvm/turn.taken"
}

ended() {
        kill "$worker"
        wait "$worker" || true
}

machine
iommu
after=$(boot_digest "$root")
at_work LOCK_EX
status=0
said=$("$helpers/gpuvm-iommu" --root="$root" 2>&1) || status=$?
is 'undo is at work: a phase fails' "$status" 1
like 'undo is at work: the phase says so, with the remedy' "$said" "gpuvm-undo \(pid $worker\) is at work. Start gpuvm-bootstrap.target again"
ended
at_work LOCK_SH
undo --all --dry-run
is 'another is at work: a dry run succeeds' "$status" 0
undo --list
is 'another is at work: so does the list' "$status" 0
undo --all
is 'another is at work: undo fails' "$status $(boot_digest "$root" | diff <(echo "$after") -)" '1 '
like 'another is at work: says so' "$said" "The bootstrap is at work \(pid $worker\)"
ended
undo --all
is 'the other has ended: undo succeeds' "$status" 0

# What a cut leaves.
machine
before=$(boot_digest "$root")
record 000001 iommu file /etc/default/grub.d/zz-gpuvm.cfg absent ''
record 000002 iommu wrote /etc/default/grub.d/zz-gpuvm.cfg '' half
echo ha >"$root/etc/default/grub.d/.zz-gpuvm.cfg.gpuvm-new"
undo --all
is 'half written: succeeds' "$status" 0
is 'half written: nothing is left beside' "$(boot_digest "$root")" "$before"
record 000001 iommu wrote /etc/default/grub.d/zz-gpuvm.cfg '' whole
undo --all
is 'half forgotten: succeeds' "$status" 0
is 'half forgotten: the rest is forgotten' "$(find "$root/var/lib/gpuvm" -type f)" ''
record 000001 iommu refresh bootloader '' ''
: >"$root/boot/grub/grub.cfg.gpuvm-new"
undo --all --dry-run
check 'a menu made beside and not yet recorded: a dry run leaves it' test -e "$root/boot/grub/grub.cfg.gpuvm-new"
undo --all
is 'a menu made beside and not yet recorded: nothing is left of it' "$status $(boot_digest "$root")" "0 $before"
done_testing
