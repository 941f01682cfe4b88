#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may start and stop what, by a real polkitd: polkit.sh RELEASE
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
machine_new "$release" polkitd

# Units that only note that they ran; one of somebody else whose name comes near.
for unit in gpuvm-vfio@ gpuvm-vm@ gpuvm-bridge gpuvm-vfioX@; do
        mkdir -p "$machine/etc/systemd/system/$unit.service.d"
        [ "$unit" != gpuvm-vfioX@ ] || printf '[Service]\n' >"$machine/etc/systemd/system/$unit.service"
        printf '[Unit]\nBindsTo=\nAfter=\nRefuseManualStop=no\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=\nExecStart=/bin/true\nExecStop=\nExecStopPost=\n' \
                >"$machine/etc/systemd/system/$unit.service.d/stub.conf"
done
rm "$machine/usr/lib/systemd/system-generators/gpuvm-generator"

# try USER ARGUMENT...: "yes", or "no" with nothing done.
try() {
        setpriv --reuid="$1" --regid="$1" --init-groups systemctl --no-ask-password "${@:2}" >/dev/null 2>&1 && echo yes || echo no
}

# What root may do shows that the others are refused for who they are.
rights() {
        local user

        groupadd --system libvirt
        useradd -M -G libvirt ann
        useradd -M bob
        for user in root ann bob; do
                echo "$user: $(try $user start gpuvm-vfio@0000:01:00.0.service) $(try $user restart gpuvm-vm@talos-01.service)" \
                        "$(try $user stop gpuvm-vfio@0000:01:00.0.service) $(try $user stop gpuvm-vm@talos-01.service)" \
                        "/ $(try $user start gpuvm-bridge.service) $(try $user stop gpuvm-bridge.service)" \
                        "$(try $user start gpuvm-vfioX@0.service) $(try $user stop gpuvm-vfioX@0.service)" \
                        "$(try $user start sysinit.target) $(try $user daemon-reload)" \
                        "$(try $user set-property --runtime gpuvm-vm@talos-01.service CPUWeight=1)" \
                        "$(try $user set-environment A=b)"
        done
        for user in gpuvm-vm@evil gpuvm-vfio@0000:01:00.1; do
                setpriv --reuid=ann --regid=ann --init-groups systemd-run --no-ask-password --wait --unit=$user.service \
                        touch /run/evil >/dev/null 2>&1 || echo refused
        done
        ls /run/evil 2>/dev/null
}
machine_boot rights
is "$release: the group libvirt hands over GPUs and runs machines, and no more; others nothing" "$output" \
        'root: yes yes yes yes / yes yes yes yes yes yes yes yes
ann: yes yes yes yes / no no no no no no no no
bob: no no no no / no no no no no no no no
refused
refused'
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 30 "$shared/stderr")"
done_testing
