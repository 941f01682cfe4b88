#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L9, L8 and L12, one after the other on one machine (Debian 13, the IOMMU switched off on its command line):
# L9: the trial's kernel panics: the machine restarts by itself, into what it was before; no loop.
# L8: somebody's drop-in takes our words out of the command line: that file is named, and nothing restarts.
# L12: the bootstrap is done, then all of it is taken back.
#
# shellcheck disable=SC2016 # what is quoted so is expanded in the machine

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

hostile=/etc/default/grub.d/zzz-somebody.cfg

# in_machine SCRIPT
in_machine() {
        lab_ssh "$1" </dev/null
}

# What is to be as before, names, modes, owners and contents. An initramfs is made anew: what is in it counts. GRUB writes
# to grubenv itself; the configuration is not ours.
boot_files() {
        in_machine 'cd / && find etc boot -xdev ! -name "initrd.img-*" ! -name grubenv ! -path "etc/gpuvm.conf.d/*" \( -type f -o -type l \) -printf "%p %m %u %g %l\n" | sort
                find etc boot -xdev -type f ! -name "initrd.img-*" ! -name grubenv ! -path "etc/gpuvm.conf.d/*" -print0 | sort -z | xargs -0 sha256sum
                for i in boot/initrd.img-*; do echo "$i"; lsinitramfs "$i" | sort; done'
}

# The disk's own menu names the root file system in another way than GRUB's.
command_line() {
        in_machine 'sed "s/ root=[^ ]*//" /proc/cmdline'
}

drivers() {
        in_machine 'cd /sys/bus/pci/devices && for d in *; do echo "$d $(readlink $d/driver) $(cat $d/driver_override)"; done'
}

# image_size FILE: an initramfs as the loader puts it into memory, in pages.
image_size() {
        in_machine "echo \$(((\$(stat -L -c %s $1) + 4095) / 4096))"
}

# The same of the one that this boot's kernel was given.
given_size() {
        in_machine 'set -- $(journalctl -k -b -o cat | sed -n "s/^RAMDISK: \[mem \(0x[0-9a-f]*\)-\(0x[0-9a-f]*\)\].*/\1 \2/p")
                echo $((($2 + 1 - $1) / 4096))'
}

# Of all boots.
said() {
        in_machine "journalctl -o cat -u gpuvm-$1.service"
}

# unchanged NAME BEFORE COMMAND
unchanged() {
        is "$1" "$(diff <(echo "$2") <("$3") | head -n 20)" ""
}

# --- L9
scenario_stocked L9
scenario_configure OverrideIommuOff=yes Reboot=never
files=$(boot_files) bound=$(drivers) words=$(command_line)
in_machine 'systemctl start gpuvm-bootstrap.target' >/dev/null 2>&1 || true
like "L9: the next start is to be a trial" "$(in_machine 'grub-editenv list')" 'next_entry=gpuvm-trial'
check "L9: with an image of its own" in_machine 'ls /boot/initrd.img-*.gpuvm-trial'
# The two may well have the same in them. The kernel ignores zeros, and tells how much it was given.
in_machine 'truncate -s +64K /boot/initrd.img-*.gpuvm-trial'
own=$(image_size '/boot/initrd.img-$(uname -r)') trial=$(image_size '/boot/initrd.img-*.gpuvm-trial')
check_fails "L9: which is to be told from the other" 1 test "$own" = "$trial"
# A kernel that finds no init panics.
in_machine "sed -i '/^\tlinux/s/\$/ init=\/nonexistent rdinit=\/nonexistent/' /boot/grub/custom.cfg && sync"
booted=$lab_boot_id
in_machine 'systemctl reboot' || true
lab_wait_boot 1500 "$booted"
scenario_time "L9: over the panic"
check "L9: the trial's kernel panicked" grep -aq 'Kernel panic - not syncing' "$lab_directory/serial.log"
is "L9: it restarted by itself: once as it was told to, once after the panic" "$(lab_reboots)" 2
is "L9: into what it was started with before" "$(command_line)" "$words"
is "L9: with that entry's own image" "$(given_size)" "$own"
# gpuvm-resume looks when the boot is over.
check "L9: the boot ends" in_machine 'timeout 300 systemctl is-system-running --wait || true'
like "L9: the trial is said to have failed" "$(said resume)$(said iommu)" '[Tt]rial.*fail'
like "L9: at the login as well" "$(in_machine 'cat /run/motd.d/gpuvm')" '[Tt]rial|stopped'
unchanged "L9: the drivers are the same" "$bound" drivers
is "L9: no rule of ours is active" "$(in_machine 'ls /etc/udev/rules.d /run/udev/rules.d 2>/dev/null | grep gpuvm || true')" ""
sleep 60
is "L9: and it stays up" "$(lab_reboots) $(in_machine 'cat /proc/sys/kernel/random/boot_id')" "2 $lab_boot_id"

# --- L8
printf '%s\n' 'GRUB_CMDLINE_LINUX="${GRUB_CMDLINE_LINUX%%intel_iommu=on*}"' | lab_ssh "cat >$hostile"
scenario_configure OverrideIommuOff=yes
since=$(in_machine 'systemctl reset-failed; date +%s')
scenario_bootstrap 3000
is "L8: the bootstrap refuses" "$scenario_result" failed
like "L8: the file that takes our words out is named" "$(in_machine "journalctl -o cat --since=@$since -u gpuvm-iommu.service")" "$hostile"
sleep 20
is "L8: nothing restarted" "$(lab_reboots)" 2
in_machine "rm $hostile; systemctl reset-failed"
unchanged "L8: /etc and /boot are as they were at first" "$files" boot_files

# --- L12
scenario_bootstrap 3000
is "L12: the bootstrap is done" "$scenario_result" "done"
is "L12: after one more restart" "$(lab_reboots)" 3
is "L12: the GPU is on vfio-pci" "$(in_machine 'basename $(readlink /sys/bus/pci/devices/0000:01:00.0/driver)')" vfio-pci
check "L12: undo succeeds" in_machine 'gpuvm-undo --all'
scenario_time "L12: undo"
is "L12: GRUB is told nothing" "$(in_machine 'grub-editenv list | grep gpuvm || true')" ""
is "L12: the ledger is empty" "$(in_machine 'ls /var/lib/gpuvm/ledger 2>/dev/null || true')" ""
booted=$lab_boot_id
in_machine 'systemctl reboot' || true
lab_wait_boot 1500 "$booted"
# What was kept of the files before goes when this boot has shown that the new ones are good.
in_machine 'timeout 300 systemctl is-system-running --wait' >/dev/null || true
unchanged "L12: /etc, /boot and what is in the images are as before" "$files" boot_files
is "L12: with its own command line" "$(command_line)" "$words"
unchanged "L12: the drivers are as before" "$bound" drivers
check "L12: nothing failed" in_machine 'test -z "$(systemctl list-units --no-legend --state=failed)"'
scenario_end
