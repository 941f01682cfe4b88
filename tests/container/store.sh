#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The host's models in a guest that boots: store.sh RELEASE
#
# A real Debian under an emulating QEMU, declared as a machine for language models, with the libvirt and the virtiofsd of the release and
# a real systemd in a container. The guest's own setup mounts what is shared, and its agent is asked what it sees. No network
# leads out: the steps behind that one fail. Debian 12's libvirt cannot keep a guest from writing: there the host's mount does.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=gpus.sh
. "$(dirname "$0")/gpus.sh"

container_require
release=${1:-trixie}
boot_limit=${GPUVM_BOOT_LIMIT:-6000}
disk=$("$(dirname "$0")/../lab/image.sh" --cloud) || skip_all 'needs what tests/lab/image.sh says'
packages=(libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils ovmf libxml2 jq)
mount=rw options=bind,noauto kept=1
case $release in
bookworm) packages+=(libarchive13) mount=ro options=bind,ro kept=0 ;;
*) packages+=(libarchive13t64 virtiofsd) ;;
esac
machine_new "$release" "${packages[@]}"
gpus_libvirt
qemu-img convert -O qcow2 "$disk" "$machine/var/lib/libvirt/images/base.qcow2"
printf '<network><name>lan</name><bridge name="virbr9" stp="off"/></network>' >"$shared/network.xml"
printf '%s\n' 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada' >"$shared/ada.pub"
# Models on a mount of their own, which everybody could write to and, but where it has to be read-only, nobody has mounted.
mkdir -p "$machine/srv/disk/hub/models--a--b" "$machine/srv/disk/ollama" "$machine/srv/models" "$machine/etc/gpuvm/vms"
head -c 4000000 /dev/urandom >"$machine/srv/disk/hub/models--a--b/weights"
echo old >"$machine/srv/disk/hub/models--a--b/old"
chmod -R a+rwX "$machine/srv/disk"
echo "/srv/disk /srv/models none $options 0 0" >>"$machine/etc/fstab"
cat >"$machine/etc/gpuvm/vms/llm-01.vm" <<'VM'
[Vm]
Kind=llm
Cpus=1
Memory=1024
Disk=10G
Ready=started
Image=/var/lib/libvirt/images/base.qcow2

[Gpu]
Gpu=none

[Network]
Network=lan

[Guest]
User=ada
SshKey=/shared/ada.pub
Firewall=off

[Llm]
Engine=ollama
ModelStore=/srv/models
VM

agent() {
        virsh -q -c qemu:///system qemu-agent-command llm-01 "$1" 2>/dev/null
}
# inside TEXT: what a shell in the guest says to it; nothing where its agent does not answer.
inside() {
        local pid answer

        pid=$(agent "$(jq -nc --arg t "exec 2>&1; $1" '{execute: "guest-exec", arguments: {path: "/bin/sh", arg: ["-c", $t], "capture-output": true}}')" | jq .return.pid)
        [ -n "$pid" ] || return 0
        for _ in $(seq 240); do
                answer=$(agent "{\"execute\": \"guest-exec-status\", \"arguments\": {\"pid\": $pid}}")
                [ "$(jq .return.exited <<<"$answer")" != true ] || break
                sleep 0.5
        done
        jq -r '.return["out-data"] // ""' <<<"$answer" | base64 -d
}
# await TEXT: until it says something to that.
await() {
        local end=$((SECONDS + 2400))

        until [ -n "$(inside "$1")" ]; do
                [ $SECONDS -lt $end ] || { echo "never: $1" && return; }
                sleep 5
        done
}
say() {
        echo "$1: $(paste -sd' ' <<<"${*:2}")"
}
on_host() {
        find /srv/disk -printf '%p %m %U %s\n' | sort
        find /srv/disk -type f -exec sha256sum {} + | sort
}
see() {
        say "$1: mounted" "$(inside 'findmnt -no FSTYPE /opt/store; findmnt -no FSTYPE /opt/models; findmnt -no FSTYPE /opt/ollama/models')"
        say "$1: read" "$([ "$(inside 'sha256sum </opt/models/hub/models--a--b/weights')" = "$(sha256sum </srv/disk/hub/models--a--b/weights)" ] && echo 'as the host has it')"
}
shares() {
        local began=$SECONDS model=/opt/models/hub/models--a--b

        systemctl is-system-running --wait >/dev/null
        mkdir -p /var/lib/libvirt/images/gpuvm
        virsh -q -c qemu:///system 'net-define /shared/network.xml; net-start lan' >/dev/null
        on_host >/run/before
        vmctl apply llm-01 >/run/said 2>&1 || cat /run/said
        say 'mounted for its unit' "$(systemctl is-active srv-models.mount)" "$(findmnt -no OPTIONS /srv/models | cut -d, -f1)"
        say 'read-only' "$(virsh -q -c qemu:///system dumpxml llm-01 | sed -n '/<filesystem/,/<.filesystem/p' | grep -c '<readonly/>')"
        await 'grep -s "^store done" /var/lib/gpuvm-setup/steps'
        echo "set up after $((SECONDS - began)) s" >/shared/times
        see first
        say 'check' "$(vmctl check llm-01 --json | jq -r '.[0].findings[] | select(.check == "model-store" or (.text | test("step store"))) | .result, .text' | sed 's/ in [0-9]* s.*//')"
        say 'written and removed' "$(inside "echo new >$model/new; rm $model/old; ls $model")"
        say 'as root, past the mount option' "$(inside 'mount -o remount,rw /opt/store; findmnt -no OPTIONS /opt/store | cut -d, -f1; cd /opt/store/hub/models--a--b; touch x; echo >weights; rm old; chmod 600 old' | grep -o 'rw\|Read-only file system')"
        on_host | diff /run/before - && echo 'the host has what it had'

        began=$SECONDS
        vmctl restart llm-01 >/run/said 2>&1 || cat /run/said
        await 'findmnt -n /opt/models'
        echo "back after $((SECONDS - began)) s" >>/shared/times
        see again
        say 'what was written, what was removed' "$(inside "cat $model/new; ls $model")"
        find /etc/systemd/system -path '*llm-01*' -type f -printf '%f, and '
        vmctl delete --yes --force --quiet llm-01
        say 'deleted' "$(find /etc/systemd/system -path '*llm-01*' | wc -l)"
        on_host | diff /run/before - && echo 'the host has what it had'
}
machine_boot shares
diag "$(cat "$shared/times")"
is 'a guest has the models of its host, and cannot write to them' "$output" "mounted for its unit: active $mount
read-only: $kept
first: mounted: virtiofs overlay overlay
first: read: as the host has it
check: ok has done step store ok the models of the host are there, read-only
written and removed: new weights
as root, past the mount option: rw Read-only file system Read-only file system Read-only file system Read-only file system
the host has what it had
again: mounted: virtiofs overlay overlay
again: read: as the host has it
what was written, what was removed: new new weights
store.conf, and deleted: 0
the host has what it had"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 20 "$shared/stderr" "$machine"/var/log/libvirt/qemu/*)
$(machine_journal -b -o cat -n 60)"
done_testing
