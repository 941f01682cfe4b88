#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-kvm on made-up machines: kvm.sh DIRECTORY-OF-HELPERS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
helper=$1/gpuvm-kvm
work=$(mktemp -d)
at_exit rm -rf "$work"
case $(uname -m) in
aarch64) packages=(qemu-system-arm qemu-efi-aarch64 ipxe-qemu) ;;
*) packages=(qemu-system-x86 ovmf) ;;
esac
packages+=(qemu-utils libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients dnsmasq-base iptables swtpm
        swtpm-tools libcurl4t64 libssl3t64 libarchive13t64 libxml2)
n=0

make_socket() {
        mkdir -p "${1%/*}"
        python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1"
}

stub() {
        cat >"$root$1"
        chmod 755 "$root$1"
}

# A machine with these packages, a user ann, and libvirt's units if libvirt is among the packages.
machine() {
        local package

        root=$work/$((n += 1))
        mkdir -p "$root"/{etc,dev,packages,usr/bin,usr/sbin,var/lib/dpkg/updates,var/lib/apt/lists/partial}
        install "$here/apt-stub.sh" "$root/usr/bin/apt-get"
        install "$here/apt-stub.sh" "$root/usr/bin/dpkg"
        : >"$root/calls"
        : >"$root/var/lib/dpkg/status"
        printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' >"$root/etc/passwd"
        printf 'root:x:0:\nlibvirt:x:109:\nkvm:x:110:bob\n' >"$root/etc/group"
        for package; do
                printf 'Package: %s\nStatus: install ok installed\nVersion: 1.0\n\n' "$package"
        done >"$root/var/lib/dpkg/status"
        stub /usr/bin/systemctl <<'S'
#!/bin/bash
echo "systemctl $*" >>"$GPUVM_ROOT/calls"
wants=$GPUVM_ROOT/etc/systemd/system/multi-user.target.wants
[ ! -e "$GPUVM_ROOT/systemctl-fails" ] || exit 1
case $1 in
enable) mkdir -p "$wants"; ln -s "/usr/lib/systemd/system/$2" "$wants/$2" ;;
start)
        [ -e "$GPUVM_ROOT/run/libvirt" ] || python3 -c 'import os, socket
d = os.environ["GPUVM_ROOT"] + "/run/libvirt"
os.makedirs(d, exist_ok=True)
os.chdir(d)
socket.socket(socket.AF_UNIX).bind("virtqemud-sock" if os.path.exists("../../modular") else "libvirt-sock")'
        ;;
esac
S
        stub /usr/sbin/usermod <<'S'
#!/bin/bash
echo "usermod $*" >>"$GPUVM_ROOT/calls"
sed -i "s/^\($3:x:[0-9]*:\)$/\1$5/; s/^\($3:x:[0-9]*:..*[^,]\)$/\1,$5/" "$GPUVM_ROOT/etc/group"
S
}

units() {
        local unit

        mkdir -p "$root/usr/lib/systemd/system"
        for unit; do
                touch "$root/usr/lib/systemd/system/$unit"
        done
}

enabled() {
        local unit

        mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
        for unit; do
                ln -s "/usr/lib/systemd/system/$unit" "$root/etc/systemd/system/multi-user.target.wants/$unit"
        done
}

up() {
        units libvirtd.service
        enabled libvirtd.service
        # The path of a socket is short.
        (cd "$root" && make_socket run/libvirt/libvirt-sock)
}

user() {
        printf '[Bootstrap]\nUser=%s\n' "$1" >"$root/etc/gpuvm.conf"
}

run() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

# Everything is there.
machine "${packages[@]}"
up
touch "$root/dev/kvm"
run
is 'nothing to do succeeds' "$status" 0
is 'nothing to do starts no program' "$(cat "$root/calls")" ''
like 'nothing to do says so' "$said" 'Nothing to do'

# A fresh machine, to the end.
machine
user ann
units libvirtd.service
run --dry-run
is 'a dry run succeeds' "$status" 0
is 'a dry run lists every package' "$(grep -c 'would install' <<<"$said")" "${#packages[@]}"
like 'a dry run lists the groups' "$said" "would join libvirt: user 'ann'"
is 'a dry run starts no program' "$(cat "$root/calls")" ''
run
is 'a fresh machine succeeds' "$status" 0
for package in "${packages[@]}"; do
        check "$package is installed" grep -qx "Package: $package" "$root/var/lib/dpkg/status"
done
check 'libvirt is enabled' grep -qx 'systemctl enable libvirtd.service' "$root/calls"
check 'libvirt is started' grep -qx 'systemctl start libvirtd.service' "$root/calls"
is 'the user joins both groups' "$(grep -c ann "$root/etc/group")" 2
check 'the members that were there stay' grep -qx 'kvm:x:110:bob,ann' "$root/etc/group"
like 'what that means is said' "$said" 'as good as being root'
like 'no /dev/kvm is said' "$said" 'slowly \(TCG\)'
for object in swtpm libvirtd.service ann; do
        check "the ledger has $object" grep -qa "$object" -r "$root/var/lib/gpuvm/ledger"
done
: >"$root/calls"
run
is 'the second run starts no program' "$status $(cat "$root/calls")" '0 '

# Libraries have the names of their release.
machine "${packages[@]}"
up
sed -i '/^Package: lib[a-z0-9]*t64$/,/^$/d' "$root/var/lib/dpkg/status"
for row in 'bookworm|libarchive13 libcurl4 libssl3' 'trixie|libarchive13t64 libcurl4t64 libssl3t64' 'noble|libarchive13t64 libcurl4t64 libssl3t64'; do
        echo "VERSION_CODENAME=${row%|*}" >"$root/etc/os-release"
        run --dry-run
        is "${row%|*}: what vmctl loads" "$(sed -n 's/.*would install \([^:]*\).*/\1/p' <<<"$said" | sort | xargs)" "${row#*|}"
done

# libvirt was here, and something is added to it.
machine "${packages[@]}"
sed -i '/^Package: swtpm$/,/^$/d' "$root/var/lib/dpkg/status"
up
run
is 'a running libvirt learns of what was added' "$status $(grep -c 'systemctl try-restart libvirtd.service' "$root/calls")" '0 1'
check_fails 'and is not started again' 1 grep -q 'systemctl start' "$root/calls"

# Something at the socket's place that is none.
machine "${packages[@]}"
units libvirtd.service
enabled libvirtd.service
mkdir -p "$root/run/libvirt"
touch "$root/run/libvirt/libvirt-sock"
run
is 'a file is no socket' "$status $(grep -c 'systemctl start' "$root/calls")" '1 1'
like 'and that is told' "$said" 'does not listen'

# Daemons of their own for each driver.
machine "${packages[@]}"
units virtqemud.service virtnetworkd.service virtstoraged.service
touch "$root/modular"
run
is 'modular daemons' "$status $(grep -c 'systemctl enable' "$root/calls")" '0 3'

# Refusals.
machine "${packages[@]}"
run
is 'libvirt without a unit fails' "$status" 1
machine "${packages[@]}"
units libvirtd.service
touch "$root/systemctl-fails"
run
is 'a daemon that does not start fails' "$status" 1
like 'and names it' "$said" 'libvirtd.service'

# Who may use it.
machine "${packages[@]}"
up
user nobody-here
run
is 'a user kept elsewhere is no failure' "$status $(cat "$root/calls")" '0 '
like 'and is said' "$said" 'not in /etc/passwd'
user root
run
is 'root needs no group' "$status $(cat "$root/calls")" '0 '
user ann
printf '#!/bin/bash\nexit 6\n' >"$root/usr/sbin/usermod"
run
is 'a usermod that fails' "$status" 1
like 'has a remedy' "$said" 'usermod -aG'

# Turned off.
machine
printf '[Bootstrap]\nKvm=no\n' >"$root/etc/gpuvm.conf"
run
is 'Kvm=no is not applicable' "$status $(cat "$root/calls")" '77 '
machine "${packages[@]}"
up
mkdir -p "$root/sys/module/kvm_intel/parameters"
echo N >"$root/sys/module/kvm_intel/parameters/nested"
run
like 'nested virtualization off is said, with what turns it on' "$said" \
        "Nested virtualization is off.*'options kvm_intel nested=1' into a file in /etc/modprobe.d"
done_testing
