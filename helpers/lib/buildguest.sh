#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs in a guest that makes an image, or proves one. The host gives it by the seed beside a file "job" with what to do, and
# waits until the guest is off; what came of it is on the second disk, as JSON. What is said here the host shows.
set -euo pipefail

here=${GPUVM_JOB:-/run/gpuvm}
answer=${GPUVM_ANSWER:-/dev/vdb}
step=begin
# shellcheck disable=SC2034 # some are for one of the jobs
job='' packages='' driver='' driver_version='' repository='' key_file='' fingerprint=''
# shellcheck source=/dev/null
. "$here/job"

# Text as JSON takes it.
plain() { LC_ALL=C tr -cd ' !#-[]-~' <<<"$1" | cut -c 1-400; }

# The disk is ours: the host has written so on it.
tell() {
        [ "$(head -c 12 "$answer")" = gpuvm-answer ] || { echo "gpuvm: $answer is not for answers"; return 1; }
        printf '%s\n\0' "$1" | dd of="$answer" conv=notrunc,fsync status=none
}
begin() {
        step=$1
        echo "gpuvm: $2"
}
fail() {
        echo "E: $*"
        exit 1
}
ended() {
        local status=$? line

        [ "$status" -ne 0 ] || return 0
        # All that was said is in the file when its writer is gone; what a package has started may keep it.
        exec >&3 2>&1
        for _ in $(seq 20); do
                ! kill -0 "$writer" 2>/dev/null || sleep 0.1
        done
        line=$(grep -E '^(E:|Error|dkms:)' "$here/log" | tail -n 1 || true)
        [ -n "$line" ] || line=$(tail -n 1 "$here/log")
        tell "{\"result\":\"failed\",\"step\":\"$step\",\"reason\":\"$(plain "$line")\"}"
        echo "gpuvm: failed"
}
apt() {
        DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -y -q -o DPkg::Lock::Timeout=600 \
                -o Dpkg::Use-Pty=0 -o APT::Color=0 -o Acquire::Retries=3 -o APT::Update::Error-Mode=any \
                -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# The kernel that the image starts with.
newest_kernel() { find /boot -name 'vmlinuz-*' -printf '%f\n' | sort -V | tail -n 1 | sed 's/^vmlinuz-//'; }

# pin VERSION: a whole one, or a branch.
pin() {
        local version="$1*"

        [[ $1 == *.* ]] || version="$1.*"
        printf '%s\n' "Package: *" "Pin: origin developer.download.nvidia.com" "Pin-Priority: 600" "" \
                "Package: nvidia-* libnvidia-* cuda-drivers* libcuda1 libcudadebugger1" "Pin: version $version" \
                "Pin-Priority: 990" >/etc/apt/preferences.d/gpuvm-nvidia
}

add_repository() {
        local key=/usr/share/keyrings/gpuvm-cuda.asc found

        begin repository "NVIDIA's repository"
        apt install --no-install-recommends ca-certificates curl gpg
        curl -fsSL --proto =https --proto-redir =https --retry 3 --connect-timeout 30 --max-time 300 -o "$key" "$repository$key_file"
        # That one alone: whatever else were in the file would be trusted as well.
        found=$(gpg --batch --show-keys --with-colons "$key" | awk -F: '/^pub:/ { want = 1 } /^fp[r]:/ && want { print $10; want = 0 }' | paste -sd' ')
        [ "$found" = "$fingerprint" ] || fail "the key of $repository is $found, not $fingerprint"
        printf '%s\n' 'Types: deb' "URIs: $repository" 'Suites: /' "Signed-By: $key" >/etc/apt/sources.list.d/gpuvm-cuda.sources
        [ -z "$driver_version" ] || pin "$driver_version"
        apt update
}

# DKMS builds for each kernel whose headers are there.
install_driver() {
        local flavour=amd64 found

        [ "$(dpkg --print-architecture)" = amd64 ] || flavour=$(dpkg --print-architecture)
        [ "$(. /etc/os-release && echo "$ID")" != ubuntu ] || flavour=generic
        add_repository
        begin driver "NVIDIA's driver"
        printf 'blacklist nouveau\noptions nouveau modeset=0\n' >/etc/modprobe.d/gpuvm-nouveau.conf
        # shellcheck disable=SC2086 # words
        apt install --no-install-recommends "linux-image-$flavour" "linux-headers-$flavour" dkms gcc make $driver
        found=$(driver_of "$(newest_kernel)") ||
                fail "dkms has not built the driver for kernel $(newest_kernel): $(tail -n 1 /var/lib/dkms/nvidia*/*/build/make.log 2>/dev/null)"
        [[ $found == "$driver_version"* ]] || fail "$repository has the driver $found, and no $driver_version"
        [ -n "$driver_version" ] || pin "${found%%.*}"
        command -v nvidia-smi >/dev/null || fail "there is no nvidia-smi"
        begin initramfs "the initramfs without nouveau"
        update-initramfs -u -k all
}

# What every machine of gpuvm's needs of its image.
check_ground() {
        local program

        begin check "what is there"
        for program in cloud-init sshd python3 qemu-ga; do
                PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$program" >/dev/null || fail "the image has no $program"
        done
}
driver_of() { modinfo -k "$1" -F version nvidia 2>/dev/null; }

# All that makes it this machine: the next one makes its own.
clean() {
        begin clean "cleaning"
        apt clean
        # Who writes on as long as the machine runs, and once more at its end.
        systemctl stop syslog.socket rsyslog.service 2>/dev/null || true
        systemctl stop systemd-random-seed.service
        journalctl --relinquish-var
        rm -rf /var/log/journal/* /var/lib/apt/lists/* /var/lib/systemd/random-seed /var/lib/dhcp/* /tmp/* /var/tmp/* \
                /root/.ssh /root/.gnupg /root/.bash_history
        rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/hostname /etc/netplan/50-cloud-init.yaml \
                /etc/network/interfaces.d/50-cloud-init /etc/NetworkManager/system-connections/cloud-init-*
        cloud-init clean --logs --seed
        : >/etc/machine-id
        # What signs modules is each machine's own, and would be trusted wherever somebody enrols it.
        rm -f /var/lib/dkms/mok.* /var/lib/shim-signed/mok/MOK.*
        find /var/log -path /var/log/journal -prune -o -type f -exec truncate -s 0 {} +
        fstrim -a || true
        sync
}
# NetworkManager takes an interface that it has no connection for, and asks for an address of its own. At a first boot netplan's
# word that another one has it comes too late for it.
hold_network() {
        mkdir -p /etc/NetworkManager/conf.d
        printf '[main]\nno-auto-default=*\n' >/etc/NetworkManager/conf.d/gpuvm.conf
}
build() {
        local kernel installed

        systemctl stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
                unattended-upgrades.service 2>/dev/null || true
        begin update "package lists"
        apt update
        begin packages "packages"
        hold_network
        # shellcheck disable=SC2086 # words
        apt install --no-install-recommends $packages
        [ -z "$driver" ] || install_driver
        check_ground
        kernel=$(newest_kernel)
        # shellcheck disable=SC2016 # dpkg's
        installed=$(dpkg-query -W -f='"${Package}":"${Version}",')
        clean
        tell "{\"result\":\"done\",\"kernel\":\"$kernel\",\"driver\":\"$(driver_of "$kernel")\",\"packages\":{${installed%,}}}"
        echo "gpuvm: done"
}

# That it has booted this far is half of the proof.
verify() {
        local kernel

        kernel=$(uname -r)
        check_ground
        begin identity "who it is"
        [ "$(tr -d '\n' </etc/machine-id | wc -c)" -eq 32 ] || fail "there is no machine-id"
        [ -n "$(find /etc/ssh -name 'ssh_host_*_key')" ] || fail "there is no ssh host key"
        if [ -n "$driver" ]; then
                begin driver "the driver of kernel $kernel"
                driver_of "$kernel" >/dev/null || fail "there is no module nvidia for kernel $kernel"
                command -v nvidia-smi >/dev/null || fail "there is no nvidia-smi"
                ! lsmod | grep -q '^nouveau' || fail "nouveau is loaded"
        fi
        tell "{\"result\":\"done\",\"kernel\":\"$kernel\",\"driver\":\"$(driver_of "$kernel")\",\"packages\":{}}"
        echo "gpuvm: done"
}

# What has been sourced is for a test.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
        exec 3>&1 > >(tee -a "$here/log") 2>&1
        writer=$!
        trap ended EXIT
        "$job"
fi
