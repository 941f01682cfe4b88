# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # vmctl is of the script that sources this; status and got are for it
# Machines made by the real vmctl with a real libvirtd and QEMU, in namespaces. Source it after ../lib.sh, with vmctl set.
#
# The script defines real(), which runs inside, and calls create_real WORK SECONDS [FUNCTION...].

key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada'
pool=/var/lib/libvirt/images/gpuvm
standard=(--image /var/cache/base.qcow2 --memory 128 --cpus 1 --no-gpu --ssh-key "$key")

# What a bootstrap makes, but for the network.
ground() {
        mkdir -p "$pool"
        qemu-img create -q -f qcow2 /var/cache/base.qcow2 1G
}
network() {
        printf '<network><name>default</name><bridge name="virbr9" stp="off"/></network>' >/run/network.xml
        virsh -q -c qemu:///system "net-define /run/network.xml; net-start default; net-autostart default" >/dev/null
}
# Not for all: other programs are not made for it.
vm() {
        env LD_PRELOAD="$preload" "$vmctl" "$@" </dev/null
}
make() {
        vm create debian "${standard[@]}" "$@"
}
# All that create could leave, byte for byte.
state() {
        virsh -q -c qemu:///system list --all --name
        pgrep -c qemu-system || true
        find "$pool" /var/lib/gpuvm /etc/libvirt /etc/systemd/system /var/lib/libvirt/qemu ! -path '*/capabilities*' \
                ! -path '*/checkpoint*' ! -path '*/snapshot*' ! -name '*.sock' | sort
        find "$pool" /var/lib/gpuvm /etc/libvirt -type f -exec sha256sum {} + | sort
        find /var/log/libvirt/qemu -type f ! -name '*.log' 2>/dev/null || true
}

asan=$(ldd "$vmctl" | awk '/libasan/ { print $3 }')
preload=${asan:+$asan libtirpc.so.3}
! nm -D "$vmctl" 2>/dev/null | grep -q __asan_init || preload=${preload:-libtirpc.so.3}
export vmctl pool key preload

# create_real WORK SECONDS [FUNCTION...]: sets got to what real() printed, and status; 77: something is not installed.
create_real() {
        local program missing=
        local work=$1 limit=$2

        shift 2
        {
                declare -p standard
                declare -f real vm make state ground network "$@"
                echo real
        } >"$work/real"
        for program in qemu-img qemu-system-x86_64 strace strings; do
                command -v "$program" >/dev/null || missing=$program
        done
        status=0
        got=$([ -z "$missing" ] || exit 77
                "$(dirname "${BASH_SOURCE[0]}")/../helper/with-libvirtd.sh" timeout "$limit" bash -uo pipefail "$work/real" 2>"$work/err") ||
                status=$?
        [ "$status" -ne 77 ] || return 0
        ! grep -q . "$work/err" || diag "$(grep -v '^$' "$work/err" | tail -n 20)"
}
