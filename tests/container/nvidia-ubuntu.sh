#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-nvidia.service on a machine that says it is Ubuntu 24.04, with a real apt over stand-ins for Ubuntu's packages of
# the driver: nvidia-ubuntu.sh RELEASE
#
# Names, dependencies and Modaliases are those of Ubuntu's archive. ubuntu-drivers is a stand-in that chooses by them as
# the real one does.
#
# shellcheck disable=SC2317,SC2016 # the steps are called inside the container; dpkg-query has ${} of its own
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=nvidialib.sh
. "$(dirname "$0")/nvidialib.sh"

release=${1:-trixie}
nvidia_machine "$release"
ubuntu=$machine/srv/ubuntu
pool=$ubuntu/pool
nvidia=$machine/srv/https/developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64
rm "$machine/etc/os-release"
printf 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nID_LIKE=debian\n' >"$machine/etc/os-release"

# --- kernels: the first release's, one without ready made modules, and the later one that desktops start
generic=6.8.0-50-generic lowlatency=6.8.0-50-lowlatency later=6.14.0-36-generic
# headers RELEASE METAPACKAGE
headers() {
        mkdir -p "$work/files/usr/src/linux-headers-$1"
        package "$pool/main" "linux-headers-$1" 6.8-1
        package "$pool/main" "$2" 6.8-1 "Depends: linux-headers-$1"
}
headers $generic linux-headers-generic
headers $lowlatency linux-headers-lowlatency
headers $later linux-headers-generic-hwe-24.04

# --- the driver
# aliases VARIANT: the cards that it drives, of a GTX 1080 Ti, an RTX 4090 and an RTX 5060 Ti.
aliases() {
        local ids=2684 id said=

        case $1 in
        580*-open | 595-open) ids='2684 2D04' ;;
        535* | 580*) ids='1B06 2684' ;;
        esac
        for id in $ids; do
                said+="${said:+, }pci:v000010DEd0000${id}sv*sd*bc03sc*i*"
        done
        echo "Modaliases: nvidia($said)"
}

# modules VARIANT VERSION KERNEL METAPACKAGE: those that Ubuntu built and signed for a kernel.
modules() {
        local upstream=${2%%-*} common=nvidia-kernel-common-${1%-open}

        common="$common (<= $upstream-1), $common (>= $upstream)"
        package "$pool/restricted" "linux-objects-nvidia-$1-$3" 6.8-1 "Depends: $common"
        maintainer postinst <<<"#!/bin/sh
echo kernel/nvidia-$1/nvidia.ko: >>/lib/modules/$3/modules.dep"
        maintainer postrm <<<"#!/bin/sh
sed -i '/nvidia.ko/d' /lib/modules/$3/modules.dep"
        package "$pool/restricted" "linux-modules-nvidia-$1-$3" 6.8-1 \
                "Depends: linux-image-$3 | linux-image-unsigned-$3, linux-objects-nvidia-$1-$3 (= 6.8-1), linux-signatures-nvidia-$3 (= 6.8-1), $common"
        package "$pool/restricted" "$4" 6.8-1 "Depends: linux-modules-nvidia-$1-$3 (= 6.8-1), $common"
}

# libraries PLAIN VERSION: what open and proprietary modules share.
libraries() {
        local dir=$pool/restricted

        package "$dir" "nvidia-firmware-$1-${2%%-*}" "$2"
        package "$dir" "nvidia-kernel-common-$1" "$2" "Depends: nvidia-firmware-$1-${2%%-*}" \
                'Conflicts: nvidia-kernel-common' 'Provides: nvidia-kernel-common'
        package "$dir" "libnvidia-cfg1-$1" "$2" 'Conflicts: libnvidia-cfg1' 'Provides: libnvidia-cfg1'
        package "$dir" "libnvidia-compute-$1" "$2" 'Conflicts: libnvidia-compute' 'Provides: libnvidia-compute, libcuda1'
        package "$dir" "nvidia-compute-utils-$1" "$2" "Depends: libnvidia-compute-$1" \
                'Conflicts: nvidia-compute-utils' 'Provides: nvidia-compute-utils, nvidia-persistenced'
        script bin/nvidia-smi <<<'#!/bin/sh'
        package "$dir" "nvidia-utils-$1" "$2" "Depends: libnvidia-compute-$1" 'Conflicts: nvidia-utils' 'Provides: nvidia-utils'
}

# variant NAME VERSION
variant() {
        local dir=$pool/restricted plain=${1%-open}

        package "$dir" "nvidia-kernel-source-$1" "$2" 'Conflicts: nvidia-kernel-source' 'Provides: nvidia-kernel-source'
        package "$dir" "nvidia-headless-no-dkms-$1" "$2" \
                "Depends: libnvidia-cfg1-$plain (= $2), libnvidia-compute-$plain (= $2), nvidia-compute-utils-$plain (= $2), nvidia-kernel-common-$plain (= $2), nvidia-kernel-source-$1 (= $2)"
        maintainer postinst <<<"#!/bin/sh
for k in /lib/modules/*; do dkms autoinstall -k \${k##*/} || :; done"
        maintainer prerm <<<"#!/bin/sh
sed -i '/nvidia.ko/d' /lib/modules/*/modules.dep"
        package "$dir" "nvidia-dkms-$1" "$2" \
                "Depends: dkms, nvidia-kernel-source-$1 (= $2), nvidia-kernel-common-$plain (= $2)" \
                'Conflicts: nvidia-dkms' 'Provides: nvidia-dkms'
        package "$dir" "nvidia-driver-$1" "$2" "Depends: nvidia-dkms-$1, xserver-xorg-core" "$(aliases "$1")"
        [ "$1" != 595-open ] || return 0
        modules "$1" "$2" $generic "linux-modules-nvidia-$1-generic"
        # The later kernel's are one behind.
        modules "$1" "$2" 6.14.0-35-generic "linux-modules-nvidia-$1-generic-hwe-24.04"
}

for kernel in $generic 6.14.0-35-generic; do
        package "$pool/restricted" "linux-signatures-nvidia-$kernel" 6.8-1
done
for plain in 535-server 580 580-server 595; do
        case $plain in
        535*) version=535.274.02-0ubuntu0.24.04.1 variants=535-server ;;
        580*) version=580.95.05-0ubuntu0.24.04.1 variants="$plain $plain-open" ;;
        595) version=595.45.04-0ubuntu0.24.04.1 variants=595-open ;;
        esac
        libraries $plain "$version"
        for name in $variants; do
                variant "$name" "$version"
        done
done

# --- what goes with it
package "$pool/main" ca-certificates 99
package "$pool/main" pciutils 99
script sbin/dkms <<'S'
#!/bin/sh
# autoinstall -k KERNEL
if [ ! -d "/usr/src/linux-headers-$3" ]; then
        echo "Error! Your kernel headers for kernel $3 cannot be found" >&2
        exit 11
fi
grep -q nvidia.ko "/lib/modules/$3/modules.dep" || echo updates/dkms/nvidia.ko: >>"/lib/modules/$3/modules.dep"
S
package "$pool/main" dkms 3.0.11-1ubuntu13
# A container has its host's kernel, so the machine's is told.
script bin/ubuntu-drivers <<'S'
#!/bin/bash
# list --gpgpu
set -f
read -r kernel flavour </shared/kernel
card=$(</sys/bus/pci/devices/0000:01:00.0/modalias)
has() {
        apt-cache show --no-all-versions "$1" >/dev/null 2>&1
}
apt-cache dumpavail | awk '/^Package: / { p = $2 } /^Modaliases: / { $1 = ""; print p $0 }' | sort -u |
        while read -r package aliases; do
                name=${package#nvidia-driver-}
                by=None
                ! has "nvidia-dkms-$name" || by=nvidia-dkms-$name
                ! has "linux-modules-nvidia-$name-$flavour" || ! has "linux-modules-nvidia-$name-$kernel" ||
                        by=linux-modules-nvidia-$name-$flavour
                for alias in ${aliases//[(),]/ }; do
                        # shellcheck disable=SC2053 # these are patterns
                        [[ $card != $alias ]] || echo "$package, (kernel modules provided by $by)"
                done
        done
S
package "$pool/main" ubuntu-drivers-common 1:0.9.7.6ubuntu3.3
for component in main restricted; do
        dir=$ubuntu/dists/noble/$component/binary-amd64
        mkdir -p "$dir"
        (cd "$ubuntu" && dpkg-scanpackages -m "pool/$component" 2>/dev/null >"$dir/Packages")
done
sign "$ubuntu/dists/noble" noble main restricted
rm -rf "$machine"/etc/apt/sources.list*
mkdir "$machine/etc/apt/sources.list.d"
printf 'Types: deb\nURIs: file:/srv/ubuntu\nSuites: noble\nComponents: main restricted\nSigned-By: /etc/apt/keyrings/test.asc\n' \
        >"$machine/etc/apt/sources.list.d/ubuntu.sources"

# --- NVIDIA's repository has some of these names, with newer versions
v=580.126.09-1ubuntu1
for name in libnvidia-cfg1-580 libnvidia-compute-580 nvidia-utils-580 nvidia-kernel-common-580 nvidia-dkms-580-open; do
        package "$nvidia" $name $v
done
package "$nvidia" nvidia-driver-580-open $v "$(aliases 580-open)"
package "$nvidia" libnvidia-compute 610.43.02-1ubuntu1
package "$nvidia" nvidia-dkms-open 610.43.02-1ubuntu1
(cd "$nvidia" && dpkg-scanpackages -m . 2>/dev/null | sed 's|^Filename: \./|Filename: |' >Packages)
sign "$nvidia" / ''

# kernel RELEASE FLAVOUR: the one that this machine starts, and what metapackages for it end with.
kernel() {
        local old

        old=$(chroot "$machine" dpkg-query -W -f '${Package}\n' 'linux-image-*' 2>/dev/null) || :
        mkdir -p "$work/files/boot" "$work/files/usr/lib/modules/$1"
        : >"$work/files/boot/vmlinuz-$1"
        : >"$work/files/boot/initrd.img-$1"
        maintainer postinst <<<"#!/bin/sh
: >/lib/modules/$1/modules.dep"
        maintainer postrm <<<"#!/bin/sh
rm -rf /lib/modules/$1"
        package "$machine/srv/kernel" "linux-image-$1" 6.8-1
        # shellcheck disable=SC2086 # none, or one
        {
                [ -z "$old" ] || chroot "$machine" dpkg --purge $old
                chroot "$machine" dpkg -i "/srv/kernel/linux-image-$1_6.8-1_amd64.deb"
        } >"$shared/dpkg.log" 2>&1
        echo "$*" >"$shared/kernel"
}

twice() {
        echo -- runs
        phase first
        echo -- packages
        packages
        echo -- runs
        phase second
}
names() {
        part packages | cut -d' ' -f1 | xargs
}
undone() {
        echo -- undo
        taken_back
}

signed() {
        local before

        twice
        echo -- other
        printf '[Gpu]\nDriverSource=nvidia\n' >/etc/gpuvm.conf.d/60-other.conf
        before=$(packages)
        systemctl start gpuvm-nvidia.service 2>/dev/null || echo refused
        [ "$(packages)" != "$before" ] || echo 'as it was'
        journalctl --sync
        journalctl --no-pager -o cat -u 'gpuvm-*' >/shared/journal
        rm /etc/gpuvm.conf.d/60-other.conf
        undone
}
kernel $generic generic
card 0x2684 CudaToolkit=no ContainerToolkit=no
machine_boot signed
is "$release: signed open modules for this kernel, of the long-term driver for servers" "$(names)" \
        "libnvidia-cfg1-580-server libnvidia-compute-580-server \
linux-modules-nvidia-580-server-open-$generic linux-modules-nvidia-580-server-open-generic \
linux-objects-nvidia-580-server-open-$generic linux-signatures-nvidia-$generic \
nvidia-compute-utils-580-server nvidia-firmware-580-server-580.95.05 \
nvidia-headless-no-dkms-580-server-open nvidia-kernel-common-580-server \
nvidia-kernel-source-580-server-open nvidia-utils-580-server ubuntu-drivers-common"
like "$release: in one run, and the second changes nothing" "$(part runs)" '^first success [1-9].*second success 0$'
is "$release: no other family comes over it" "$(part other)" 'refused
as it was'
like "$release: and that is said" "$(cat "$shared/journal")" \
        'other family of packages \(DriverSource=distro\) is here'
is "$release: undo takes all of it away" "$(part undo)" 'left:  '

# An older card. The administrator has NVIDIA's repository for something else.
beside() {
        twice
        echo -- apt
        apt-cache policy libnvidia-compute-580 | grep Candidate
        apt-get -q -s dist-upgrade | grep ^Inst || echo 'nothing to upgrade'
        undone
}
printf 'deb [signed-by=/etc/apt/keyrings/test.asc] https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/ /\n' \
        >"$machine/etc/apt/sources.list.d/cuda.list"
card 0x1b06 CudaToolkit=no ContainerToolkit=no
machine_boot beside
is "$release: proprietary modules for an older card" "$(names)" \
        "libnvidia-cfg1-580-server libnvidia-compute-580-server linux-modules-nvidia-580-server-$generic \
linux-modules-nvidia-580-server-generic linux-objects-nvidia-580-server-$generic \
linux-signatures-nvidia-$generic nvidia-compute-utils-580-server \
nvidia-firmware-580-server-580.95.05 nvidia-headless-no-dkms-580-server \
nvidia-kernel-common-580-server nvidia-kernel-source-580-server nvidia-utils-580-server \
ubuntu-drivers-common"
like "$release: again in one run" "$(part runs)" '^first success [1-9].*second success 0$'
is "$release: nothing comes from NVIDIA's repository, now or with an upgrade" "$(part apt | xargs)" \
        'Candidate: 580.95.05-0ubuntu0.24.04.1 nothing to upgrade'
is "$release: undo takes that away as well" "$(part undo)" 'left:  '
rm "$machine/etc/apt/sources.list.d/cuda.list"

# Nothing is ready made for these kernels.
built() {
        twice
        echo -- module
        cat "/lib/modules/$(cut -d' ' -f1 /shared/kernel)/modules.dep"
        undone
}
# builds KERNEL FLAVOUR HEADERS: DKMS does it for that kernel, by the headers of that metapackage.
builds() {
        kernel "$1" "$2"
        machine_boot built
        is "$release: $1: DKMS and the headers, and no modules of another kernel" "$(names)" \
                "dkms libnvidia-cfg1-580-server libnvidia-compute-580-server linux-headers-$1 $3 \
nvidia-compute-utils-580-server nvidia-dkms-580-server-open nvidia-firmware-580-server-580.95.05 \
nvidia-headless-no-dkms-580-server-open nvidia-kernel-common-580-server \
nvidia-kernel-source-580-server-open nvidia-utils-580-server ubuntu-drivers-common"
        like "$release: $1: once" "$(part runs)" '^first success [1-9].*second success 0$'
        is "$release: $1: with a module" "$(part module)" updates/dkms/nvidia.ko:
        is "$release: $1: undo takes it away" "$(part undo)" 'left:  '
}
card 0x2d04 CudaToolkit=no ContainerToolkit=no
builds $lowlatency lowlatency linux-headers-lowlatency
builds $later generic-hwe-24.04 linux-headers-generic-hwe-24.04
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 80 "$shared/stderr")"
done_testing
