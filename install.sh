#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs gpuvm and runs its bootstrap: on this machine, or, to see it work, in an emulated one.
#
#     sudo ./install.sh [--yes] [--deb FILE]
#     sudo ./install.sh --lab [--release trixie|bookworm] [--stocked] [--keep]
#     curl -fsSL URL/install.sh | sudo bash -s -- --yes
#
# A cut download runs nothing: there are only functions before the last line, and main does nothing unless it is
# called with that line's last word.

# What a release is: made by release.sh, which fills in the sums. From a checkout the package is built instead.
release_version=
# shellcheck disable=SC2034 # used by its name, as is the next
release_sha256_amd64=
# shellcheck disable=SC2034
release_sha256_arm64=
release_url=https://gpuvm.example/releases

usage() {
        cat <<'END'
install.sh [--yes] [--deb FILE]
install.sh --lab [--release NAME] [--stocked] [--keep]

Turns this machine into a GPU passthrough host: builds or fetches the gpuvm
package, installs it, shows what the bootstrap would do, asks, and runs it.

  --yes           Do not ask
  --deb FILE      Install this package instead of building or fetching one
  --lab           Leave this machine alone: run the whole bootstrap in an
                  emulated machine with an IOMMU and a stand-in for a GPU
  --release NAME  The lab's release: trixie (default), bookworm or noble
  --stocked       The lab has QEMU and libvirt installed already, which
                  saves minutes of apt in an emulated machine
  --keep          Leave the lab machine running, to log in
  --help          Show this help
END
}

say() { printf '%s\n' "$*" >&2; }
step() { printf '\n== %s (after %d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)) >&2; }
die() {
        say "install.sh: $1"
        exit "${2:-1}"
}

parse_arguments() {
        assume_yes=no deb='' lab=no release=trixie stocked='' keep=no
        while [ $# -gt 0 ]; do
                case $1 in
                --yes | -y) assume_yes=yes ;;
                --deb | --release)
                        [ -n "${2-}" ] || die "$1 needs an argument." 2
                        if [ "$1" = --deb ]; then deb=$2; else release=$2; fi
                        shift
                        ;;
                --lab) lab=yes ;;
                --stocked) stocked=--stocked ;;
                --keep) keep=yes ;;
                --help | -h) usage && exit 0 ;;
                *) die "unknown argument '$1'; see --help." 2 ;;
                esac
                shift
        done
        if [ $lab = no ] && [ "$keep$stocked$release" != notrixie ]; then
                die "--keep, --stocked and --release go with --lab." 2
        fi
        if [ -n "$deb" ] && [ ! -r "$deb" ]; then
                die "the package $deb cannot be read." 2
        fi
}

# Refuses what is not supported, before anything is changed. Sets arch and codename.
check_system() {
        local id='' version=''

        [ "$(id -u)" = 0 ] || die "this needs root: run it with sudo."
        [ -r /etc/os-release ] || die "no /etc/os-release: this is no Linux distribution that is supported."
        id=$(. /etc/os-release && echo "${ID-}")
        version=$(. /etc/os-release && echo "${VERSION_ID-}")
        codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
        case $id:$version in
        debian:12 | debian:13 | ubuntu:24.04) ;;
        *)
                if command -v dnf >/dev/null || command -v zypper >/dev/null || command -v pacman >/dev/null; then
                        die "$id ${version} has no apt: gpuvm supports Debian 12 and 13 and Ubuntu 24.04. Nothing was changed."
                fi
                die "$id ${version:-of no version} is not supported: Debian 12 and 13 and Ubuntu 24.04 are. Nothing was changed."
                ;;
        esac
        command -v apt-get >/dev/null || die "there is no apt-get. Nothing was changed."
        arch=$(dpkg --print-architecture)
        case $arch in
        amd64 | arm64) ;;
        *) die "the architecture $arch is not supported: amd64 and arm64 are. Nothing was changed." ;;
        esac
}

# The bootstrap needs a machine of its own: systemd has to run it, and a kernel command line to change.
check_host() {
        if [ -e /run/.containerenv ] || [ -e /.dockerenv ] ||
                { command -v systemd-detect-virt >/dev/null && systemd-detect-virt --quiet --container; }; then
                die "this is a container, and the bootstrap changes a machine's kernel command line: run it on the host. Nothing was changed. (--lab works here.)"
        fi
        [ "$(cat /proc/1/comm):$([ -d /run/systemd/system ] && echo runs)" = systemd:runs ] ||
                die "systemd does not run this machine, and it is systemd that runs the bootstrap. Nothing was changed. (--lab works here.)"
}

apt() {
        DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# As apt; where that fails the lists may be missing or old. What it says is in $work/apt.log.
apt_fresh() {
        apt "$@" >"$work/apt.log" 2>&1 || { apt update && apt "$@"; } >"$work/apt.log" 2>&1
}

# Installs those that are not there; says nothing and asks no mirror if all are.
need() {
        local missing=() package

        for package in "$@"; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
                        missing+=("$package")
        done
        [ ${#missing[@]} -gt 0 ] || return 0
        say "Installing ${missing[*]}"
        apt_fresh install -y --no-install-recommends "${missing[@]}" || die "apt could not install ${missing[*]}:
$(tail -n 5 "$work/apt.log")
Put apt in order (apt-get update; apt-get -f install) and run this again."
}

# The directory of the checkout this file is in; fails if it came by a pipe or stands alone.
find_checkout() {
        local file=${BASH_SOURCE[0]-}

        [ -n "$file" ] && [ -f "$file" ] || return 1
        checkout=$(cd "$(dirname "$file")" && pwd)
        [ -f "$checkout/debian/control" ] && [ -f "$checkout/meson.build" ]
}

# Builds the package from the checkout on this machine. Sets deb.
build_package() {
        step "Building the package"
        need dpkg-dev build-essential
        apt_fresh build-dep -y "$checkout" || die "what the build needs cannot be installed:
$(tail -n 5 "$work/apt.log")"
        mkdir "$work/source"
        tar -C "$checkout" --exclude='./build*' --exclude=./dist --exclude=./.git -cf - . | tar -C "$work/source" -xf -
        (cd "$work/source" && DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)" \
                dpkg-buildpackage -b -us -uc) >"$work/build.log" 2>&1 </dev/null ||
                die "the package does not build:
$(tail -n 20 "$work/build.log")"
        deb=$(find "$work" -maxdepth 1 -name 'gpuvm_*.deb' | head -n 1)
}

# Fetches the released package and verifies it. Sets deb.
fetch_package() {
        local sum name

        sum=release_sha256_$arch
        sum=${!sum}
        name=gpuvm_${release_version}_$arch.deb
        if [ -z "$release_version" ] || [ -z "$sum" ]; then
                die "this copy of install.sh belongs to no release for $arch, and it is in no checkout to build from. Take it from a release, or pass --deb FILE."
        fi
        step "Fetching gpuvm $release_version"
        need curl ca-certificates
        curl -fsSL --retry 3 --max-time 600 -o "$work/$name" "$release_url/v$release_version/$name" ||
                die "$release_url/v$release_version/$name cannot be fetched. Look at the network, or pass --deb FILE."
        [ "$(sha256sum "$work/$name" | cut -d' ' -f1)" = "$sum" ] ||
                die "$name is not what was released: its SHA-256 sum differs. Nothing was installed."
        deb=$work/$name
}

find_package() {
        if [ -n "$deb" ]; then
                [ "$(dpkg-deb -f "$deb" Package 2>/dev/null)" = gpuvm ] || die "$deb is no gpuvm package."
        elif find_checkout; then
                build_package
        else
                fetch_package
        fi
}

confirm() {
        local answer

        [ $assume_yes = no ] || return 0
        { true </dev/tty; } 2>/dev/null || die "there is no terminal to ask on: pass --yes to go on without being asked."
        printf '%s [y/N] ' "$1" >/dev/tty
        read -r answer </dev/tty || answer=
        case $answer in
        [yY] | [yY][eE][sS]) ;;
        *) return 1 ;;
        esac
}

install_here() {
        check_system
        check_host
        find_package
        step "Installing $(basename "$deb")"
        chmod 755 "$work"
        cp "$deb" "$work/package.deb" && chmod 644 "$work/package.deb"
        apt_fresh install -y --no-install-recommends "$work/package.deb" || die "apt could not install the package:
$(tail -n 5 "$work/apt.log")"
        step "What the bootstrap would do"
        gpu-vm-bootstrap --dry-run || die "the bootstrap says that it cannot be done here: see above. Only the package was installed."
        if ! confirm "Go ahead?"; then
                say "Nothing was done. The package is installed: sudo gpu-vm-bootstrap starts it, apt purge gpuvm removes it."
                exit 0
        fi
        step "Running the bootstrap"
        gpu-vm-bootstrap --yes
}

# The lab's package: built here if that is good for its release, else in a chroot of Debian 12, as releases are.
lab_package() {
        local build=no

        [ "$codename" != bookworm ] && [ "$codename" != "$release" ] || build=yes
        if [ -n "$deb" ]; then
                find_package
        elif [ $build = yes ]; then
                build_package
        else
                step "Building the package"
                deb=$("$checkout/tests/package/build.sh" bookworm amd64 | tail -n 1)
        fi
}

# Runs the front end in the machine until it is over, across the reboot.
lab_follow() {
        local booted deadline=$((SECONDS + 1800)) status

        booted=$lab_boot_id
        lab_ssh gpu-vm-bootstrap --yes --skip-nvidia --gpu-mode exclusive </dev/null && status=0 || status=$?
        while [ $SECONDS -lt $deadline ]; do
                # 255 is ssh's own: the machine went away, or is going.
                # 75: about to restart; 3: not over. Anything else is a result.
                case $status in 255 | 75 | 3) ;; *) return $status ;; esac
                # What is asked of a machine that is going away hangs with it.
                lab_wait_boot 500 "$([ $status != 75 ] || echo "$booted")" || return 1
                if [ "$lab_boot_id" != "$booted" ]; then
                        step "The machine is up again after its reboot"
                        booted=$lab_boot_id
                fi
                lab_ssh gpu-vm-bootstrap --follow </dev/null && status=0 || status=$?
                [ $status = 0 ] || sleep 3
        done
        return 1
}

lab_report() {
        step "The report"
        lab_ssh gpu-vm-bootstrap --status </dev/null || true
        # shellcheck disable=SC2016 # expanded in the machine
        lab_ssh 'cd /sys/bus/pci/devices && echo && for d in 0000:01:00.?; do
                echo "$d [$(cat $d/vendor):$(cat $d/device)] group $(basename $(readlink $d/iommu_group) 2>/dev/null)," \
                        "driver $(basename $(readlink $d/driver) 2>/dev/null)"; done' </dev/null || true
}

run_lab() {
        local status=0 disk

        check_system
        [ "$arch" = amd64 ] || die "the lab emulates an amd64 machine and runs on one only. Nothing was changed."
        find_checkout || die "the lab is part of the sources: run install.sh from a checkout. Nothing was changed."
        # shellcheck source=tests/lab/lab.sh
        . "$checkout/tests/lab/lab.sh"
        step "Tools"
        need "${lab_packages[@]}"
        lab_package
        step "The disk of the lab machine"
        disk=$("$checkout/tests/lab/image.sh" --release "$release" $stocked --cmdline intel_iommu=off) ||
                die "the lab machine's disk could not be made."
        step "Starting the machine ($release, emulated; its firmware's IOMMU is there, but the kernel has it off)"
        [ $keep = no ] || LAB_OWNER=0
        lab_begin install
        trap 'lab_exit; rm -rf "$work"' EXIT
        lab_boot "$disk"
        lab_wait_boot 400 || die "the lab machine did not start."
        step "Installing the package in it"
        lab_put "$deb"
        lab_ssh "DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o Dpkg::Use-Pty=0 ./$(basename "$deb")" \
                >"$lab_directory/install.log" 2>&1 </dev/null || die "$(tail -n 5 "$lab_directory/install.log")"
        # As an installation leaves it: the disk's own menu is written by hand, and cannot start an entry once.
        lab_ssh 'grub-editenv /boot/grub/grubenv create && update-grub' >>"$lab_directory/install.log" 2>&1 </dev/null ||
                die "$(tail -n 5 "$lab_directory/install.log")"
        # An emulated machine takes its time to prove that the network came through.
        printf '%s\n' '[Bootstrap]' 'RebootDelaySec=5' 'OverrideIommuOff=yes' '[Network]' 'RevertSec=300' |
                lab_ssh 'mkdir -p /etc/gpuvm.conf.d && cat >/etc/gpuvm.conf.d/lab.conf'
        step "The bootstrap"
        lab_follow || status=$?
        lab_report
        if [ $status = 0 ]; then
                step "Done: the stand-in GPU is ready for VMs"
                [ $keep = yes ] || lab_keep=no
        else
                step "Failed with status $status"
                lab_ssh 'journalctl -b --no-pager' >"$lab_directory/journal" 2>/dev/null </dev/null || true
        fi
        lab_farewell
        return $status
}

lab_farewell() {
        local login="ssh -i $lab_cache/key -p $lab_port -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1"

        if [ $keep = no ]; then
                say "The machine is taken down now. To log in, run this with --keep: $login"
                return
        fi
        lab_forget_connection
        trap 'rm -rf "$work"' EXIT
        disown "$lab_pid"
        say "The machine stays. To log in: sudo $login"
        say "To end it: sudo kill $lab_pid && sudo rm -r $lab_directory"
}

main() {
        [ "${*: -1}" = --this-is-the-end ] || return 0
        set -euo pipefail
        parse_arguments "${@:1:$#-1}"
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        if [ $lab = yes ]; then run_lab; else install_here; fi
}

main "$@" --this-is-the-end
