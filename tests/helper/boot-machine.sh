# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016
# A made-up machine that starts by GRUB, with an exclusive GPU and no IOMMU groups: source it, call make_machine DIR.
# Its grub-mkconfig, grub-script-check, mkinitramfs and lsinitramfs are small stand-ins that do what matters: read the
# same files, write in place, and fail where the test has put a file fail-PROGRAM in DIR.

KERNELS=(6.1.0-9-amd64 6.1.0-13-amd64)

stub() {
        mkdir -p "$(dirname "$1")"
        { printf '#!/bin/bash\nset -eu\nroot=$GPUVM_ROOT name=${0##*/}\necho "%s" >>"$root/calls"\n' "${1##*/}"; cat; } >"$1"
        chmod 0755 "$1"
}

make_stubs() {
        stub "$1/usr/sbin/grub-mkconfig" <<'STUB'
[ ! -e "$root/fail-grub-mkconfig" ] || { echo 'grub-probe: error: cannot find a device for /' >&2; exit 1; }
# shellcheck disable=SC1090
for f in "$root/etc/default/grub" "$root"/etc/default/grub.d/*.cfg; do [ ! -e "$f" ] || . "$f"; done
{
        [ ! -e "$root/boot/grub/grubenv" ] || cat "$root/usr/share/00_header"
        echo '### BEGIN /etc/grub.d/10_linux ###'
        for k in "$root"/boot/vmlinuz-*; do
                v=${k##*/vmlinuz-}
                for kind in normal recovery; do
                        words="${GRUB_CMDLINE_LINUX-} ${GRUB_CMDLINE_LINUX_DEFAULT-}"
                        title="Debian, with Linux $v"
                        [ $kind = normal ] || { words="single ${GRUB_CMDLINE_LINUX-}"; title+=" (recovery mode)"; }
                        printf "menuentry '%s' --class debian {\n\tlinux\t/boot/vmlinuz-%s root=UUID=1 ro %s\n" "$title" "$v" "$words"
                        printf "\tinitrd\t/boot/initrd.img-%s\n}\n" "$v"
                        [ ! -e "$root/kill-grub-mkconfig" ] || kill -9 $PPID
                done
        done
        echo '### END /etc/grub.d/10_linux ###'
        [ ! -e "$root/boot/grub/grubenv" ] || cat "$root/usr/share/41_custom"
} >"$root$2"
[ ! -e "$root/truncate-grub-mkconfig" ] || : >"$root$2"
STUB
        stub "$1/usr/bin/grub-script-check" <<'STUB'
[ ! -e "$root/fail-grub-script-check" ] || { echo 'syntax error' >&2; exit 1; }
[ "$(grep -c '{$' "$root$1")" = "$(grep -c '^}' "$root$1")" ]
STUB
        stub "$1/usr/sbin/mkinitramfs" <<'STUB'
out=$root$2 version=$3
[ ! -e "$root/fail-mkinitramfs" ] || { echo 'cp: error writing: No space left on device' >&2; echo x >"$out"; exit 1; }
echo init >"$out"
[ ! -e "$root/kill-mkinitramfs" ] || kill -9 $PPID
for f in "$root"/etc/udev/rules.d/*.rules; do [ ! -e "$f" ] || echo "usr/lib/udev/rules.d/${f##*/}" >>"$out"; done
sed -n 's/^vfio-pci$/usr\/lib\/modules\/VERSION\/kernel\/drivers\/vfio\/pci\/vfio-pci.ko/p' "$root/etc/initramfs-tools/modules" >>"$out"
[ ! -e "$root/big-mkinitramfs" ] || seq 300000 >>"$out"
[ -e "$root/small-mkinitramfs" ] || printf '%s\n' {1..300} "$version" >>"$out"
STUB
        stub "$1/usr/bin/lsinitramfs" <<'STUB'
cat "$root$1"
STUB
        stub "$1/usr/bin/udevadm" </dev/null
        stub "$1/usr/bin/systemctl" <<'STUB'
[ ! -e "$root/fail-systemctl" ] || { echo 'Job timed out' >&2; exit 1; }
STUB
        stub "$1/usr/bin/gpasswd" <<'STUB'
echo "gpasswd $*" >>"$root/calls"
sed -i "s/^\($3:.*:.*:.*\)$2/\1/" "$root/etc/group"
STUB
}

# The same machine with dracut in the place of initramfs-tools: make_dracut DIR. What the lists name and is not there is
# left out with a warning, and listed is what ls(1) would show.
make_dracut() {
        local root=$1 v

        rm -r "$root"/usr/sbin/mkinitramfs "$root"/usr/bin/lsinitramfs "$root/etc/initramfs-tools"
        mkdir -p "$root/etc/dracut.conf.d"
        stub "$root/usr/bin/dracut" <<'STUB'
[ "$1 $2" = '--force --kver' ]
version=$3 out=$root$4
[ ! -e "$root/fail-dracut" ] || { echo 'dracut: FAILED: cp' >&2; echo x >"$out"; exit 1; }
echo init >"$out"
[ ! -e "$root/kill-dracut" ] || kill -9 $PPID
for f in "$root"/etc/dracut.conf.d/*.conf; do
        [ -e "$f" ] || continue
        install_items='' add_drivers=''
        # shellcheck disable=SC1090
        . "$f"
        for item in $install_items; do
                if [ -e "$root$item" ]; then echo "${item#/}"; else echo "dracut-install: ERROR: installing '$item'" >&2; fi
        done >>"$out"
        for driver in $add_drivers; do echo "usr/lib/modules/VERSION/kernel/drivers/vfio/pci/$driver.ko"; done >>"$out"
done
printf '%s\n' {1..300} "$version" >>"$out"
STUB
        stub "$root/usr/bin/lsinitrd" <<'STUB'
echo "Image: $1: 30M"
sed 's/^/-rw-r--r--   1 root     root          100 Jan  1  2024 /' "$root$1"
STUB
        for v in "${KERNELS[@]}"; do
                GPUVM_ROOT=$root "$root/usr/bin/dracut" --force --kver "$v" "/boot/initrd.img-$v"
        done
        : >"$root/calls"
}

# What a start by an entry that is taken once needs: GRUB's environment block, and what grub-mkconfig writes for it.
make_trial_stubs() {
        mkdir -p "$1/usr/share" "$1/boot/grub"
        cat >"$1/usr/share/00_header" <<'HEADER'
### BEGIN /etc/grub.d/00_header ###
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
### END /etc/grub.d/00_header ###
HEADER
        cat >"$1/usr/share/41_custom" <<'CUSTOM'
### BEGIN /etc/grub.d/41_custom ###
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
### END /etc/grub.d/41_custom ###
CUSTOM
        stub "$1/usr/sbin/grub-probe" <<'STUB'
case $1 in *abstraction) cat "$root/grub-abstraction" 2>/dev/null || true ;; *fs) cat "$root/grub-fs" 2>/dev/null || echo ext2 ;; esac
STUB
        # As the real one: empties the file, then fills it.
        stub "$1/usr/bin/grub-editenv" <<'STUB'
[ ! -e "$root/fail-grub-editenv" ] || { echo 'grub-editenv: error: invalid environment block.' >&2; exit 1; }
lines=$(grep -v '^#' "$root$1" || true)
case $2 in
list) [ -z "$lines" ] || echo "$lines"; exit ;;
set) lines=$(grep -v "^${3%%=*}=" <<<"$lines" || true)$'\n'$3 ;;
unset) lines=$(grep -v "^$3=" <<<"$lines" || true) ;;
esac
{ echo '# GRUB Environment Block'; sed '/^$/d' <<<"$lines"; printf '#%.0s' {1..1024}; } | head -c 1024 >"$root$1"
STUB
        { echo '# GRUB Environment Block'; echo saved_entry=gnulinux; printf '#%.0s' {1..1024}; } | head -c 1024 >"$1/boot/grub/grubenv"
}

# The same machine with systemd-boot: entries on the EFI partition, with their own copies of the images.
make_systemd_boot() {
        local root=$1 id=0123456789abcdef0123456789abcdef v

        rm -r "$root/boot/grub"
        echo $id >"$root/etc/machine-id"
        mkdir -p "$root/boot/efi/loader/entries" "$root/sys/firmware/efi/efivars"
        for v in "${KERNELS[@]}"; do
                mkdir -p "$root/boot/efi/$id/$v"
                cp "$root/boot/initrd.img-$v" "$root/boot/efi/$id/$v/initrd.img-$v"
                cp "$root/boot/vmlinuz-$v" "$root/boot/efi/$id/$v/linux"
                printf '%s\n' 'title Debian' "version $v" 'sort-key debian' 'options root=UUID=1 ro' 'options quiet' "linux /$id/$v/linux" \
                        "initrd /$id/$v/initrd.img-$v" >"$root/boot/efi/loader/entries/$id-$v.conf"
        done
        printf '\6\0\0\0s\0y\0s\0t\0e\0m\0d\0-\0b\0o\0o\0t\0 \0002\0005\0002\0' \
                >"$root/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
        stub "$root/usr/bin/bootctl" <<'STUB'
var=$root/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
[ ! -e "$root/fail-bootctl" ] || { echo 'Failed to update EFI variable: Read-only file system' >&2; exit 1; }
[ "$1" = set-oneshot ]
rm -f "$var"
[ -z "$2" ] || { printf '\6\0\0\0'; sed 's/./&\x00/g' <<<"$2" | tr -d '\n'; printf '\0\0'; } >"$var"
STUB
}

# The boot menu's file with the entry that the loader takes next, once or as ever: next_entry DIR.
next_entry() {
        local root=$1 env=$1/boot/grub/grubenv var next='' id=0123456789abcdef0123456789abcdef

        var=$root/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
        if [ -e "$root/boot/efi/loader" ]; then
                [ ! -e "$var" ] || { next=$(tail -c +5 "$var" | tr -d '\0') && rm "$var"; }
                [ -n "$next" ] && [ -e "$root/boot/efi/loader/entries/$next" ] || next=$id-${KERNELS[1]}.conf
                echo "$root/boot/efi/loader/entries/$next"
                return
        fi
        [ ! -e "$env" ] || next=$(sed -n 's/^next_entry=//p' "$env")
        if [ -n "$next" ]; then
                # In place, and the empty value stays.
                { sed -e '/^##*$/d' -e 's/^next_entry=.*/next_entry=/' "$env"; printf '#%.0s' {1..1024}; } | head -c 1024 >"$root/env"
                cat "$root/env" >"$env" && rm "$root/env"
        fi
        if [ "$next" = gpuvm-trial ] && grep -q "menuentry .*--id 'gpuvm-trial'" "$root/boot/grub/custom.cfg" 2>/dev/null; then
                echo "$root/boot/grub/custom.cfg"
        else
                echo "$root/boot/grub/grub.cfg"
        fi
}

# next_boot DIR [dead|off]: the next start, and the kernel as it then shows itself: groups where the command line asks
# for them (off: the firmware has none). It prints the entry's initramfs. dead: it does not come up.
next_boot() {
        local root=$1 words image entry below=

        entry=$(next_entry "$root")
        case $entry in
        *.conf)
                words="initrd=\\x $(sed -n 's/^options //p' "$entry" | paste -sd' ')"
                image=$(sed -n 's/^initrd //p' "$entry") below=/boot/efi
                ;;
        *)
                words=BOOT_IMAGE=$(sed -n 's/^\tlinux\t//p' "$entry" | sed -n 1p)
                image=$(sed -n 's/^\tinitrd\t//p' "$entry" | sed -n 1p)
                ;;
        esac
        echo boot >>"$root/boots"
        printf '%08x-2222-4222-8222-222222222222\n' "$(wc -l <"$root/boots")" >"$root/proc/sys/kernel/random/boot_id"
        rm -rf "$root/run" && mkdir "$root/run"
        [ "${2-}" != dead ] || return 0
        echo "$words" >"$root/proc/cmdline"
        rm -rf "$root/sys/kernel/iommu_groups" && mkdir "$root/sys/kernel/iommu_groups"
        case " $words " in *" intel_iommu=on "*) [ "${2-}" = off ] || mkdir "$root/sys/kernel/iommu_groups/0" ;; esac
        [ -s "$root$below$image" ] || { echo 'no initramfs'; return 1; }
        echo "$image"
}

# make_machine DIR [INTEL|AMD]: the words GPU=no leave the graphics card out; TRIAL=yes: GRUB can start an entry once.
make_machine() {
        local root=$1 v gpu

        mkdir -p "$root"/{boot/grub,etc/default/grub.d,etc/initramfs-tools,etc/udev/rules.d,proc/sys/kernel/random,run} \
                "$root"/sys/{kernel/iommu_groups,firmware/acpi/tables,bus/pci/devices} "$root/var/lib"
        make_stubs "$root"
        [ "${TRIAL-no}" = no ] || make_trial_stubs "$root"
        : >"$root/calls"
        printf 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n' >"$root/etc/default/grub"
        printf '# List of modules\n' >"$root/etc/initramfs-tools/modules"
        printf '[Gpu]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
        for v in "${KERNELS[@]}"; do
                echo kernel >"$root/boot/vmlinuz-$v"
                GPUVM_ROOT=$root "$root/usr/sbin/mkinitramfs" -o "/boot/initrd.img-$v" "$v"
        done
        echo "${KERNELS[1]}" >"$root/proc/sys/kernel/osrelease"
        echo 11111111-1111-1111-1111-111111111111 >"$root/proc/sys/kernel/random/boot_id"
        echo 'BOOT_IMAGE=/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1 ro quiet' >"$root/proc/cmdline"
        if [ "${2-INTEL}" = INTEL ]; then : >"$root/sys/firmware/acpi/tables/DMAR"; else : >"$root/sys/firmware/acpi/tables/IVRS"; fi
        for gpu in 0000:01:00.0:0x10de:0x2684:0x030000 0000:01:00.1:0x10de:0x22ba:0x040300; do
                [ "${GPU-yes}" = yes ] || break
                IFS=: read -r _ _ _ vendor device class <<<"$gpu"
                gpu=$root/sys/bus/pci/devices/${gpu:0:12}
                mkdir -p "$gpu"
                echo "$vendor" >"$gpu/vendor"
                echo "$device" >"$gpu/device"
                echo "$class" >"$gpu/class"
                printf '0x10de\n' | tee "$gpu/subsystem_vendor" >"$gpu/subsystem_device"
        done
        GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
        chmod 0444 "$root/boot/grub/grub.cfg"
        : >"$root/calls"
}

# The same with IOMMU groups, and a GPU that is on vfio-pci already: make_vfio_machine DIR.
make_vfio_machine() {
        local root=$1 gpu

        make_machine "$root"
        mkdir -p "$root/proc/self" "$root/var/lib/gpuvm" "$root/sys/kernel/iommu_groups/7/devices" "$root/sys/bus/pci/drivers/vfio-pci"
        printf 'vfio_pci 16384 0 - Live 0x0\n' >"$root/proc/modules"
        : >"$root/proc/self/mountinfo"
        for gpu in 0000:01:00.0 0000:01:00.1; do
                ln -s ../../../../kernel/iommu_groups/7 "$root/sys/bus/pci/devices/$gpu/iommu_group"
                ln -s ../../../../bus/pci/drivers/vfio-pci "$root/sys/bus/pci/devices/$gpu/driver"
                echo vfio-pci >"$root/sys/bus/pci/devices/$gpu/driver_override"
                ln -s "../../../../bus/pci/devices/$gpu" "$root/sys/kernel/iommu_groups/7/devices/$gpu"
        done
}

# What the next start would find, apart from what the kernel shows: names, modes and contents.
boot_digest() {
        (cd "$1" && find etc boot -printf '%p %M %l\n' | LC_ALL=C sort && find etc boot -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

# True if a machine with this grub.cfg starts: it parses, and each entry names files that are there and whole.
starts() {
        local root=$1 cfg=$1/boot/grub/grub.cfg file n=0

        [ -s "$cfg" ] || { echo 'grub.cfg is empty'; return 1; }
        GPUVM_ROOT=$root "$root/usr/bin/grub-script-check" /boot/grub/grub.cfg || { echo 'grub.cfg does not parse'; return 1; }
        while read -r file; do
                [ -s "$root$file" ] || { echo "$file is missing or empty"; return 1; }
                case $file in */initrd*) [ "$(tail -n 1 "$root$file")" = "${file#*img-}" ] || { echo "$file is torn"; return 1; } ;; esac
                n=$((n + 1))
        done < <(sed -n 's/^\t*\(linux\|initrd\)\t\([^ ]*\).*/\2/p' "$cfg")
        [ "$n" -ge 4 ] || { echo 'no entry'; return 1; }
}
