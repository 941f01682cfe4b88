#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Figures, beside what they are to be: bench.sh [-o FILE] [generator|help|helpers|holders|check|boot|hotplug|handover|next|image|ipcheck|gpu|vm|apply]...
#
# Not a test: a busy machine makes them worse. Needs hyperfine, valgrind and time; boot, hotplug and next need root, for real boots of
# systemd in a container, and so does handover, for an emulated machine (tests/lab). The result names the machine and goes
# to dist/figures.md.

set -euo pipefail

top=$(cd "$(dirname "$0")" && pwd)
cd "$top"
out=dist/figures.md
if [ "${1-}" = -o ]; then
        out=$2
        shift 2
fi
for tool in hyperfine valgrind time meson ninja; do
        type -P "$tool" >/dev/null || { echo "bench.sh: $tool is missing: apt-get install hyperfine valgrind time meson" >&2; exit 1; }
done
[ $# -gt 0 ] || set -- generator help helpers holders check boot hotplug handover next image ipcheck gpu vm apply
# needs FIGURE PACKAGES TOOL...: those tools and root, if that figure is asked for.
asked=" $* "
needs() {
        local figure=$1 packages=$2 tool

        [[ $asked == *" $figure "* ]] || return 0
        for tool in "${@:3}"; do
                type -P "$tool" >/dev/null ||
                        { echo "bench.sh: $tool is missing, for $figure: apt-get install $packages" >&2; exit 1; }
        done
        [ "$(id -u)" -eq 0 ] || { echo "bench.sh: $figure needs root" >&2; exit 1; }
}
needs boot "systemd-container mmdebstrap" systemd-nspawn mmdebstrap
needs next "systemd-container mmdebstrap python3" systemd-nspawn mmdebstrap python3 cc
needs hotplug "systemd-container mmdebstrap" systemd-nspawn mmdebstrap
needs image "curl qemu-utils xz-utils python3 openssl" curl qemu-img xz python3 openssl
needs ipcheck "arp-scan iproute2" arp-scan ip
needs gpu pciutils lspci
needs vm "libvirt-daemon libvirt-clients libvirt-dev qemu-system-x86 qemu-utils dnsmasq-base iptables" libvirtd virsh qemu-system-x86_64 qemu-img dnsmasq cc
needs apply "libvirt-daemon libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base iptables" libvirtd virsh qemu-system-x86_64 qemu-img dnsmasq
needs handover "qemu-system-x86 qemu-utils ovmf mmdebstrap" qemu-system-x86_64 qemu-img mmdebstrap

# In memory, as /run is: what a helper leaves there is no disk's business.
work=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work"' EXIT
rows=()
for part in lib generator helpers holders check boot hotplug handover next image ipcheck gpu vm apply; do
        # shellcheck source=/dev/null
        . "tests/bench/$part.sh"
done

build=$top/build-bench
[ -e "$build/build.ninja" ] || meson setup "$build" --buildtype=release --prefix=/usr -Dtests=false -Ddocs=disabled >/dev/null
ninja -C "$build" >/dev/null

for what; do
        declare -F "bench_$what" >/dev/null || { echo "bench.sh: there is no figure '$what'" >&2; exit 2; }
        "bench_$what"
done

mkdir -p "$(dirname "$out")"
{
        echo '# Figures'
        echo
        echo "Taken by \`./bench.sh\` from version $(<VERSION), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), on:"
        echo
        echo "- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1), $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg) at the end"
        echo "- $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')"
        echo
        echo 'Each is a median; a peer is measured in the same run, and the ratios count more than the milliseconds.'
        echo
        echo '| figure | measured | goal | met | note |'
        echo '|---|---|---|---|---|'
        printf '%s\n' "${rows[@]}"
} >"$out"
echo "Written to $out"
