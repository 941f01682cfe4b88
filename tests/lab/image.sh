#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Makes the disk of a lab machine: a freshly installed Debian (or Ubuntu) with its own kernel, GRUB on an EFI system
# partition, systemd, an ssh server and nothing of gpuvm. Prints the path of a raw disk that nobody may write to:
# machines run on an overlay. What was made before for the same inputs is used again.
#
#     image.sh [--release trixie|bookworm|noble] [--stocked|--cloud] [--nouveau] [--cmdline "WORDS"]
#
# --cloud: as Debian's own images for virtual machines: cloud-init, the guest agent, no identity, no key, no network.
# --stocked: what the packages and kvm phases would install is there already, so that a test of something else does
# not wait for apt in an emulated machine, and what tests use: driverctl, strace and the module nvidia of nvidia/, which
# nothing loads by itself as long as /etc/modprobe.d/lab.conf is there. --cmdline: more words for the kernel's command
# line (intel_iommu=off); --nouveau: nouveau is not kept away.
#
# $GPUVM_LAB_CACHE (default /var/cache/gpuvm-lab) keeps root trees, disks and the key for ssh. $GPUVM_MIRROR is
# another Debian mirror; noble is made only from the one that $GPUVM_UBUNTU_MIRROR names.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../package/chroot.sh
. "$here/../package/chroot.sh"
release=trixie
stocked=no cloud=no
cmdline=
esp_mib=64 root_mib=10240

# nouveau oopses in its probe of a GPU that is none and leaves the device locked for ever; a scenario of its own is
# to show how gpuvm copes with that. Everywhere else it is kept away by the machine's own command line.
# no_timer_check: an emulated machine that has to wait for its turn looks as if its timer did not work, and a kernel with
# interrupt remapping panics at that (check_timer() in arch/x86/kernel/apic/io_apic.c).
base_cmdline="console=tty0 console=ttyS0,115200 no_timer_check"
keep_away="modprobe.blacklist=nouveau"

packages=(systemd systemd-sysv udev dbus libpam-systemd kmod iproute2 procps initramfs-tools lz4 e2fsprogs
          grub-efi-amd64 openssh-server ca-certificates pciutils sudo)
stock=(qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients ovmf dnsmasq-base swtpm swtpm-tools
       curl wget git jq cpu-checker bridge-utils driverctl strace)
cloudy=(cloud-init cloud-guest-utils netplan.io python3 qemu-guest-agent)

parse_arguments() {
        while [ $# -gt 0 ]; do
                case $1 in
                --release) release=${2:?} && shift ;;
                --cmdline) cmdline=${2-} && shift ;;
                --stocked) stocked=yes ;;
                --cloud) cloud=yes root_mib=3072 ;;
                --nouveau) keep_away= ;;
                *) die "unknown argument: $1" ;;
                esac
                shift
        done
        case $release in
        trixie) kernel=linux-image-amd64 headers=linux-headers-amd64 components=main stock+=(libarchive13t64) ;;
        bookworm) kernel=linux-image-amd64 headers=linux-headers-amd64 components=main stock+=(libarchive13) ;;
        noble) kernel=linux-image-generic headers=linux-headers-generic components=main,universe stock+=(libarchive13t64) ;;
        *) die "no such release here: $release (trixie, bookworm or noble)" ;;
        esac
        cmdline=$base_cmdline${keep_away:+ $keep_away}${cmdline:+ $cmdline}
}

make_key() {
        [ -e "$cache/key" ] || ssh-keygen -q -t ed25519 -N '' -C gpuvm-lab -f "$cache/key"
}

# A tree as an installer leaves it. $1: where.
make_root() {
        local root=$1 include mirror

        include=$(IFS=, && echo "${packages[*]},$kernel")
        [ $stocked = no ] || include+=$(printf ',%s' "${stock[@]}" make "$headers")
        [ $cloud = no ] || include+=$(printf ',%s' "${cloudy[@]}")
        # Only from an archive that this machine uses, or that somebody names.
        [ "$release" != noble ] ||
                mirror=("${GPUVM_UBUNTU_MIRROR:?an Ubuntu machine needs the URL of a mirror that has $release}")
        [ "$release" = noble ] || mirror=(${GPUVM_MIRROR:+"$GPUVM_MIRROR"})
        # How this machine's apt reaches it (a proxy, an archive with expired dates) holds in the lab as well; a proxy
        # on this machine is QEMU's gateway there.
        apt_options >"$root.apt"
        # The package lists stay: an installer leaves them, and reading new ones takes an emulated machine long.
        # Compressing the initramfs as Debian does takes an emulated machine minutes.
        # shellcheck disable=SC2016 # mmdebstrap's shell expands it
        mmdebstrap --quiet --variant=minbase --include="$include" --aptopt="$root.apt" --components="$components" \
                --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
                --essential-hook='echo COMPRESS=lz4 >"$1/etc/initramfs-tools/conf.d/lab"' \
                --skip=cleanup/apt/lists "$release" "$root" "${mirror[@]}" >&2 ||
                die "$release cannot be installed: is a mirror that has it reachable? (GPUVM_MIRROR=URL names another)"
        sed -E 's#//(localhost|127\.0\.0\.1|\[::1\])([:/"])#//10.0.2.2\2#' "$root.apt" \
                >"$root/etc/apt/apt.conf.d/99mmdebstrap"
        rm "$root.apt"

        echo "LABEL=root / ext4 errors=remount-ro 0 1
LABEL=ESP /boot/efi vfat umask=0077,x-systemd.device-timeout=10min 0 1" >"$root/etc/fstab"
        mkdir -p "$root/boot/efi"
        sed -i 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT=""/; s/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/
                s/^GRUB_TIMEOUT_STYLE=.*//' "$root/etc/default/grub"
        chroot "$root" systemctl --quiet enable systemd-networkd ssh
        # Whatever starts by itself at some time of day would make two runs differ.
        chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
                fstrim.timer systemd-networkd-wait-online.service
        if [ $cloud = yes ]; then
                rm -f "$root/etc/hostname" "$root/etc/ssh/ssh_host_"*
                : >"$root/etc/machine-id"
                return
        fi
        echo "gpuvm-lab" >"$root/etc/hostname"
        echo "127.0.0.1 localhost gpuvm-lab" >"$root/etc/hosts"
        echo "nameserver 10.0.2.3" >"$root/etc/resolv.conf"
        printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\nIPv6AcceptRA=no\n' >"$root/etc/systemd/network/10-lab.network"
        # An installed machine has its identity: without one systemd would take this for a first boot.
        chroot "$root" systemd-machine-id-setup >/dev/null 2>&1
        chroot "$root" passwd -q -d root
        install -d -m 700 "$root/root/.ssh"
        install -m 600 "$cache/key.pub" "$root/root/.ssh/authorized_keys"
}

kernel_version() {
        find "$1/boot" -name 'vmlinuz-*' -printf '%f\n' | sort -V | tail -n 1 | sed 's/^vmlinuz-//'
}

# The stand-in for NVIDIA's driver, installed where another's would be. What built it goes again.
make_nvidia() {
        local root=$1 version

        version=$(kernel_version "$root")
        cp -r "$here/nvidia" "$root/usr/src/nvidia-lab"
        echo "blacklist nvidia" >"$root/etc/modprobe.d/lab.conf"
        {
                chroot "$root" make -C "/lib/modules/$version/build" M=/usr/src/nvidia-lab modules &&
                        install -D -m 644 -t "$root/lib/modules/$version/updates" "$root/usr/src/nvidia-lab/nvidia.ko" &&
                        chroot "$root" depmod "$version" &&
                        chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get purge -y --autoremove make "$headers"
        } >"$root.nvidia.log" 2>&1 || die "the stand-in driver cannot be built: $(tail -n 5 "$root.nvidia.log")"
        rm -r "$root/usr/src/nvidia-lab"
        # From here on an initramfs is made in the machine, with what that needs.
        echo MODULES=dep >>"$root/etc/initramfs-tools/conf.d/lab"
}

# The kernel's words, where an administrator would have put them and where GRUB reads them.
set_cmdline() {
        local root=$1 version

        sed -i '/^GRUB_CMDLINE_LINUX=/d' "$root/etc/default/grub"
        echo "GRUB_CMDLINE_LINUX=\"$cmdline\"" >>"$root/etc/default/grub"
        version=$(kernel_version "$root")
        printf '%s\n' "set timeout=0" "menuentry 'Lab' --class gnu-linux --id lab {" \
                "        search --no-floppy --label root --set=root" \
                "        linux /boot/vmlinuz-$version root=LABEL=root ro $cmdline" \
                "        initrd /boot/initrd.img-$version" "}" >"$root/boot/grub/grub.cfg"
}

# A GRUB that hands over to the configuration on the root file system, as grub-install's does. $1: root, $2: image
make_esp() {
        local root=$1 esp=$2 directory

        directory=$root/tmp/esp
        install -d "$directory"
        # shellcheck disable=SC2016
        printf '%s\n' "search --no-floppy --label root --set=root" 'set prefix=($root)/boot/grub' \
                "configfile /boot/grub/grub.cfg" >"$directory/embed.cfg"
        chroot "$root" grub-mkimage -O x86_64-efi -o /tmp/esp/BOOTX64.EFI -c /tmp/esp/embed.cfg -p /boot/grub \
                part_gpt fat ext2 search search_label search_fs_uuid configfile linux normal serial terminal echo \
                test ls boot gzio all_video loadenv sleep reboot halt minicmd
        truncate -s ${esp_mib}M "$esp"
        mkfs.vfat -n ESP "$esp" >/dev/null
        mmd -i "$esp" ::EFI ::EFI/BOOT
        mcopy -i "$esp" "$directory/BOOTX64.EFI" ::EFI/BOOT/
        rm -r "$directory"
}

# Partition table, ESP and root as one file; no loop device, no mount: works in a container too. $1: root, $2: disk
make_disk() {
        local root=$1 disk=$2

        make_esp "$root" "$disk.esp"
        truncate -s ${root_mib}M "$disk.root"
        mke2fs -q -t ext4 -L root -d "$root" "$disk.root"
        truncate -s $((1 + esp_mib + root_mib + 1))M "$disk.new"
        printf '%s\n' "label: gpt" "start=1MiB, size=${esp_mib}MiB, type=U" \
                "start=$((1 + esp_mib))MiB, size=${root_mib}MiB, type=L" | sfdisk -q "$disk.new"
        dd if="$disk.esp" of="$disk.new" bs=1M seek=1 conv=notrunc,sparse status=none
        dd if="$disk.root" of="$disk.new" bs=1M seek=$((1 + esp_mib)) conv=notrunc,sparse status=none
        rm "$disk.esp" "$disk.root"
        chmod 444 "$disk.new"
        mv "$disk.new" "$disk"
}

main() {
        local key kind tree disk began=$SECONDS

        parse_arguments "$@"
        [ "$(id -u)" = 0 ] || die "making a disk needs root"
        mkdir -p "$cache"
        # One at a time: the second asker finds the work done.
        exec 9>"$cache/lock"
        flock -w 1800 9 || die "another image is being made in $cache and does not end"
        make_key
        # Inputs: this file, the release and what is in it. A month later it is made anew, for a newer kernel.
        key=$({ cat "$here/image.sh" "$here/nvidia/"*; echo "$release $stocked $cloud ${GPUVM_MIRROR-} ${GPUVM_UBUNTU_MIRROR-}"; date +%Y%m; } |
                sha256sum | cut -c1-16)
        kind=lab-$release$([ $stocked = no ] || echo -stocked)$([ $cloud = no ] || echo -cloud)
        tree=$cache/$kind-$key
        disk=$tree/disk-$(echo "$cmdline" | sha256sum | cut -c1-8).raw
        if [ ! -e "$disk" ]; then
                if [ ! -e "$tree/root.done" ]; then
                        say "Installing $release into a disk (once a month; kept in $cache)"
                        rm -rf "$cache/$kind"-???????????????? && mkdir -p "$tree"
                        make_root "$tree/root"
                        [ $stocked = no ] || make_nvidia "$tree/root"
                        touch "$tree/root.done"
                fi
                say "Making the disk"
                set_cmdline "$tree/root"
                make_disk "$tree/root" "$disk"
                say "The disk is made after $((SECONDS - began)) s"
        fi
        echo "$disk"
}

main "$@"
