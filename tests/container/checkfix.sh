#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl check --fix under a real systemd, with a real libvirtd: the phase that puts it right is started, alone, and what it
# did is looked at: checkfix.sh RELEASE
#
# shellcheck disable=SC2317,SC2086,SC2016 # the steps are called inside the container; users are words; scripts are expanded there
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
archive=libarchive13t64
[ "$release" != bookworm ] || archive=libarchive13
machine_new "$release" polkitd libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils "$archive" libxml2
ln -sf /dev/null "$machine/etc/systemd/system/libvirtd-tls.socket"
ln -sf /dev/null "$machine/etc/systemd/system/libvirtd-tcp.socket"
printf 'namespaces = []\ncgroup_controllers = []\nsecurity_driver = "none"\nuser = "root"\n' >"$machine/etc/libvirt/qemu.conf"
stub_all
# The phases' programs put right what they are for, as far as a container lets them; that of storage fails at first.
stub kvm 'mkdir -p /usr/share/OVMF' 'touch /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd' \
        'for p in ovmf swtpm swtpm-tools dnsmasq-base; do grep -qx "Package: $p" /var/lib/dpkg/status || printf "\nPackage: %s\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n" $p; done >>/var/lib/dpkg/status'
stub storage '[ -e /shared/may ] || exit 1' 'mkdir -p /var/lib/libvirt/images/gpuvm' \
        'virsh -q -c qemu:///system "pool-define-as gpuvm dir --target /var/lib/libvirt/images/gpuvm; pool-start gpuvm; pool-autostart gpuvm"'

# mend ARGUMENT...: what it says on its way, the exit status, and which phases have run.
mend() {
        local status=0

        : >/shared/ran
        vmctl check --fix "$@" >/shared/found 2>/shared/said </dev/null || status=$?
        sed 's/^vmctl: //' /shared/said
        echo "$status: $(cut -d ' ' -f 1 /shared/ran | xargs)"
        tail -n +"$(grep -n '^$' /shared/found | head -n 1 | cut -d : -f 1)" /shared/found | grep -E '^(fail|ok) +(packages|storage) ' | cut -c 1-60
}
mends() {
        systemctl is-system-running --wait >/dev/null
        mend
        mend --dry-run
        mend --yes
        mend --yes
        touch /shared/may
        mend --yes
}
machine_boot mends
is "$release: the phase alone is started, and what it came to looked at" "$output" "There is no terminal to ask on; say --yes to go on without
1: 
gpuvm-kvm.service would be started
1: 
Starting gpuvm-kvm.service
Put right: packages
1: kvm
ok    packages      dpkg is idle, and no package is half ins
fail  storage       pool 'gpuvm' is not active
Starting gpuvm-storage.service
gpuvm-storage.service failed. 'journalctl -u gpuvm-storage.service' says why, and what helps
Not right yet: storage
1: storage
ok    packages      dpkg is idle, and no package is half ins
fail  storage       pool 'gpuvm' is not active
Starting gpuvm-storage.service
Put right: storage
2: storage
ok    packages      dpkg is idle, and no package is half ins
ok    storage       'gpuvm' is active and starts at boot"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 30 "$shared/stderr" "$shared/found")"
done_testing
