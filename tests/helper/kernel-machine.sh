# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
# A made-up machine of AMD's that runs Debian's kernel for cloud guests, with GRUB's menu as it really is: source it after
# boot-machine.sh with $here set to this directory, call make_kernel_machine DIR.

old=6.1.0-40-cloud-amd64
new=6.1.0-56-amd64
generic='CONFIG_VFIO_PCI=m\nCONFIG_INTEL_IOMMU=y\nCONFIG_AMD_IOMMU=y\n'
cloud='CONFIG_VFIO_PCI=m\nCONFIG_INTEL_IOMMU=y\n# CONFIG_AMD_IOMMU is not set\n'

# put_kernel DIR RELEASE CONFIG
put_kernel() {
        echo kernel >"$1/boot/vmlinuz-$2"
        printf '%s\n' "$2" >"$1/boot/initrd.img-$2"
        # shellcheck disable=SC2059 # it has the newlines
        printf "$3" >"$1/boot/config-$2"
}

# The menu as GRUB's 10_linux writes it, newest first, each kernel in a submenu too.
put_grub() {
        stub "$1/usr/sbin/grub-mkconfig" <<'STUB'
[ ! -e "$root/fail-grub-mkconfig" ] || { echo 'grub-probe: error: cannot find a device for /' >&2; exit 1; }
[ ! -e "$root/kill-grub-mkconfig" ] || kill -9 $PPID
GRUB_DEFAULT=0
for f in "$root/etc/default/grub" "$root"/etc/default/grub.d/*.cfg; do
        # shellcheck disable=SC1090
        [ ! -e "$f" ] || . <(sed "s|/boot/|$root/boot/|g" "$f")
done
[ ! -e "$root/deaf-grub-mkconfig" ] || GRUB_DEFAULT=0
entry() {
        printf "%smenuentry '%s' --class debian \$menuentry_id_option '%s' {\n%s\tlinux\t/boot/vmlinuz-%s root=UUID=1 ro %s\n" \
                "$1" "$2" "$3" "$1" "$4" "$5"
        printf "%s\tinitrd\t/boot/initrd.img-%s\n%s}\n" "$1" "$4" "$1"
}
{
        sed "s/set default=\"0\"/set default=\"$GRUB_DEFAULT\"/" "$root/usr/share/00_header"
        echo '### BEGIN /etc/grub.d/10_linux ###'
        first=yes
        for k in $(printf '%s\n' "$root"/boot/vmlinuz-* | LC_ALL=C sort -rV); do
                v=${k##*/vmlinuz-}
                if [ $first = yes ]; then
                        entry '' 'Debian GNU/Linux' gnulinux-simple-1234 "$v" quiet
                        echo "submenu 'Advanced options for Debian GNU/Linux' \$menuentry_id_option 'gnulinux-advanced-1234' {"
                        first=no
                fi
                entry $'\t' "Debian GNU/Linux, with Linux $v" "gnulinux-$v-advanced-1234" "$v" quiet
                entry $'\t' "Debian GNU/Linux, with Linux $v (recovery mode)" "gnulinux-$v-recovery-1234" "$v" single
        done
        echo '}'
        echo '### END /etc/grub.d/10_linux ###'
        cat "$root/usr/share/41_custom"
} >"$root$2"
STUB
}

# An entry of a submenu is indented.
put_check() {
        stub "$1/usr/bin/grub-script-check" <<'STUB'
[ "$(grep -c '{$' "$root$1")" = "$(grep -cP '^\t*}' "$root$1")" ]
STUB
}

# apt-get whose packages of kernels are some, and call update-grub.
put_apt() {
        mkdir -p "$1"/{packages,var/lib/dpkg/updates,var/lib/apt/lists/partial}
        install "$here/apt-stub.sh" "$1/usr/bin/apt-stub"
        install "$here/apt-stub.sh" "$1/usr/bin/dpkg"
        touch "$1/var/lib/apt/lists/deb_Packages"
        for package in ca-certificates iproute2 kmod pciutils; do
                printf 'Package: %s\nStatus: install ok installed\nVersion: 1.0\n\n' "$package"
        done >"$1/var/lib/dpkg/status"
        echo "linux-image-$new" >"$1/packages/linux-image-amd64.deps"
        cat >"$1/usr/bin/apt-get" <<STUB
#!/bin/bash
set -e
root=\$GPUVM_ROOT
"\$root/usr/bin/apt-stub" "\$@"
case "\$*" in
*--simulate*) exit ;;
*purge*linux-image-$new*) rm -f "\$root"/boot/*-$new ;;
*install*linux-image-amd64*)
        [ ! -e "\$root/empty-package" ] || exit 0
        echo kernel >"\$root/boot/vmlinuz-$new"
        echo $new >"\$root/boot/initrd.img-$new"
        printf '$generic' >"\$root/boot/config-$new" ;;
*) exit ;;
esac
"\$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
STUB
        chmod 755 "$1/usr/bin/apt-get"
}

# make_kernel_machine DIR [INTEL]: with a network.
make_kernel_machine() {
        local root=$1

        TRIAL=yes make_machine "$root" "${2-AMD}"
        printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n' >"$root/etc/os-release"
        echo x86_64 >"$root/proc/sys/kernel/arch"
        mkdir -p "$root/proc/self/net"
        printf 'Iface\tDestination\tGateway\tFlags\nenp1s0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n' >"$root/proc/self/net/route"
        rm "$root"/boot/{vmlinuz,initrd.img}-*
        put_kernel "$root" "$old" "$cloud"
        echo "$old" >"$root/proc/sys/kernel/osrelease"
        put_grub "$root"
        put_check "$root"
        put_apt "$root"
        chmod 644 "$root/boot/grub/grub.cfg"
        GPUVM_ROOT=$root "$root/usr/sbin/grub-mkconfig" -o /boot/grub/grub.cfg
        : >"$root/calls"
}

# kernel_next_boot DIR [dead]: the next start; dead: it does not come up. Prints the kernel.
kernel_next_boot() {
        local root=$1 cfg kernel default

        [ "${2-}" != dead ] || { next_entry "$root" >/dev/null; return; }
        cfg=$(next_entry "$root")
        default=$(sed -n 's/^ *set default="\(.*>\)\{0,1\}\([^$"]*\)"/\2/p' "$root/boot/grub/grub.cfg")
        case $cfg:$default in
        *custom.cfg:* | *:0) kernel=$(grep -m 1 -P '^\t*linux\t' "$cfg") ;;
        *) kernel=$(grep -A 1 "_id_option '$default'" "$cfg" | tail -n 1) ;;
        esac
        kernel=${kernel#*vmlinuz-}
        echo boot >>"$root/boots"
        printf '%08x-2222-4222-8222-222222222222\n' "$(wc -l <"$root/boots")" >"$root/proc/sys/kernel/random/boot_id"
        rm -rf "$root/run" && mkdir "$root/run"
        echo "BOOT_IMAGE=/boot/vmlinuz-$kernel" >"$root/proc/cmdline"
        echo "${kernel%% *}" | tee "$root/proc/sys/kernel/osrelease"
}
