#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# packages, kvm, storage and verify as units, with a real apt and a real libvirt, and taken back: kvm.sh RELEASE
#
# The packages are fetched before the boot; inside there is no network, and none is needed. With GPUVM_LONG=1 all is taken
# back at last, which is another minute, and on each release.
#
# shellcheck disable=SC2317 # the step is called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
machine_new "$release"
mkdir -p "$machine/etc/gpuvm.conf.d"
printf '[Bootstrap]\nVfio=no\nBridge=no\nUser=ann\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"
useradd --root "$machine" --create-home ann

# What the two programs ask apt for, fetched into its cache.
cp --dereference /etc/resolv.conf "$machine/etc/resolv.conf"
cp -r /etc/apt/apt.conf.d/. "$machine/etc/apt/apt.conf.d/"
mapfile -t packages < <(for noun in packages kvm; do
        chroot "$machine" "/usr/lib/gpuvm/gpuvm-$noun" --dry-run
done | sed -n 's/.*: would install //p')
if ! { chroot "$machine" apt-get -q update && chroot "$machine" apt-get -q -y --no-install-recommends --download-only install \
        "${packages[@]}"; } >"$shared/apt.log" 2>&1 </dev/null; then
        diag "$(tail -n 5 "$shared/apt.log")"
        skip_all 'needs a Debian mirror'
fi

# What undo has to bring back: packages, units, the user's groups and /etc, but for what packages leave: the accounts that
# they made, and directories of theirs with something in them that is not theirs.
state() {
        dpkg-query -W -f 'package ${Package} ${db:Status-Abbrev}\n'
        systemctl list-unit-files --no-legend --plain | awk '{ print "unit", $1, $2 }'
        echo "user $(id -nG ann)"
        find /etc -regextype posix-extended -regex '/etc/(passwd|g?shadow|group|subuid|subgid)-?|/etc/(hosts|libvirt|xml|sgml|apparmor\.d)(/.*)?' \
                -o -printf 'file %p %y %m %u:%g %l\n' -type f -exec sha256sum {} + | LC_ALL=C sort
}

libvirt_has() {
        virsh -q -c qemu:///system pool-info gpuvm 2>/dev/null | awk '/State|Autostart/ { print "pool", $2 }'
        virsh -q -c qemu:///system net-info default | awk '/Active|Autostart/ { print "network", $2 }'
}

set_up() {
        echo "libvirtd $(systemctl is-enabled libvirtd.service)"
        libvirt_has
        id -nG ann | tr ' ' '\n' | grep -xE 'libvirt|kvm' | sort | xargs echo ann
}

setup() {
        local unit pass

        state >/shared/state-fresh
        for pass in first second; do
                for unit in packages kvm storage verify; do
                        [ "$pass $unit" != 'first kvm' ] || state >/shared/state-before
                        systemctl start "gpuvm-$unit.service" || journalctl --no-pager -n 20 -u "gpuvm-$unit.service" >&2
                        echo "$pass $unit $(systemctl show --value -p Result "gpuvm-$unit.service")" \
                                "$(sed -n 's/.*"action".*/change/p' "/run/gpuvm/phases/$unit.json" | wc -l)"
                done
        done
        set_up
        stat -c 'report %a' /var/lib/gpuvm/report.json
        cp /var/lib/gpuvm/report.json /shared/report.json
        virt-host-validate qemu >/shared/validate 2>&1
}
machine_boot setup
is "$release: everything is set up" "$(grep -v '^first\|^second' <<<"$output")" 'libvirtd enabled
pool running
pool yes
network yes
network yes
ann kvm libvirt
report 644'
is "$release: each unit succeeds" "$(awk '/^(first|second)/ { print $3 }' <<<"$output" | sort | uniq -c | xargs)" '8 success'
like "$release: the first run makes changes" "$(grep '^first kvm' <<<"$output")" 'success 1[0-9]'
is "$release: the second run makes none" "$(awk '/^second/ { print $4 }' <<<"$output" | xargs)" '0 0 0 0'
like "$release: the report says ready" "$(cat "$shared/report.json")" '"ready": ?true'

# What libvirt's own look at the host finds wrong is in the report as well. No VM here is a confidential one.
unexplained() {
        local line what

        while read -r line; do
                case $line in
                *'secure guest'*) continue ;;
                *'hardware virtualization'* | *dev/kvm*) what='no /dev/kvm' ;;
                *vhost-net*) what='no /dev/vhost-net' ;;
                *net/tun*) what='no /dev/net/tun' ;;
                *cgroup*) what='no cgroup controller' ;;
                *IOMMU*) what='"iommu"' ;;
                *) what=$line ;;
                esac
                grep -qF "$what" "$shared/report.json" || echo "$line"
        done
}
check "$release: libvirt looks at the host" grep -q 'QEMU: .*PASS' "$shared/validate"
is "$release: all that it finds wrong is in the report" "$(grep -E ': (FAIL|WARN)' "$shared/validate" | unexplained)" ''
# With packages it is as on the other release.
if [ "$release" != trixie ] && [ -z "${GPUVM_LONG-}" ]; then
        [ "$tap_failed" -eq 0 ] || diag "$(tail -n 60 "$shared/stderr")"
        done_testing
        exit
fi

# undo STEP...: what it ends with, and what differs from the state of that name.
undo() {
        gpuvm-undo "${@:2}" >/shared/undo 2>&1
        echo "undo $?"
        state | diff "/shared/state-$1" - | grep '^[<>]'
}

taken_back() {
        local unit

        echo '-- storage'
        gpuvm-undo storage >/shared/undo 2>&1
        echo "undo $?"
        libvirt_has
        echo '-- kvm'
        undo before kvm
        find /sys/class/net/virbr0 /etc/libvirt ! -type d 2>/dev/null
        echo '-- again'
        undo before kvm storage
        tail -n 1 /shared/undo
        echo '-- anew'
        for unit in kvm storage; do
                systemctl start "gpuvm-$unit.service" || journalctl --no-pager -n 20 -u "gpuvm-$unit.service" >&2
        done
        set_up
}
machine_boot taken_back
is "$release: undo takes back the pool and how the network was" "$(part storage)" 'undo 0
network no
network no'
is "$release: undo takes back packages, units and groups, and /etc is as before" "$(part kvm)" 'undo 0'
is "$release: a second time there is nothing to take back" "$(part again)" 'undo 0
gpuvm-undo: Nothing to do'
is "$release: the next run sets all up again" "$(part anew)" 'libvirtd enabled
pool running
pool yes
network yes
network yes
ann kvm libvirt'

all_taken_back() {
        undo fresh --all
        ls -A /var/lib/gpuvm
}
if [ -n "${GPUVM_LONG-}" ]; then
        machine_boot all_taken_back
        is "$release: after all of it is taken back the machine is as it was" "$output" 'undo 0'
fi
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 60 "$shared/stderr")"
done_testing
