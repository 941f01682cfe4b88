#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may do what, by a real polkitd, systemd and libvirtd: what the group libvirt may start and stop, and what vmctl does
# for root, for a member of that group, and for somebody else: polkit.sh RELEASE
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

# Units that only note that they ran; one of somebody else whose name comes near. Debian 12's systemd refuses a oneshot that is
# restarted for its exit status.
for unit in gpuvm-vfio@ gpuvm-vm@ gpuvm-bridge gpuvm-vfioX@; do
        mkdir -p "$machine/etc/systemd/system/$unit.service.d"
        [ "$unit" != gpuvm-vfioX@ ] || printf '[Service]\n' >"$machine/etc/systemd/system/$unit.service"
        printf '[Unit]\nBindsTo=\nAfter=\nRefuseManualStop=no\n[Service]\nType=oneshot\nRestartForceExitStatus=\nRemainAfterExit=yes\nExecStartPre=\nExecStart=\nExecStart=/bin/true\nExecStop=\nExecStopPost=\n' \
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

# A machine that is off, with a GPU that was taken for it and never came: its unit forgets that, as the real one does.
ln -sf /dev/null "$machine/etc/systemd/system/libvirtd-tls.socket"
ln -sf /dev/null "$machine/etc/systemd/system/libvirtd-tcp.socket"
printf 'namespaces = []\ncgroup_controllers = []\nsecurity_driver = "none"\nuser = "root"\n' >"$machine/etc/libvirt/qemu.conf"
printf '[Service]\nExecStop=/bin/rm -f /run/gpuvm/vms/lab/%%i\n' >"$machine/etc/systemd/system/gpuvm-vfio@.service.d/stub2.conf"
cat >"$shared/lab.xml" <<XML
<domain type="qemu"><name>lab</name><metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian"><g:gpu address="0000:01:00.0"/></g:vm></metadata>
<memory unit="MiB">16</memory><os><type arch="x86_64" machine="q35">hvm</type></os><devices><hostdev mode="subsystem" type="pci" managed="no">
<source><address domain="0" bus="1" slot="0" function="0"/></source></hostdev></devices></domain>
XML

# One that can run, with all that a machine has; an image, and the file of one that is to be made.
rm -r "$machine/etc/systemd/system/gpuvm-vm@.service.d"
pool=/var/lib/libvirt/images/gpuvm
mkdir -p "$machine/var/cache/gpuvm/images" "$machine/etc/gpuvm/vms" "$machine/var/log/libvirt/qemu"
machine_guest polite plain "<g:seed path='$pool/plain-seed.iso'/><g:log path='/var/log/libvirt/qemu/plain.console'/>"
touch "$machine/$pool/plain-seed.iso" "$machine/var/log/libvirt/qemu/plain.console"
printf '[Vm]\nKind=debian\n[Gpu]\nGpu=none\n' >"$machine/etc/gpuvm/vms/declared.vm"
echo image >"$machine/var/cache/gpuvm/images/debian-13-amd64-0.raw"
cat >"$machine/var/cache/gpuvm/images/debian-13-amd64.json" <<'JSON'
{"name":"debian-13-amd64","kind":"debian","release":"13","arch":"amd64","file":"debian-13-amd64-0.raw","format":"raw","schematic":"",
"url":"https://example.com/","digest":"sha256:0","content":"","signature":"good","size":6,"length":6,"used":0,"pulled":1}
JSON
# Commands that write: root's; and those of libvirt's, and what is only looked at there.
roots=('create debian' 'create talos --no-gpu' 'delete --yes plain' 'image pull debian' 'image pull talos --no-gpu' 'image remove --yes debian-13-amd64'
        'image remove --yes none' 'image gc' 'image gc --all' 'image build gpu-worker' 'apply' 'apply declared' 'gpu attach plain 0' 'gpu mode 0 exclusive'
        'gpu reset 0' 'gpu recover 0' 'ip check')
libvirts=('start plain' 'stop plain' 'stop --force plain' 'restart plain' 'delete --yes --force plain' 'list' 'info plain' 'console plain' 'ip list'
        'gpu detach lab')
declare -p pool roots libvirts | sed 's/^declare /declare -g /' >"$shared/words"

as() {
        setpriv --reuid="$1" --regid="$1" --init-groups timeout 100 "${@:2}" </dev/null >/run/out-$1 2>/run/err-$1
}
# does USER ARGUMENT...: vmctl's exit status.
does() {
        local r=0

        as "$1" vmctl "${@:2}" || r=$?
        echo "$r"
}
# What there is to change: machines, their disks, a GPU's unit and record, images, and all that gpuvm wrote.
whole() {
        virsh -q -c qemu:///system "list --all; dumpxml --inactive lab; dumpxml --inactive plain"
        systemctl is-active gpuvm-vfio@0000:01:00.0.service
        find /etc/gpuvm* /etc/systemd/system /run/gpuvm /var/lib/gpuvm /var/cache/gpuvm "$pool" -type f ! -name '*.lock' \
                -exec sha256sum {} + 2>/dev/null | sort
}
# refused USER COMMAND...: each with exit status 5 and one message, which says how it is done.
refused() {
        local user=$1 words got

        shift
        for words in "$@"; do
                got="$(does "$user" $words) $(wc -l <"/run/err-$user") $(grep -cE 'sudo|usermod -aG libvirt' "/run/err-$user")"
                [ "$got" = '5 1 1' ] || echo "$user, $words: $got: $(cat "/run/err-$user")"
        done
        echo "$user: $# commands"
}
has() {
        virsh -q -c qemu:///system dumpxml lab | grep -cE '<hostdev|:gpu address'
}
# anyone USER: what everybody may do. There is no GPU here, nor has a bootstrap run.
anyone() {
        echo "$(does $1 help) $(does $1 gpu status) $(does $1 gpu mode 0 exclusive --dry-run)" \
                "$(as $1 vmctl check --json; [ $? -le 2 ] && grep -c '"vm_capable"' /run/out-$1)" \
                "$(as $1 gpu-vm-bootstrap --dry-run; echo $?) $(as $1 gpu-vm-bootstrap --status; echo $?)"
}
table() {
        local user

        . /shared/words
        systemctl is-system-running --wait >/dev/null
        chmod 1777 /run
        virsh -q -c qemu:///system "define /shared/lab.xml; define /shared/plain.xml" >/dev/null
        mkdir -p /run/gpuvm/vms/lab
        : >/run/gpuvm/vms/lab/0000:01:00.0
        systemctl start gpuvm-vfio@0000:01:00.0.service
        whole >/root/before
        anyone root >/root/anyone
        cut -d ' ' -f 1-4 /root/anyone
        for user in ann bob; do
                echo "$user, of all: $(anyone $user | cmp -s - /root/anyone && echo 'as root')"
                echo "$user, of libvirt's: $(does $user list) $(does $user info lab)"
                echo "$user, of root's: $(does $user gpu attach lab 0) $(does $user gpu attach lab --stop-units --yes) $(does $user gpu mode 0 exclusive)" \
                        "$(does $user gpu reset 0) $(does $user gpu recover 0) $(does $user gpu holders 0) $(does $user create debian)" \
                        "$(as $user gpu-vm-bootstrap --yes; echo $?) $(as $user gpuvm-undo --all; echo $?) $(try $user start gpuvm-bootstrap.target)"
                does $user check --fix --yes >/dev/null
                whole | diff /root/before - >&2 && echo 'nothing is changed'
        done
        for user in bob ann; do
                echo "$user, detach: $(does $user gpu detach lab) $(has) $(systemctl is-active gpuvm-vfio@0000:01:00.0.service) $(ls /run/gpuvm/vms/lab)"
                grep -o 'Use sudo.*' /run/err-$user
        done
        whole >/root/before
        refused bob "${roots[@]}" "${libvirts[@]}"
        refused ann "${roots[@]}"
        whole | diff /root/before - >&2 && echo 'nothing is changed'
        echo "ann: $(does ann list) $(does ann info plain) $(does ann start plain) $(does ann ip list) $(does ann create debian --dry-run) $(does ann apply --dry-run)"
        echo "it is $(virsh -q -c qemu:///system domstate plain | head -n 1), its unit $(systemctl is-active gpuvm-vm@plain.service)"
        # Until Ctrl-].
        { sleep 2; printf '\035'; } | timeout --kill-after=1 20 setpriv --reuid=ann --regid=ann --init-groups script -qec 'vmctl console plain' /dev/null |
                grep -o "Connected to domain 'plain'"
        refused ann 'delete --yes --force plain'
        echo "it is $(virsh -q -c qemu:///system domstate plain | head -n 1)"
        echo "and off again: $(does ann stop plain) $(does ann start plain) $(does ann stop --force plain) $(virsh -q -c qemu:///system domstate plain | head -n 1)"
        whole | diff /root/before - >&2 && echo 'nothing is changed'
        echo "root: $(does root delete --yes plain) $(does root image remove --yes debian-13-amd64) $(does root image gc)" \
                "$(find "$pool" /var/cache/gpuvm/images /var/log/libvirt/qemu \( -name 'plain*' -o -name 'debian*' \) ! -name '*.log')"
        as ann vmctl gpu attach lab 0
        grep -o 'is root.s to see. Use sudo' /run/err-ann
        find /var/lib/gpuvm /run/gpuvm -type f \( -name '*ledger*' -o -path '*/creating/*' \) -perm /077
}
machine_boot table
is "$release: what vmctl does for each" "$output" '0 0 3 1
ann, of all: as root
ann, of libvirt'"'s: 0 0
ann, of root's: 5 5 5 5 5 5 5 1 1 no
nothing is changed
bob, of all: as root
bob, of libvirt's: 5 5
bob, of root's: 5 5 5 5 5 5 5 1 1 no
nothing is changed
bob, detach: 5 2 active 0000:01:00.0
Use sudo, or join the group: 'sudo usermod -aG libvirt \$USER', then log in again
ann, detach: 0 0 inactive 
bob: 27 commands
ann: 17 commands
nothing is changed
ann: 0 0 0 0 0 0
it is running, its unit active
Connected to domain 'plain'
ann: 1 commands
it is running
and off again: 0 0 0 shut off
nothing is changed
root: 0 0 0 
is root's to see. Use sudo"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 60 "$shared/stderr")"
done_testing
