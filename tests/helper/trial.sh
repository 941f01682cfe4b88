#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A start with the new command line before it becomes the default, on made-up machines: trial.sh DIRECTORY-OF-HELPERS
# shellcheck disable=SC2016 # single quotes: for a shell that runs later, or for GRUB

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
helpers=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0
real=/boot/initrd.img-6.1.0-13-amd64
own=$real.gpuvm-trial

machine() {
        root=$work/$((n += 1))
        TRIAL=yes make_machine "$root"
        before=$(boot_digest "$root")
}

run() {
        status=0
        said=$("$helpers/gpuvm-iommu" --root="$root" "$@" 2>&1) || status=$?
}

undo() {
        status=0
        said=$("$helpers/gpuvm-undo" --root="$root" "$@" 2>&1) || status=$?
}

resume() {
        status=0
        said=$("$helpers/gpuvm-resume" --root="$root" 2>&1) || status=$?
}

# What gpuvm-reboot leaves when it restarts the machine.
restart() {
        printf 'gpuvm-pending 1\nboot %s\ncounted 1\ntotal 1\nresumes 0\ncause iommu 1\nend\n' \
                "$(cat "$root/proc/sys/kernel/random/boot_id")" >"$root/var/lib/gpuvm/pending"
        next_boot "$root" "$@"
}

requested() {
        [ -e "$root/run/gpuvm/reboot.d/iommu" ] && echo yes || echo no
}

armed() {
        grep -a '^next_entry' "$root/boot/grub/grubenv" || echo no
}

stage() {
        sed -n 's/^stage //p' "$root/var/lib/gpuvm/trial" 2>/dev/null || true
}

etc_and_menu() {
        boot_digest "$root" | grep -E '[ /]etc/|grub\.cfg|^etc|img-6.1.0-13-amd64($|  *[^.]*$)'
}

back() {
        is "$1: /etc and /boot are as before" "$(boot_digest "$root" | diff <(echo "$before") - || true)" ''
}

# After an undo: the next start, and what gpuvm-bootfile.service does at its end.
settled() {
        next_boot "$root" >/dev/null
        "$helpers/gpuvm-bootfile" --root="$root" >/dev/null 2>&1
}

undone() {
        settled
        back "$1"
}

machine
run --dry-run
is 'a dry run succeeds' "$status" 0
like 'a dry run names the entry first' "$said" 'would write /boot/grub/custom.cfg: an entry for one start, panic=10: intel_iommu=on iommu=pt'
like 'a dry run says what follows' "$said" 'the default stays as it is until the machine has come up with IOMMU groups'
back 'a dry run'
is 'a dry run leaves no state' "$(stage)$(requested)" no
etc=$(etc_and_menu)
run
is 'made: succeeds' "$status" 0
is 'made: the loader takes it once' "$(armed)" next_entry=gpuvm-trial
is 'made: the stage' "$(stage)" ready
is 'made: /etc, the menu and the images are as before' "$(etc_and_menu)" "$etc"
like 'made: the restart is for a trial' "$(cat "$root/run/gpuvm/reboot.d/iommu")" 'trial start'
check 'made: the saved default stays' grep -q -a '^saved_entry=gnulinux' "$root/boot/grub/grubenv"
is 'made: a block is a kilobyte' "$(stat -c %s "$root/boot/grub/grubenv")" 1024
is 'made: its words' "$(sed -n 's/^\tlinux\t//p' "$root/boot/grub/custom.cfg")" \
        '/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1 ro quiet intel_iommu=on iommu=pt panic=10 gpuvm.trial=11111111-1111-1111-1111-111111111111'
check 'made: its own image has the rule' grep -q gpuvm-vfio "$root$own"
check 'made: the real one has not' bash -c '! grep -q gpuvm "$1"' sh "$root$real"
is 'made: nothing is left beside' "$(find "$root/boot" "$root/etc" -name '*gpuvm-new*')" ''
after=$(boot_digest "$root")
: >"$root/calls"
run
is 'a second run succeeds' "$status $(requested)" '0 yes'
is 'a second run writes nothing' "$(boot_digest "$root")" "$after"
is 'a second run starts nothing' "$(cat "$root/calls")" ''
cp -a "$root" "$work/pending"

is 'the next start takes it, with its image' "$(restart)" "$own"
is 'the one after would not' "$(armed)" next_entry=
resume
is 'the trial is up: goes on' "$status $(stage)" '0 up'
: >"$root/calls"
run
is 'groups: succeeds' "$status $(requested)" '0 no'
like 'groups: says so' "$said" "The trial start went well: 'intel_iommu=on iommu=pt' is the default now"
is 'groups: its word is no unknown option' "$(grep -c 'Unknown option' <<<"$said")" 0
is 'groups: every entry asks for the IOMMU' "$(grep -c '^.linux.*intel_iommu=on iommu=pt' "$root/boot/grub/grub.cfg")" 4
is 'groups: no entry has the words of the trial' "$(grep -c 'panic=\|gpuvm.trial' "$root/boot/grub/grub.cfg")" 0
is 'groups: its image is the real one, not another' "$(grep -c mkinitramfs "$root/calls" || true)" 0
check 'groups: with the rule' grep -q gpuvm-vfio "$root$real"
check 'groups: and the rule is in /etc' test -e "$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
is 'groups: nothing is left of the trial' "$(find "$root/boot" "$root/var/lib/gpuvm" -name '*trial*' -o -name custom.cfg)$(armed)" no
check 'groups: the saved default stays' grep -q -a '^saved_entry=gnulinux' "$root/boot/grub/grubenv"
check 'groups: would start' starts "$root"
run
is 'groups: a second run changes nothing' "$status $(grep -c 'Nothing to do' <<<"$said")" '0 1'
cp -a "$root" "$work/committed"
is 'the next start is the default' "$(restart)" "$real"
run
settled
is 'the default has groups: the old files go' "$status $(find "$root/boot" -name '*gpuvm*')" '0 '
undo --all
is 'undone: succeeds' "$status" 0
undone 'undone'
root=$work/committed
undo --all
undone 'undone in the trial'

root=$work/pending
undo --dry-run --all
like 'pending, undo, dry run: names the order' "$said" 'would write /boot/grub/grubenv: without next_entry=gpuvm-trial'
is 'pending, undo, dry run: leaves it' "$(armed)" next_entry=gpuvm-trial
cp -a "$root" "$work/iommu"
undo --all
is 'pending, undone: succeeds' "$status $(stage)" '0 '
undone 'pending, undone'
is 'pending, undone: the loader takes nothing' "$(armed)" no
root=$work/iommu
undo iommu
undone 'pending, only this step undone'

# Its image has what step vfio wants there, so without that step there is none.
machine
run
undo vfio
is 'pending, step vfio undone: no trial' "$status $(stage) $(requested) $(armed)" '0  no no'
is 'pending, step vfio undone: nor its image' "$(find "$root/boot" -name '*trial*' -o -name custom.cfg)" ''
restart >/dev/null
run
is 'pending, step vfio undone: a trial is made again' "$status $(stage)" '0 ready'
undo --all
undone 'pending, step vfio undone, then all'
machine
printf '[Gpu]\nMode=flexible\n' >"$root/etc/gpuvm.conf"
run
undo vfio
is 'pending, without an image: stays' "$status $(stage) $(requested)" '0 ready yes'

# The machine hangs or panics, and starts again.
machine
run
restart dead
is 'lost: the next start is the old one' "$(restart)" "$real"
resume
run
is 'lost: fails' "$status $(requested)" '1 no'
like 'lost: says so, with the remedy' "$said" 'The trial failed: the machine did not come up with the IOMMU on.*start gpuvm-bootstrap.target again'
like 'lost: so does the login message' "$(cat "$root/run/gpuvm/motd")" 'trial start .* failed'
is 'lost: the stage' "$(stage)" lost
back lost
restart >/dev/null
resume
is 'lost: nothing goes on by itself' "$status" 1
like 'lost: and that is said' "$said" 'trial start .* failed before'
run
is 'lost: started by hand, there is another' "$status $(requested) $(armed)" '0 yes next_entry=gpuvm-trial'
like 'lost: and that is said as well' "$said" 'A trial start failed before; this is another'
undo --all
undone 'lost, undone'

machine
run
restart off >/dev/null
resume
run
is 'no groups: fails' "$status $(requested) $(stage)" '1 no useless'
like 'no groups: says so, with the remedy' "$said" 'The trial failed: the machine came up .*no IOMMU groups. Turn on VT-d'
back 'no groups'
run
is 'no groups: the same boot tries nothing' "$status $(requested)" '1 no'
restart >/dev/null
resume
is 'no groups: nothing goes on by itself' "$status" 1

# An administrator adds a module to the initramfs meanwhile: it is his, and stays.
modules() {
        paste -sd' ' "$root/etc/initramfs-tools/modules"
}

machine
run
restart dead
restart >/dev/null
run
echo hba >>"$root/etc/initramfs-tools/modules"
run
is 'a module since a lost trial: stays for another' "$status $(stage) $(modules)" '0 ready # List of modules hba'
check 'a module since a lost trial: is in the image of the other' grep -q gpuvm-vfio "$root$own"
undo --all
is 'a module since a lost trial: undone, it stays' "$status $(modules)" '0 # List of modules hba'

machine
run
echo hba >>"$root/etc/initramfs-tools/modules"
restart >/dev/null
run
is 'a module before the commit: beside ours' "$status $(modules)" \
        '0 # List of modules hba # gpuvm: an exclusive GPU belongs to vfio-pci from the start vfio-pci'
undo --all
is 'a module before the commit: undone, it stays' "$status $(modules)" '0 # List of modules hba'

# The power is gone after the trial came up, before it was judged: nothing speaks against it.
machine
run
restart >/dev/null
resume
restart >/dev/null
run
is 'cut off: another trial' "$status $(requested) $(stage)" '0 yes ready'

# Not by way of the loader.
machine
run
echo 99999999-2222-4222-8222-222222222222 >"$root/proc/sys/kernel/random/boot_id"
rm -r "$root/run/gpuvm"
run
is 'kexec: still to come' "$status $(requested) $(stage) $(armed)" '0 yes ready next_entry=gpuvm-trial'

# Cut in the middle of becoming the default.
machine
run
restart >/dev/null
touch "$root/kill-grub-mkconfig"
run
is 'cut in the commit: killed' "$status $(stage)" '137 good'
rm "$root/kill-grub-mkconfig"
restart >/dev/null
run
is 'cut in the commit: the default at once, then' "$status $(requested) $(stage)" '0 yes '
is 'cut in the commit: every entry' "$(grep -c '^.linux.*intel_iommu=on iommu=pt' "$root/boot/grub/grub.cfg")" 4
is 'cut in the commit: nothing is left of the trial' "$(find "$root/boot" "$root/var/lib/gpuvm" -name '*trial*' -o -name custom.cfg)$(armed)" no

# A card that nobody knows for sure is nothing against the trial.
machine
run
restart >/dev/null
resume
printf '[Gpu 0000:01:00.0]\nMode=exclusive\n' >>"$root/etc/gpuvm.conf"
mkdir "$root/var/lib/gpuvm/gpus"
run
is 'refused for the cards: fails' "$status $(requested)" '1 no'
like 'refused for the cards: says so' "$said" 'Cannot tell which GPUs the sections of gpuvm.conf are about'
is 'refused for the cards: the trial was good all the same' "$(stage)" good
rmdir "$root/var/lib/gpuvm/gpus"
restart >/dev/null
run
is 'refused for the cards: the default at once, when that is mended' "$status $(requested) $(stage)" '0 yes '
is 'refused for the cards: every entry' "$(grep -c '^.linux.*intel_iommu=on iommu=pt' "$root/boot/grub/grub.cfg")" 4

# Somebody makes the real image anew before the trial.
machine
run
sleep 0.01
GPUVM_ROOT=$root "$root/usr/sbin/mkinitramfs" -o "$real" 6.1.0-13-amd64
restart >/dev/null
: >"$root/calls"
run
is 'the real image is newer: built anew' "$status $(grep -c mkinitramfs "$root/calls")" '0 1'
check 'the real image is newer: with the rule' grep -q gpuvm-vfio "$root$real"

# Groups by other means: what was prepared goes.
machine
run
mkdir "$root/sys/kernel/iommu_groups/0"
run
is 'groups without it: succeeds' "$status $(requested) $(stage)" '0 no '
back 'groups without it'

# custom.cfg has an owner, and the default is the saved one.
machine
printf '# mine, and no newline\nset color=blue' >"$root/boot/grub/custom.cfg"
chmod 0600 "$root/boot/grub/custom.cfg"
sed -i 's/set default="0"/set default="${saved_entry}"/' "$root/usr/share/00_header"
GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
echo 6.1.0-9-amd64 >"$root/proc/sys/kernel/osrelease"
echo 'BOOT_IMAGE=/boot/vmlinuz-6.1.0-9-amd64 root=UUID=1 ro quiet' >"$root/proc/cmdline"
before=$(boot_digest "$root")
run
is 'a saved default: the running kernel' "$(sed -n 's/^\tlinux\t\([^ ]*\).*/\1/p' "$root/boot/grub/custom.cfg")" /boot/vmlinuz-6.1.0-9-amd64
like "another's custom.cfg: stays" "$(cat "$root/boot/grub/custom.cfg")" 'set color=blue$'
is "another's custom.cfg: keeps its mode" "$(stat -c %a "$root/boot/grub/custom.cfg")" 600
restart >/dev/null
run
is "another's custom.cfg: as it was" "$status $(sha256sum <"$root/boot/grub/custom.cfg")" "0 $(printf '# mine, and no newline\nset color=blue' | sha256sum)"
undo --all
# Only with the newest kernel is its image proven.
echo 6.1.0-13-amd64 >"$root/proc/sys/kernel/osrelease"
undone "another's custom.cfg, undone"

# An empty one is somebody's too.
machine
: >"$root/boot/grub/custom.cfg"
before=$(boot_digest "$root")
run
undo --all
is 'an empty custom.cfg: undone' "$status" 0
undone 'an empty custom.cfg, undone'
machine
: >"$root/boot/grub/custom.cfg"
run
restart >/dev/null
run
is 'an empty custom.cfg: is there after the trial' "$status $(stat -c %s "$root/boot/grub/custom.cfg")" '0 0'

# Somebody takes the end of our block away: what is behind it is not ours.
machine
run
sed -i '/gpuvm trial ends here/d' "$root/boot/grub/custom.cfg"
echo 'set color=blue' >>"$root/boot/grub/custom.cfg"
undo --all
is 'half a block: succeeds' "$status" 0
like 'half a block: says that it stays' "$said" "stays, but nothing takes it: /boot/grub/custom.cfg has the line .* without the one that ends it"
is 'half a block: nothing else goes' "$(tail -n 1 "$root/boot/grub/custom.cfg")" 'set color=blue'
is 'half a block: the order goes' "$(armed)" no

# A link stays one, during the trial too.
machine
run
mv "$root/boot/grub/custom.cfg" "$root/etc/custom.cfg" && ln -s /etc/custom.cfg "$root/boot/grub/custom.cfg"
restart dead
restart >/dev/null
run
is 'a link since: stays one' "$status $(readlink "$root/boot/grub/custom.cfg")" '1 /etc/custom.cfg'

machine
sed -i 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="iommu=off"/' "$root/etc/default/grub"
GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
echo 'BOOT_IMAGE=/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1 ro iommu=off quiet' >"$root/proc/cmdline"
printf '[Bootstrap]\nOverrideIommuOff=yes\n' >>"$root/etc/gpuvm.conf"
run
is 'an off overridden: not in the trial' "$status $(grep -c iommu=off "$root/boot/grub/custom.cfg")" '0 0'
restart >/dev/null
run
is 'an off overridden: nor in the menu' "$status $(grep -c iommu=off "$root/boot/grub/grub.cfg")" '0 0'

# An administrator's off that is read after our drop-in: said before a restart, not after it.
machine
echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX iommu=off"' >"$root/etc/default/grub.d/zzz-admin.cfg"
before=$(boot_digest "$root")
run
is 'an off to come: refused' "$status $(requested)" '1 no'
like 'an off to come: is named' "$said" "has 'iommu=off', which keeps the IOMMU off"
back 'an off to come'

machine
echo nonsense >"$root/var/lib/gpuvm-trial" && mkdir "$root/var/lib/gpuvm" && mv "$root/var/lib/gpuvm-trial" "$root/var/lib/gpuvm/trial"
run
is 'a state that cannot be read: stops' "$status $(requested)" '1 no'
like 'a state that cannot be read: the remedy' "$said" "rm /var/lib/gpuvm/trial"
back 'a state that cannot be read'

# The state is lost: what is left is known for ours.
machine
run
rm "$root/var/lib/gpuvm/trial"
run
is 'the state is gone: made anew' "$status $(stage) $(armed)" '0 ready next_entry=gpuvm-trial'
undo --all
undone 'the state is gone, undone'

# dracut: its list is in /etc no longer than the image of the trial takes to be made.
dracut_machine() {
        machine
        make_dracut "$root"
        before=$(boot_digest "$root")
}
dracut_machine
run
is 'dracut: made' "$status $(stage) $(armed)" '0 ready next_entry=gpuvm-trial'
is 'dracut: its own image has the rule and the driver' "$(grep -c 'etc/udev/rules.d/70-gpuvm-vfio.rules$\|/vfio-pci.ko$' "$root$own")" 2
is 'dracut: the real one and /etc have not' "$(grep -rl gpuvm-vfio "$root$real" "$root/etc")" ''
cp -a "$root" "$work/dracut"
undo --all
undone 'dracut: pending, undone'
root=$work/dracut
is 'dracut: the next start takes it, with its image' "$(restart)" "$own"
: >"$root/calls"
run
is 'dracut: groups: succeeds' "$status $(stage)" '0 '
is 'dracut: groups: its image is the real one, not another' "$(grep -c '^dracut' "$root/calls" || true) $(grep -c vfio "$root$real")" '0 2'
check 'dracut: groups: and its list is in /etc' grep -q vfio-pci "$root"/etc/dracut.conf.d/*.conf
check 'dracut: groups: would start' starts "$root"
restart >/dev/null
settled
undo --all
undone 'dracut: undone'

dracut_machine
touch "$root/fail-dracut"
run
is 'dracut fails: so does the phase' "$status $(requested) $(armed)" '1 no no'
back 'dracut fails'

for program in grub-mkconfig mkinitramfs; do
        machine
        touch "$root/kill-$program"
        run
        is "killed during $program" "$status" 137
        check "killed during $program: would start" starts "$root"
        is "killed during $program: with the old entry" "$(armed)" no
        rm "$root/kill-$program"
        run
        is "killed during $program: the next run completes" "$status $(stage) $(armed)" '0 ready next_entry=gpuvm-trial'
        is "killed during $program: /etc is as before" "$(etc_and_menu)" "$etc"
        machine
        touch "$root/fail-$program"
        run
        is "$program fails: so does the phase" "$status $(requested)" '1 no'
        back "$program fails"
done

# Where GRUB cannot start an entry once, that is said, and the default changes at once, as carefully as ever.
at_once() {
        run
        is "$1: the default at once" "$status $(requested) $(grep -c '^.linux.*intel_iommu=on iommu=pt' "$root/boot/grub/grub.cfg")" '0 yes 4'
        like "$1: and that is said" "$said" "No trial start here, .*: .*$2"
        is "$1: nothing of a trial" "$(find "$root/boot" "$root/var/lib/gpuvm" -name '*trial*')$(grep -s menuentry "$root/boot/grub/custom.cfg")$(stage)" ''
}

for abstraction in lvm 'diskfilter mdraid1x' 'cryptodisk luks'; do
        machine
        echo "$abstraction" >"$root/grub-abstraction"
        at_once "on $abstraction" "on $abstraction, where GRUB cannot write"
done
for fs in btrfs zfs f2fs; do
        machine
        echo $fs >"$root/grub-fs"
        at_once "on $fs" "on $fs, where GRUB cannot write safely"
done
machine
rm "$root/usr/sbin/grub-probe"
at_once 'no grub-probe' 'grub-probe cannot tell'
machine
rm "$root/boot/grub/grubenv"
at_once 'no grubenv' 'no file /boot/grub/grubenv'
machine
echo >>"$root/boot/grub/grubenv"
at_once 'a grubenv of another size' 'is not what GRUB makes'
machine
touch "$root/fail-grub-editenv"
at_once 'grub-editenv fails' "does not set next_entry"
machine
sed -i 's/^next_entry=.*//; s/^saved_entry=gnulinux/saved_entry=gnulinux\nnext_entry=theirs/' "$root/boot/grub/grubenv"
truncate -s 1024 "$root/boot/grub/grubenv"
at_once "an administrator's own order" "take 'theirs' already"
is "an administrator's own order: stays" "$(armed)" next_entry=theirs
for part in 00_header 41_custom; do
        machine
        : >"$root/usr/share/$part"
        GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
        at_once "a menu without $part" 'the boot menu'
done

machine
echo 'set color=blue' >"$root/etc/mine.cfg"
ln -s /etc/mine.cfg "$root/boot/grub/custom.cfg"
at_once 'custom.cfg is a link' 'custom.cfg is a link'
is 'custom.cfg is a link: stays one' "$(readlink "$root/boot/grub/custom.cfg") $(cat "$root/etc/mine.cfg")" '/etc/mine.cfg set color=blue'
machine
printf '# gpuvm trial begins here\nset color=blue\n' >"$root/boot/grub/custom.cfg"
at_once 'half a block before' 'without the one that ends it'

# --- the network that a trial takes away

network() {
        mkdir -p "$root/proc/self/net"
        {
                printf 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n'
                [ "$1" = off ] || printf 'eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n'
        } >"$root/proc/self/net/route"
}

reboot_phase() {
        status=0
        said=$("$helpers/gpuvm-reboot" --root="$root" 2>&1) || status=$?
}

machine
network on
run
check 'with a network: that is noted' grep -qx network "$root/var/lib/gpuvm/trial"
restart >/dev/null
resume
network off
run
is 'cut off: a restart is asked for' "$status $(requested) $(stage)" '0 yes offline'
like 'cut off: says why' "$said" 'has no default route any more'
is 'cut off: the loader takes the old entry' "$(armed)" no
reboot_phase
is 'cut off: the restart is granted' "$status $(sed -n 's/^cause //p' "$root/var/lib/gpuvm/pending")" '75 iommu 2'
is 'cut off: by the old image' "$(next_boot "$root")" $real
network on
resume
is 'cut off: nothing goes on by itself' "$status $(requested)" '1 no'
back 'cut off'
run
like 'cut off: a third restart for it is refused' "$said" "asks for a restart after 2 restarts for it already"
is 'cut off: and nothing waits for one' "$status $(requested) $(armed)" '1 no no'
rm "$root/var/lib/gpuvm/pending"
run
is 'cut off: started anew it is tried again' "$status $(requested) $(stage)" '0 yes ready'

machine
network on
run
restart >/dev/null
resume
network off
run
network on
run
is 'cut off for a while: good in the end' "$status $(requested) $(stage)" '0 no '
check 'cut off for a while: the default' grep -q 'intel_iommu=on' "$root/boot/grub/grub.cfg"

machine
run
restart >/dev/null
resume
run
is 'never had a network: good' "$status $(requested) $(stage)" '0 no '

# --- a restart that is refused, and then made by an administrator

machine
run
mkdir -p "$root/proc/77"
echo qemu-system-x86 >"$root/proc/77/comm"
printf 'qemu-system-x86_64\0-m\0001\0' >"$root/proc/77/cmdline"
reboot_phase
is 'a VM runs: refused' "$status" 1
like 'a VM runs: and an own restart is offered' "$said" 'or restart the machine yourself'
check 'a VM runs: none is counted' grep -qx 'total 0' "$root/var/lib/gpuvm/pending"
rm -r "$root/proc/77"
next_boot "$root" >/dev/null
resume
is 'a VM ran: after it the bootstrap goes on' "$status $(stage)" '0 up'
run
is 'a VM ran: the trial was good' "$status $(requested) $(stage)" '0 no '

# --- the power goes while a menu with the words is made, and somebody else makes one

machine
touch "$root/kill-grub-mkconfig"
run
rm "$root/kill-grub-mkconfig"
GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
check 'made by somebody else: the words are in it' grep -q intel_iommu=on "$root/boot/grub/grub.cfg"
undo --all
is 'made by somebody else: undone' "$status $(grep -c intel_iommu=on "$root/boot/grub/grub.cfg")" '0 0'
machine
run
: >"$root/calls"
undo --all
is 'a mere trial: undo makes no menu' "$status $(grep -c grub-mkconfig "$root/calls")" '0 0'

# systemd-boot.
systemd_machine() {
        root=$work/$((n += 1))
        make_machine "$root"
        make_systemd_boot "$root"
        echo 'initrd=\x root=UUID=1 ro quiet' >"$root/proc/cmdline"
        before=$(boot_digest "$root")
        entries=$root/boot/efi/loader/entries
        oneshot=$root/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
}

systemd_machine
run --dry-run
like 'systemd-boot: a dry run names the entry' "$said" 'would write gpuvm-trial.conf: an entry for one start, panic=10: intel_iommu=on iommu=pt'
back 'systemd-boot, a dry run'
run
is 'systemd-boot: succeeds' "$status $(requested) $(stage)" '0 yes ready'
check 'systemd-boot: the loader takes it once' test -e "$oneshot"
is 'systemd-boot: its words' "$(sed -n 's/^options //p' "$entries/gpuvm-trial.conf" | paste -sd' ')" \
        'root=UUID=1 ro quiet intel_iommu=on iommu=pt panic=10 gpuvm.trial=11111111-1111-1111-1111-111111111111'
is 'systemd-boot: behind the others' "$(grep -h ^sort-key "$entries"/* | sort | tail -n 1) $(grep -c ^sort-key "$entries/gpuvm-trial.conf")" 'sort-key zz-gpuvm-trial 1'
is 'systemd-boot: the other entries are as before' "$(grep -l intel_iommu "$entries"/*)" "$entries/gpuvm-trial.conf"
check 'systemd-boot: no words for kernels to come' test ! -e "$root/etc/kernel/cmdline"
: >"$root/calls"
run
is 'systemd-boot: a second run starts nothing' "$status $(requested) $(cat "$root/calls")" '0 yes '
cp -a "$root" "$work/systemd-pending"
like 'systemd-boot: the next start takes it, with its image' "$(restart)" '/initrd.img-6.1.0-13-amd64.gpuvm-trial$'
run
is 'systemd-boot, groups: succeeds' "$status $(requested)" '0 no'
is 'systemd-boot, groups: every entry' "$(grep -c '^options.*intel_iommu=on iommu=pt$' "$entries"/* | sed 's/.*://' | paste -sd' ')" '1 1'
is 'systemd-boot, groups: nothing is left of the trial' "$(find "$root/boot" "$root/var/lib/gpuvm" -name '*trial*')" ''
check 'systemd-boot, groups: its image is the real one' grep -q gpuvm-vfio "$root"/boot/efi/*/6.1.0-13-amd64/initrd.img-6.1.0-13-amd64
undo --all
is 'systemd-boot, undone: the entries' "$status $(grep -l intel_iommu "$entries"/*)" '0 '
root=$work/systemd-pending
undo --all
is 'systemd-boot, pending, undone: succeeds' "$status" 0
is 'systemd-boot, pending, undone: the order is gone' "$(find "$root/sys" -name 'LoaderEntryOneShot*')" ''
settled
is 'systemd-boot, pending, undone: /etc and /boot' "$(boot_digest "$root" | diff <(echo "$before") - || true)" ''

# An administrator writes the words for kernels to come anew.
systemd_machine
mkdir "$root/etc/kernel" && echo 'root=UUID=1 ro' >"$root/etc/kernel/cmdline"
run
restart >/dev/null
run
echo 'root=UUID=2 ro' >"$root/etc/kernel/cmdline"
rm -r "$root"/sys/kernel/iommu_groups/*
echo 'initrd=\x root=UUID=2 ro quiet' >"$root/proc/cmdline"
touch "$root/fail-bootctl"
run
is 'systemd-boot, other words since: has ours too' "$status $(cat "$root/etc/kernel/cmdline")" '0 root=UUID=2 ro intel_iommu=on iommu=pt'
undo --all
is 'systemd-boot, other words since: undone, they stay' "$status $(cat "$root/etc/kernel/cmdline")" '0 root=UUID=2 ro'

systemd_machine
run
restart dead
restart >/dev/null
run
is 'systemd-boot, lost: fails' "$status $(requested) $(stage)" '1 no lost'
back 'systemd-boot, lost'

systemd_at_once() {
        run
        is "systemd-boot, $1: the default at once" "$status $(requested) $(grep -l intel_iommu=on "$entries"/* | wc -l)" '0 yes 2'
        like "systemd-boot, $1: and that is said" "$said" "No trial start here, .*: .*$2"
        is "systemd-boot, $1: nothing of a trial" "$(find "$root/boot" "$root/var/lib/gpuvm" -name '*trial*')" ''
}

systemd_machine
touch "$root/fail-bootctl"
systemd_at_once 'no variables can be written' 'bootctl set-oneshot'
systemd_machine
rm -r "$root/sys/firmware/efi"
systemd_at_once 'no variables' "firmware's variables"
systemd_machine
sed -i /sort-key/d "$entries"/*
systemd_at_once 'no sort-key' 'no sort-key'
done_testing
