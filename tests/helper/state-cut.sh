#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every helper but gpuvm-iommu and gpuvm-bootfile (see boot-cut.sh) killed at a system call that changes something, and the
# power gone in the same moment: state-cut.sh DIRECTORY-OF-HELPERS GOINGDOWN [CASE...]
#
# shellcheck disable=SC2317,SC2154,SC2034,SC2016 # the functions of the cases and what they share with cut.sh

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=cut.sh
. "$(dirname "$0")/cut.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
# shellcheck source=bridge-machine.sh
. "$(dirname "$0")/bridge-machine.sh"
here=$(cd "$(dirname "$0")" && pwd)
cut_begin "$@"
boot=11111111-1111-4111-8111-111111111111

# dpkg_machine NAME PACKAGE...: these are installed.
dpkg_machine() {
        local dir=$work/$1 package

        shift
        mkdir -p "$dir"/{etc,packages,proc,usr/bin,usr/sbin,usr/lib/systemd/system,var/lib/{gpuvm,apt/lists/partial,dpkg/updates}}
        install "$here/apt-stub.sh" "$dir/usr/bin/apt-get"
        install "$here/apt-stub.sh" "$dir/usr/bin/dpkg"
        printf 'PRETTY_NAME="Debian"\nVERSION_CODENAME=trixie\n' >"$dir/etc/os-release"
        for package; do
                printf 'Package: %s\nStatus: install ok installed\nVersion: 1.0\n\n' "$package"
        done >"$dir/var/lib/dpkg/status"
        touch "$dir/var/lib/apt/lists/deb_Packages"
}

# What apt installs is not what undo is to bring back in the same order.
sorted_packages() {
        sed -n 's/^Package: //p' "$root/var/lib/dpkg/status" | sort | xargs
}

# --- packages: a system update, then tools, one with a dependency
dpkg_machine packages kmod bash
echo libpci3 >"$work/packages/packages/pciutils.deps"
echo 'Inst bash [1.0] (1.1 Debian:13/stable [amd64])' >"$work/packages/upgrades"
printf '[Bootstrap]\nUpdateSystem=yes\n' >"$work/packages/etc/gpuvm.conf"
# Upgraded packages stay.
loose[packages]='^\./var/lib/dpkg/status'
run_packages() {
        "$@" "$helpers/gpuvm-packages" --root="$root"
}
# Whatever was installed is in the ledger; what is remembered as updated is updated.
look_packages() {
        local package

        for package in $(sorted_packages); do
                case $package in kmod | bash) continue ;; esac
                grep -qs "^object=$package\$" "$root"/var/lib/gpuvm/ledger/* || { echo "$package is not in the ledger"; return 1; }
        done
        [ ! -s "$root/var/lib/gpuvm/system-update" ] || grep -q '^Version: 1.1' "$root/var/lib/dpkg/status" ||
                { echo 'the update is remembered but not made'; return 1; }
}

# --- nvidia: a repository with its key, a pin, packages, a module that is built
dpkg_machine nvidia kmod
printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n' >"$work/nvidia/etc/os-release"
mkdir -p "$work/nvidia"/{boot,run,proc/sys/kernel,etc/apt/sources.list.d,lib/modules/6.1.0-40-amd64,sys/bus/pci/devices} \
        "$work/nvidia/sys/devices/pci0000:00/0000:01:00.0"
ln -s ../../../devices/pci0000:00/0000:01:00.0 "$work/nvidia/sys/bus/pci/devices/0000:01:00.0"
for file in class:0x030000 vendor:0x10de device:0x2d04; do
        echo "${file#*:}" >"$work/nvidia/sys/devices/pci0000:00/0000:01:00.0/${file%:*}"
done
echo 6.1.0-40-amd64 >"$work/nvidia/proc/sys/kernel/osrelease"
echo x86_64 >"$work/nvidia/proc/sys/kernel/arch"
touch "$work/nvidia/boot"/{vmlinuz,initrd.img}-6.1.0-40-amd64
echo 'deb http://mirror.example/debian bookworm main' >"$work/nvidia/etc/apt/sources.list"
stub "$work/nvidia/usr/sbin/dkms" <<'STUB'
echo 'updates/dkms/nvidia.ko:' >"$root/lib/modules/$3/modules.dep"
STUB
stub "$work/nvidia/usr/lib/apt/apt-helper" <<'STUB'
printf -- '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAA==\n' >"${@: -1}"
STUB
# Docker is there to be told about GPUs.
stub "$work/nvidia/usr/bin/dockerd" <<'STUB'
exit 1
STUB
stub "$work/nvidia/usr/bin/nvidia-ctk" <<'STUB'
echo '{ "log-driver": "journald", "runtimes": { "nvidia": { "path": "nvidia-container-runtime" } } }'
STUB
mkdir "$work/nvidia/etc/docker"
echo '{ "log-driver": "journald" }' >"$work/nvidia/etc/docker/daemon.json"
# What DKMS built goes with its packages, and apt's lists are apt's.
loose[nvidia]='^\./(lib/modules|var/lib/apt)/'
# The driver, CUDA and the container toolkit come one after the other.
between[nvidia]='^\./var/lib/dpkg/status'
run_nvidia() {
        "$@" "$helpers/gpuvm-nvidia" --root="$root"
}
# apt is never told of a place whose key is not there.
look_nvidia() {
        local name

        for name in cuda nvidia-container; do
                [ ! -s "$root/etc/apt/sources.list.d/gpuvm-$name.sources" ] || grep -qs BEGIN "$root/etc/apt/keyrings/gpuvm-$name.asc" ||
                        { echo "$name is a source without a key"; return 1; }
        done
        grep -qs journald "$root/etc/docker/daemon.json" || { echo "Docker's settings are gone"; return 1; }
}

# --- kvm: packages, a daemon that is enabled and started, a user in two groups
dpkg_machine kvm qemu-utils libvirt-daemon-system
mkdir -p "$work/kvm"/{dev,run,etc/systemd/system/multi-user.target.wants}
printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' >"$work/kvm/etc/passwd"
printf 'root:x:0:\nlibvirt:x:109:\nkvm:x:110:bob\n' >"$work/kvm/etc/group"
printf '[Bootstrap]\nUser=ann\n' >"$work/kvm/etc/gpuvm.conf"
touch "$work/kvm/usr/lib/systemd/system/libvirtd.service"
stub "$work/kvm/usr/bin/systemctl" <<'STUB'
wants=$root/etc/systemd/system/multi-user.target.wants
case $1 in
enable) ln -sf "/usr/lib/systemd/system/$2" "$wants/$2" ;;
disable) rm -f "$wants/$2" ;;
start) [ -e "$root/run/libvirt/libvirt-sock" ] || python3 -c 'import os, socket
os.makedirs(os.environ["GPUVM_ROOT"] + "/run/libvirt", exist_ok=True)
os.chdir(os.environ["GPUVM_ROOT"] + "/run/libvirt")
socket.socket(socket.AF_UNIX).bind("libvirt-sock")' ;;
esac
sync "$wants"
STUB
# As the real ones, which write beside, sync and rename.
stub "$work/kvm/usr/sbin/usermod" <<'STUB'
sed "s/^\($3:x:[0-9]*:\)$/\1$5/; t; s/^\($3:x:[0-9]*:.*\)$/\1,$5/" "$root/etc/group" >"$root/etc/group-new"
sync "$root/etc/group-new"
mv "$root/etc/group-new" "$root/etc/group"
sync "$root/etc"
STUB
stub "$work/kvm/usr/bin/gpasswd" <<'STUB'
sed "s/^\($3:.*[:,]\)$2$/\1/; s/,$//" "$root/etc/group" >"$root/etc/group-new"
sync "$root/etc/group-new"
mv "$root/etc/group-new" "$root/etc/group"
sync "$root/etc"
STUB
# A daemon that is enabled and runs after the start has not to be started, which is one record less.
loose[kvm]='^\./(var/lib/dpkg/status|var/lib/gpuvm/ledger|etc/group-new)'
between[kvm]='^\./etc/group'
run_kvm() {
        "$@" "$helpers/gpuvm-kvm" --root="$root"
}
# An enabled daemon runs after a start.
boot_kvm() {
        rm -rf "$root/run/libvirt"
        [ ! -h "$root/etc/systemd/system/multi-user.target.wants/libvirtd.service" ] || GPUVM_ROOT=$root "$root/usr/bin/systemctl" start x
}
look_kvm() {
        local member

        while read -r member; do
                grep -qsx "was=$member" "$root"/var/lib/gpuvm/ledger/* || { echo "the group $member is not in the ledger"; return 1; }
        done < <(sed -n 's/^\([a-z]*\):.*[:,]ann$/\1/p' "$root/etc/group")
        [ ! -h "$root/etc/systemd/system/multi-user.target.wants/libvirtd.service" ] ||
                grep -qsx kind=enabled "$root"/var/lib/gpuvm/ledger/* || { echo 'the daemon is not in the ledger'; return 1; }
}

# --- vfio setup: a GPU that is on vfio-pci already, and nothing that would bind it at the next boot
make_vfio_machine "$work/vfio"
# A cut before it is recorded that udev reads its rules again: the next run finds the rule written, and udev has started
# with it.
loose[vfio]='^\./var/lib/gpuvm/ledger'
run_vfio() {
        "$@" "$helpers/gpuvm-vfio" --root="$root" setup
}
look_vfio() {
        starts "$root"
}

# --- storage: a pool, a network, the image cache, with libvirt's test driver, which forgets
mkdir -p "$work"/storage/{etc,var/lib/gpuvm}
printf '[Bootstrap]\nBridge=no\n' >"$work/storage/etc/gpuvm.conf"
run_storage() {
        GPUVM_LIBVIRT_URI=test:///default "$@" "$helpers/gpuvm-storage" --root="$root"
}

# --- bridge: the network's files, with each of those who may run it
run_bridge() {
        "$@" "$helpers/gpuvm-bridge" --root="$root"
}
# The kernel has forgotten the bridge. gpuvm-bridge-boot.service is before the network, and that is as its files have it.
boot_bridge() {
        local owner

        other_boot
        rm -rf "$root/run/gpuvm" "$root/sys/class/net/br0"
        mkdir "$root/run/gpuvm"
        [ ! -e "$root/var/lib/gpuvm/bridge.pending" ] || "$helpers/gpuvm-bridge" --root="$root" revert --boot >"$work/said" 2>&1
        for owner in bin/networkctl sbin/ifup bin/nmcli; do
                [ ! -e "$root/usr/$owner" ] || GPUVM_ROOT=$root "$root/usr/$owner"
        done
}
# Either it is kept or it never was.
look_bridge() {
        local now=moving

        [ ! -e "$root/var/lib/gpuvm/bridge.pending" ] || { echo "the boot does not take it back: $(cat "$work/said")"; return 1; }
        [ ! -e "$root/var/lib/gpuvm/bridge" ] || now=moved
        "$helpers/gpuvm-bridge" --root="$root" status >"$work/said" 2>&1 || { echo "no status: $(cat "$work/said")"; return 1; }
        cmp -s "$bridge_records/$now" "$root/run/gpuvm/netstate" || { echo "the network is not $now"; return 1; }
}
bridge_of() {
        local root=$work/bridge-$1 what

        make_bridge_machine "$root"
        "$1"
        # It has the boot that it was made in.
        loose[bridge-$1]='^\./var/lib/gpuvm/bridge( |$)'
        for what in run boot look; do
                eval "${what}_bridge-$1() { ${what}_bridge \"\$@\"; }"
        done
}
# For a sample one of them is enough.
owners=(ifupdown)
[ $# -eq 2 ] && [ -z "${GPUVM_LONG-}" ] || owners+=(networkd networkmanager)
for name in "${owners[@]}"; do
        bridge_of "$name"
done

# --- bootstrap: the options of gpu-vm-bootstrap as a drop-in. It changes nothing but the host, so the machine becomes one,
# with phases that have no objections. What answers for systemd hangs up when it is asked to read the drop-in, and so the
# run ends; after it nothing is written that lasts.
mkdir -p "$work"/bootstrap/{etc,run/systemd/system,var/{log,lib/gpuvm}} "$work"/host/{usr,proc,dev,etc,run,var,programs} "$work/programs"
cp -P /bin /sbin /lib* "$work/host"
printf '[Bootstrap]\nReboot=ask\n' >"$work/bootstrap/etc/gpuvm.conf"
cp "$helpers/gpu-vm-bootstrap" "$work/programs"
for name in preflight packages nvidia kvm iommu vfio bridge storage; do
        ln -s /usr/bin/true "$work/programs/gpuvm-$name"
done
bus=gpuvm-state-cut-$$
python3 - $bus <<'EOF' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind('\0' + sys.argv[1])
s.listen()
while True:
    c = s.accept()[0]
    c.recv(1)
    c.close()
EOF
at_exit kill $!
for _ in {1..600}; do
        ! grep -q "@$bus\$" /proc/net/unix || break
        sleep 0.1
done
run_bootstrap() {
        local end=0

        DBUS_SYSTEM_BUS_ADDRESS=unix:abstract=$bus unshare -m bash -euc '
                host=$1 machine=$2
                for dir in usr proc dev; do mount --bind -o ro "/$dir" "$host/$dir"; done
                for dir in etc run var; do mount --bind "$machine/$dir" "$host/$dir"; done
                mount --bind -o ro "$host/../programs" "$host/programs"
                exec "${@:3}"' bash "$work/host" "$root" env -u SUDO_USER "$@" \
                chroot "$work/host" /programs/gpu-vm-bootstrap --yes --gpu-mode=exclusive --skip-bridge || end=$?
        [ $end = 1 ]
}

# --- reboot: the story has to be on disk when the restart is asked for; a second run is in another boot
story_machine() {
        mkdir -p "$work/$1"/{etc,proc/sys/kernel/random,run/gpuvm/reboot.d,var/lib/gpuvm}
        echo $boot >"$work/$1/proc/sys/kernel/random/boot_id"
        echo 'root=/dev/vda1 ro quiet' >"$work/$1/proc/cmdline"
        keeps_no_ledger[$1]=1
        loose[$1]='^\./var/lib/gpuvm/pending'
}
# None of those that a machine has begun with.
other_boot() {
        echo "33333333-1111-4111-8111-111111111111" >"$root/proc/sys/kernel/random/boot_id"
}
# story KEY: what the story says.
story() {
        sed -n "s/^$1 //p" "$root/var/lib/gpuvm/pending"
}
# whole_story TOTAL...: it is not there, or whole with one of these.
whole_story() {
        local total

        [ -e "$root/var/lib/gpuvm/pending" ] || { [ "$1" = none ] && return; echo 'the story is gone'; return 1; }
        [ "$(tail -n 1 "$root/var/lib/gpuvm/pending")" = end ] || { echo 'the story is torn'; return 1; }
        for total; do
                [ "$(story total) $(story resumes)" != "$total" ] || return 0
        done
        echo "the story has $(story total) restarts, $(story resumes) resumes"
        return 1
}
story_machine reboot
printf 'the IOMMU is off\nintel_iommu=on\n' >"$work/reboot/run/gpuvm/reboot.d/iommu"
run_reboot() {
        "$@" "$helpers/gpuvm-reboot" --root="$root"
}
# At first it is one that somebody else's restart would go on with, which counts for nothing.
look_reboot() {
        if [ "$cut_at" = end ]; then whole_story '1 0'; else whole_story none '0 0' '1 0'; fi
}
boot_reboot() {
        other_boot
}

# --- resume: going on is counted before anything starts
story_machine resume
printf 'gpuvm-pending 1\nboot %s\ncounted 1\ntotal 1\nresumes 0\ncause iommu 1\nend\n' 2${boot:1} >"$work/resume/var/lib/gpuvm/pending"
run_resume() {
        "$@" "$helpers/gpuvm-resume" --root="$root"
}
look_resume() {
        whole_story '1 0' '1 1'
}
boot_resume() {
        other_boot
}

# --- verify: the story ends when the report is there, not before
story_machine verify
mkdir -p "$work/verify/run/gpuvm/phases"
printf '[Bootstrap]\nVfio=no\nKvm=no\n' >"$work/verify/etc/gpuvm.conf"
cp "$work/resume/var/lib/gpuvm/pending" "$work/verify/var/lib/gpuvm/pending"
printf '{ "phase": "kvm", "result": "ok", "took_ms": 1, "changes": [] }\n' >"$work/verify/run/gpuvm/phases/kvm.json"
loose[verify]='^\./var/lib/gpuvm/(pending|report\.json)'
run_verify() {
        "$@" "$helpers/gpuvm-verify" --root="$root"
}
look_verify() {
        [ -e "$root/var/lib/gpuvm/pending" ] && { whole_story '1 0'; return; }
        grep -qs '"ready": *true' "$root/var/lib/gpuvm/report.json" || { echo 'the story has ended without a report'; return 1; }
}

# --- preflight: the facts, and no more
cp -a "$here/../hosts/intel-one-gpu" "$work/preflight"
mkdir -p "$work/preflight/var/lib"
keeps_no_ledger[preflight]=1
run_preflight() {
        "$@" "$helpers/gpuvm-preflight" --root="$root"
}

# --- undo: of what the others have written. It is what takes back, so it is only run again.
undone() {
        local root=$work/undo-$1

        cp -a "$work/$1" "$root"
        "run_$1" env >"$work/said" 2>&1 || { diag "$1, uncut: $(cat "$work/said")"; exit 1; }
        loose[undo-$1]=${loose[$1]-}
        [ -z "${between[$1]-}" ] || between[undo-$1]=${between[$1]}
        keeps_no_ledger[undo-$1]=1
        case $1 in bridge-*) eval "boot_undo-$1() { boot_bridge; }; look_undo-$1() { look_bridge; }" ;; esac
        eval "run_undo-$1() { GPUVM_LIBVIRT_URI=test:///default \"\$@\" \"\$helpers/gpuvm-undo\" --root=\"\$root\" --all; }"
}
writers=(packages nvidia kvm vfio storage "${owners[@]/#/bridge-}" bootstrap)
for name in "${writers[@]}"; do
        undone "$name"
done

cases=("${@:3}")
[ $# -gt 2 ] || cases=(preflight "${writers[@]}" reboot resume verify "${writers[@]/#/undo-}")
cut_everywhere 60 "${cases[@]}"
for name in "${writers[@]}"; do
        root=$work/undo-$name.whole
        [ ! -e "$root" ] || [ ! -e "$work/$name.start" ] || is "undo brings back what was before $name" "$(cut_start_digest "$name")" "$(cat "$work/$name.start")"
done
done_testing
