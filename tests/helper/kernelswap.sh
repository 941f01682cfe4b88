#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another kernel where VFIO does not work with the running one, on made-up machines: kernelswap.sh DIRECTORY-OF-HELPERS
# shellcheck disable=SC2016 # single quotes: for a shell that runs later, or for GRUB

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=kernel-machine.sh
. "$here/kernel-machine.sh"
helpers=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0
dropin=/etc/default/grub.d/zz-gpuvm-kernel.cfg

machine() {
        root=$work/$((n += 1))
        make_kernel_machine "$root" "$@"
        before=$(boot_digest "$root")
}

run() {
        status=0
        said=$("$helpers/gpuvm-${2-packages}" --root="$root" ${1:+"$1"} 2>&1) || status=$?
}

undo() {
        status=0
        said=$("$helpers/gpuvm-undo" --root="$root" packages 2>&1) || status=$?
}

# The next start, as gpuvm-reboot makes it. Prints the kernel.
start() {
        [ "${1-}" = dead ] ||
                printf 'gpuvm-pending 1\nboot %s\ncounted 1\ntotal 1\nresumes 0\ncause packages 1\nend\n' \
                        "$(cat "$root/proc/sys/kernel/random/boot_id")" >"$root/var/lib/gpuvm/pending"
        kernel_next_boot "$root" "$@"
}

requested() {
        cat "$root/run/gpuvm/reboot.d/packages" 2>/dev/null || echo no
}
armed() {
        grep -a '^next_entry=.' "$root/boot/grub/grubenv" || echo no
}
default() {
        sed -n 's/^ *set default="\([^$"]*\)"/\1/p' "$root/boot/grub/grub.cfg"
}
place() {
        echo "gnulinux-advanced-1234>gnulinux-$1-advanced-1234"
}
installed() {
        sed -n 's/^Package: \(linux-image.*\)/\1/p' "$root/var/lib/dpkg/status" | sort | xargs
}
back() {
        is "$1: /etc and /boot are as before" "$(boot_digest "$root" | diff <(echo "$before") - || true)" ''
}
# The next start is over, and has shown that what is there will do.
settled() {
        start >/dev/null
        "$helpers/gpuvm-bootfile" --root="$root" >/dev/null 2>&1
}

# --- which kernels
machine INTEL
run
is "the cloud kernel has Intel's IOMMU: nothing to do" "$status $(cat "$root/calls")" '0 '
machine
printf '[Bootstrap]\nVfio=no\n' >"$root/etc/gpuvm.conf"
run
is 'without VFIO any kernel will do' "$status $(cat "$root/calls")" '0 '
machine
rm "$root/boot/config-$old"
run
is 'a kernel of which nothing is known is let be' "$status $(cat "$root/calls")" '0 '
mkdir -p "$root/lib/modules/$old"
echo kernel/drivers/vfio/vfio.ko >"$root/lib/modules/$old/modules.builtin"
echo kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: >"$root/lib/modules/$old/modules.dep"
run --dry-run
like 'one whose modules lack vfio-pci is not' "$said" 'would install linux-image-amd64'
echo kernel/drivers/vfio/pci/vfio-pci.ko.xz: >"$root/lib/modules/$old/modules.dep"
: >"$root/calls"
run
is 'one whose modules have it is' "$status $(cat "$root/calls")" '0 '

# --- the way that it should go
machine
run '' preflight
like 'preflight lets it pass, and says what follows' "$said" 'CONFIG_AMD_IOMMU.*the packages phase tries'
run --dry-run
is 'a dry run succeeds' "$status" 0
like 'a dry run stays with the old one first' "$said" "would write $dropin: the boot menu's default is $old.*would install linux-image-amd64"
like 'a dry run tells of the start' "$said" 'would write /boot/grub/custom.cfg: an entry for one start, panic=10: linux-image-amd64'
like 'a dry run tells of the restart' "$said" 'would request reboot'
back 'a dry run'
is 'a dry run remembers nothing' "$(find "$root/var/lib/gpuvm" -name kernel -o -name ledger)" ''
run
is 'prepared: succeeds' "$status" 0
is 'prepared: with the package, and its kernel' "$(installed)" "linux-image-$new linux-image-amd64"
is 'prepared: which is the newest in the menu, not the default' "$(default)" "$(place $old)"
is 'prepared: but the next start' "$(armed)" next_entry=gpuvm-trial
is 'prepared: as in the menu, and restarting after a panic' "$(sed -n 's/^\t*linux\t//p' "$root/boot/grub/custom.cfg")" \
        "/boot/vmlinuz-$new root=UUID=1 ro quiet panic=10"
like 'prepared: asks for the restart' "$(requested)" "The kernel $new has CONFIG_AMD_IOMMU, which VFIO needs"
is 'prepared: nothing is left beside' "$(find "$root/boot" "$root/etc" -name '*gpuvm-new*')" ''
run '' iommu
like 'prepared: the iommu phase waits' "$status $said" '^0.*comes after the restart'
run '' nvidia
like 'prepared: the nvidia phase waits' "$status $said" '^77.*comes after the restart'
digest=$(boot_digest "$root")
: >"$root/calls"
run
is 'prepared: a second run changes nothing' "$status $(cat "$root/calls")$(boot_digest "$root" | diff <(echo "$digest") -)" '0 '
cp -a "$root" "$work/pending"
is 'the next start is the new one' "$(start)" $new
"$helpers/gpuvm-resume" --root="$root" >/dev/null 2>&1
run
is 'up: succeeds' "$status $(requested)" '0 no'
like 'up: says so' "$said" "came up with the kernel $new, which is the default now"
is 'up: the default' "$(default)" "$(place $new)"
is 'up: nothing is left of the trial' "$(armed) $(find "$root/boot" "$root/var/lib/gpuvm" -name custom.cfg -o -name kernel)" 'no '
: >"$root/calls"
run
is 'up: a second run starts nothing' "$status $(cat "$root/calls")" '0 '
cp -a "$root" "$work/committed"
is 'the start after that is the new one' "$(start)" $new
run
is 'and there is nothing to do' "$status $(grep -c 'Nothing to do' <<<"$said")" '0 1'

# --- the default follows the kernels that come and go
mkconfig() {
        GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
}
put_kernel "$root" 6.1.0-57-cloud-amd64 "$cloud"
put_kernel "$root" 6.1.0-57-amd64 "$generic"
mkconfig
is 'an update of both kernels: the newest that will do' "$(start)" 6.1.0-57-amd64
rm "$root"/boot/*-6.1.0-57-amd64
mkconfig
is 'it is removed: the one before' "$(start)" $new
rm "$root"/boot/*-$new
mkconfig
is 'there is none: the first of the menu' "$(start)" 6.1.0-57-cloud-amd64

# --- started by hand with the old one
root=$work/committed
echo $old >"$root/proc/sys/kernel/osrelease"
run
like 'an old one started by hand: the default will do' "$status $(requested) $(armed)" "^0 The kernel $new has.* no$"

# --- it does not come up
root=$work/lost
cp -a "$work/pending" "$root"
start dead
is 'lost: the next start is the old one' "$(start)" $old
run
is 'lost: fails, and asks for nothing' "$status $(requested) $(armed)" '1 no no'
like 'lost: says so, with the remedy' "$said" 'The trial failed: the machine did not come up with a kernel that has CONFIG_AMD_IOMMU.*start gpuvm-bootstrap.target again'
like 'lost: so does the login message' "$(cat "$root/run/gpuvm/motd")" 'did not come up with another kernel'
is 'lost: the old one is the default, though another is newer' "$(default) $(start)" "$(place $old) $old"
status=0
said=$("$helpers/gpuvm-resume" --root="$root" 2>&1) || status=$?
like 'lost: nothing goes on by itself' "$status $said" '^1.*trial start .*failed before'
run
like 'lost: started by hand, there is another' "$status $(armed) $said" '^0 next_entry=gpuvm-trial.*failed before; this is another'

# --- it comes up without the network
root=$work/offline
cp -a "$work/pending" "$root"
start >/dev/null
mv "$root/proc/self/net/route" "$root/route"
run
like 'no network: asks for a restart' "$status $(requested) $said" '^0 the start with another kernel left the machine without its network.*The trial failed: .*no default route'
is 'no network: into the old one' "$(start)" $old
mv "$root/route" "$root/proc/self/net/route"
status=0
"$helpers/gpuvm-resume" --root="$root" >/dev/null 2>&1 || status=$?
is 'no network: and nothing goes on by itself' "$status" 1

# --- undo
root=$work/undone
cp -a "$work/pending" "$root"
undo
is 'undone before the restart: succeeds' "$status $(requested) $(armed)" '0 no no'
is 'undone before the restart: the packages go' "$(installed)" ''
settled
back 'undone before the restart'
root=$work/committed
start >/dev/null
undo
is 'undone on the new one: succeeds' "$status" 0
is 'undone on the new one: its package stays' "$(installed)" "linux-image-$new"
like 'undone on the new one: and that is said' "$said" "linux-image-$new stays: it is the running kernel's"
is 'undone on the new one: the default is the first again' "$(default)" 0
echo $old >"$root/proc/sys/kernel/osrelease"
undo
is 'undone on the old one: it goes' "$status $(installed)" '0 '
mkconfig
rm -f "$root/boot/grub/grub.cfg.gpuvm-old"
back 'undone on the old one'

# --- cut, and failures
machine
touch "$root/kill-grub-mkconfig"
run
rm "$root/kill-grub-mkconfig"
is 'cut while the menu is made: it is as it was' "$(default) $(armed)" '0 no'
run
is 'cut: the next run goes on' "$status $(default) $(armed)" "0 $(place $old) next_entry=gpuvm-trial"
machine
printf '99\nE: Failed to fetch http://deb.example/a.deb  Could not connect to deb.example:80\n' >"$root/trouble.install"
run
is 'no package: fails' "$status $(requested) $(armed)" '1 no no'
is 'no package: a restart is into the old one' "$(start)" $old
rm "$root/trouble.install"
run
is 'no package: the next run goes on, in another boot too' "$status $(armed)" '0 next_entry=gpuvm-trial'
machine
touch "$root/empty-package"
run
like 'a package without a kernel: fails' "$status $(requested) $(armed) $said" '^1 no no.*there is no kernel with CONFIG_AMD_IOMMU'
machine
touch "$root/deaf-grub-mkconfig"
run
like 'a menu that does not listen: fails' "$status $(requested) $(armed) $said" '^1 no no.*Look for what sets GRUB_DEFAULT'
is 'a menu that does not listen: nothing is installed' "$(installed)" ''
check 'a menu that does not listen: the drop-in goes' test ! -e "$root$dropin"
machine
touch "$root/fail-grub-editenv"
run
is 'GRUB cannot be told: fails' "$status $(requested)" '1 no'

# --- not here
for row in 'GRUB_DEFAULT=saved|GRUB_DEFAULT is .saved' 'GRUB_DEFAULT=2|GRUB_DEFAULT is .2'; do
        machine
        echo "${row%|*}" >>"$root/etc/default/grub"
        mkconfig
        before=$(boot_digest "$root")
        run
        like "${row%|*}: refused" "$status $said" "^1.*lacks CONFIG_AMD_IOMMU.*cannot be tried once: .*${row#*|}.*linux-image-amd64"
        back "${row%|*}"
        is "${row%|*}: nothing is installed" "$(installed)" ''
done
machine
echo btrfs >"$root/grub-fs"
run
like 'GRUB cannot write: refused' "$status $said" '^1.*cannot be tried once: /boot/grub is on btrfs'
back 'GRUB cannot write'
machine
rm -r "$root/boot/grub"
before=$(boot_digest "$root")
run
like 'another loader: refused' "$status $said" '^1.*cannot be tried once: GRUB does not start this machine'
back 'another loader'
run '' preflight
like 'another loader: preflight refuses' "$said" 'no driver for this machine.s IOMMU \(CONFIG_AMD_IOMMU\).*Install linux-image-amd64'
machine
sed -i s/debian/devuan/ "$root/etc/os-release"
run
like 'another distribution: refused' "$status $said" '^1.*no package is known that brings one'
put_kernel "$root" $new "$generic"
mkconfig
run
is 'unless such a kernel is here already' "$status $(armed) $(installed)" '0 next_entry=gpuvm-trial '
done_testing
