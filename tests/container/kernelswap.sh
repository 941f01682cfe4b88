#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another kernel where VFIO does not work with the running one: units, restarts, a real apt, and GRUB's own programs over
# kernels that are none: kernelswap.sh RELEASE
#
# The machine runs a kernel without vfio-pci; the archive's generic one has it. What GRUB would start is read from what
# its programs have written, by boot_loader.
#
# shellcheck disable=SC2317,SC2016 # the steps are called inside the container; single quotes: for there
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
command -v dpkg-scanpackages >/dev/null || skip_all 'needs dpkg-dev'
release=${1:-trixie}
old=9.9.8-cloud-amd64
new=9.9.9-amd64
machine_new "$release" grub-common
work=$(mktemp -d)
at_exit rm -rf "$work"
archive=$machine/srv/archive

# package NAME [FIELD...]; its files and scripts, if any, are in $work/tree.
package() {
        local tree=$work/tree

        mkdir -p "$tree/DEBIAN" "$archive"
        {
                printf 'Package: %s\nVersion: 9.9.9-1\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n' "$1"
                printf 'Description: stand-in\n'
                [ $# -le 1 ] || printf '%s\n' "${@:2}"
        } >"$tree/DEBIAN/control"
        dpkg-deb --root-owner-group -Znone -b "$tree" "$archive" >/dev/null
        rm -rf "$tree"
}
package ca-certificates
package pciutils
package linux-image-amd64 "Depends: linux-image-$new"
# As Debian's: an initramfs and the menu are made behind it, and the running one is not removed.
mkdir -p "$work/tree/DEBIAN" "$work/tree/boot"
echo kernel >"$work/tree/boot/vmlinuz-$new"
printf 'CONFIG_VFIO_PCI=m\n' >"$work/tree/boot/config-$new"
cat >"$work/tree/DEBIAN/postinst" <<S
#!/bin/sh
set -e
echo initramfs >/boot/initrd.img-$new
grub-mkconfig -o /boot/grub/grub.cfg
S
cat >"$work/tree/DEBIAN/prerm" <<S
#!/bin/sh
[ "\$(cat /proc/sys/kernel/osrelease)" != $new ]
S
cat >"$work/tree/DEBIAN/postrm" <<S
#!/bin/sh
set -e
rm -f /boot/initrd.img-$new
grub-mkconfig -o /boot/grub/grub.cfg
S
chmod 755 "$work/tree/DEBIAN"/p*
package linux-image-$new
(cd "$archive" && dpkg-scanpackages . 2>/dev/null >Packages)
rm -rf "$machine"/etc/apt/sources.list*
echo 'deb [trusted=yes] file:/srv/archive ./' >"$machine/etc/apt/sources.list"

# The disk that grub-probe would look at.
cat >"$machine/usr/sbin/grub-probe" <<'S'
#!/bin/sh
case "$*" in
*target=device*) echo /dev/vda1 ;;
*target=fs_uuid*) echo 1234-5678 ;;
*target=fs*) echo ext2 ;;
*target=abstraction*) ;;
*target=drive*) echo '(hd0,gpt1)' ;;
*target=partmap*) echo gpt ;;
esac
S
mkdir -p "$machine/boot/grub" "$machine/etc/gpuvm.conf.d"
echo kernel >"$machine/boot/vmlinuz-$old"
echo initramfs >"$machine/boot/initrd.img-$old"
printf '# CONFIG_VFIO_PCI is not set\n' >"$machine/boot/config-$old"
printf 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\n' >"$machine/etc/default/grub"
printf '[Bootstrap]\nRebootDelaySec=1\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
chroot "$machine" grub-editenv /boot/grub/grubenv create
chroot "$machine" grub-mkconfig -o /boot/grub/grub.cfg 2>/dev/null
echo 'mount --bind /shared/osrelease /proc/sys/kernel/osrelease' >"$shared/before-init"
stub_all
rm "$machine/etc/systemd/system/gpuvm-packages.service.d/stub.conf"
# See machine_keep_proc.
[ "$release" != bookworm ] ||
        printf '[Service]\nProtectControlGroups=no\n' >"$machine/etc/systemd/system/gpuvm-packages.service.d/keep-proc.conf"
# shellcheck disable=SC2016
stub verify 'rm -f /var/lib/gpuvm/pending'

default() {
        sed -n 's/^ *set default="\([^$"]*\)"/\1/p' "$machine/boot/grub/grub.cfg"
}
place() {
        echo "gnulinux-advanced-1234-5678>gnulinux-$1-advanced-1234-5678"
}
armed() {
        chroot "$machine" grub-editenv /boot/grub/grubenv list | grep '^next_entry=.' || echo no
}
# What GRUB does: takes the entry of next_entry once, or the default; the kernel of it runs from now on.
boot_loader() {
        local id line

        if [ "$(armed)" = next_entry=gpuvm-trial ]; then
                chroot "$machine" grub-editenv /boot/grub/grubenv set next_entry=
                line=$(grep -P '^\s*linux\s' "$machine/boot/grub/custom.cfg")
        else
                id=$(default)
                [ "$id" != 0 ] || id='gnulinux-simple-1234-5678'
                line=$(sed -n "/_id_option '${id##*>}'/,/}/p" "$machine/boot/grub/grub.cfg" | grep -P '^\s*linux\s')
        fi
        line=${line#*vmlinuz-}
        echo "${line%% *}" >"$shared/osrelease"
        echo "BOOT_IMAGE=/boot/vmlinuz-$line" >"$shared/cmdline"
        echo "${line%% *}"
}

begin() {
        systemctl start gpuvm-bootstrap.target
        systemctl is-system-running 2>/dev/null | grep -q stopping && sleep 60
        journalctl --sync
        journalctl -b --no-pager -o cat SYSLOG_IDENTIFIER=gpuvm-packages
}
resumed() {
        local i

        systemctl is-system-running --wait >/dev/null
        for i in $(seq 300); do
                systemctl list-jobs --no-legend 'gpuvm-*' | grep -q . || [ "$i" -lt 20 ] || break
                sleep 0.1
        done
        systemctl is-active gpuvm-bootstrap.target
        journalctl --sync
        journalctl -b --no-pager -o cat SYSLOG_IDENTIFIER=gpuvm-packages
}
undone() {
        gpuvm-undo packages 2>&1
        echo "status $?"
        dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-image-*' | grep ^ii
}

is "$release: the old one runs" "$(boot_loader)" $old
machine_boot begin
is "$release: restarts by itself" "$status" 133
is "$release: the old one is the default, the newer one the next start" "$(default) $(armed)" "$(place $old) next_entry=gpuvm-trial"
like "$release: which restarts after a panic" "$(cat "$machine/boot/grub/custom.cfg")" "vmlinuz-$new root=[^ ]+ ro +quiet panic=10"
check "$release: GRUB can read it" chroot "$machine" grub-script-check /boot/grub/custom.cfg
is "$release: the other phases have waited" "$(ran)" 'preflight nvidia kvm iommu'

# It does not come up.
boot_loader >/dev/null
is "$release: lost: the next start is the old one" "$(boot_loader)" $old
machine_boot resumed
like "$release: lost: goes on as far as that, and says so" "$status $output" '^0 (inactive|failed).*The trial failed: the machine did not come up'
is "$release: lost: the default stays, and nothing is tried" "$(default) $(armed)" "$(place $old) no"
boot_loader >/dev/null
machine_boot resumed
like "$release: lost: nothing goes on by itself" "$status $output $(armed)" '^0 inactive.* no$'
boot_loader >/dev/null
machine_boot begin
is "$release: lost: started by hand, there is another" "$status $(armed)" '133 next_entry=gpuvm-trial'

is "$release: it comes up" "$(boot_loader)" $new
machine_boot resumed
like "$release: and the bootstrap goes on to its end" "$status $output" "^0 active.*came up with the kernel $new, which is the default now"
is "$release: as the menu says" "$(default) $(armed)" "$(place $new) no"
is "$release: at the next start, too" "$(boot_loader)" $new
machine_boot begin
like "$release: in which there is nothing to do" "$status $output" '^0 .*Nothing to do'

machine_boot undone
like "$release: undone while it runs: its package stays" "$output" "linux-image-$new stays.*status 0.ii +linux-image-$new$"
is "$release: undone while it runs: the default is the first" "$(default)" 0
echo $old >"$shared/osrelease"
machine_boot undone
like "$release: undone from the other one: it goes" "$output" 'status 0$'
is "$release: and the machine starts with that" "$(boot_loader)" $old
done_testing
