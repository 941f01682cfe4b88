# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Driver: NVIDIA's with open kernel modules, from Ubuntu's own archive: its modules are built and signed by Ubuntu, and come
# with each new kernel. DRIVER asks for a branch, as 580 or 580-server.

works() {
        nvidia-smi -L 2>/dev/null | grep -q '^GPU '
}

# branch: "580" or "580-server" of what ubuntu-drivers offers with open modules from the distribution: that which was asked
# for, the recommended one, or else the newest. Servers' branches live longer, and come before desktops' of one number.
branch() {
        offers=$(ubuntu-drivers devices 2>/dev/null | sed -n 's/^driver *: nvidia-driver-\([0-9]*\(-server\)\{0,1\}\)-open - distro\(.*\)/\1\3/p')
        [ -n "$offers" ] || fail "ubuntu-drivers has no open driver for this GPU; 'ubuntu-drivers devices' shows what it has"
        if [ -n "${DRIVER-}" ]; then
                echo "$offers" | cut -d' ' -f1 | grep -x "$DRIVER" ||
                        fail "ubuntu-drivers has no driver $DRIVER-open for this GPU, but $(echo "$offers" | cut -d' ' -f1 | paste -sd' ')"
                return
        fi
        echo "$offers" | sort -rV | awk '/ recommended/ && !r { r = $1 } !n { n = $1 } END { print r ? r : n }'
}

install_driver() {
        install_packages ubuntu-drivers-common pciutils
        lspci -n -d 10de: | grep -q . || fail "no NVIDIA GPU is seen in this machine; 'vmctl check' on the host tells why"
        b=$(branch)
        echo "gpuvm: driver $b-open"
        update
        # Its status says little: what counts is what is installed.
        ubuntu-drivers install --gpgpu "nvidia:$b-open" || :
        is_installed "nvidia-headless-no-dkms-$b-open" || is_installed "nvidia-headless-$b-open" ||
                fail "ubuntu-drivers did not install driver $b-open; what it says is above"
        install_packages "nvidia-utils-$b"
        # A new driver under running programs stops them: updated when somebody is there to see it.
        [ "$DRIVER_UPDATES" = yes ] ||
                dpkg-query -W -f '${Package} ${db:Status-Status}\n' '*nvidia*' | awk '$2 == "installed" { print $1 }' | xargs apt-mark hold
}

works || install_driver
if ! works; then
        modprobe nvidia || :
fi
if ! works; then
        [ ! -e /var/lib/gpuvm-setup/restarted ] ||
                fail "the driver is installed and does not find the GPU, after a restart as well; 'dmesg | grep -i -e nvidia -e NVRM' tells why"
        # The modules are those of a newer kernel, or nouveau has the card.
        : >/var/lib/gpuvm-setup/restarted
        : >/run/gpuvm-setup.restarts
        systemctl --no-block reboot || {
                rm -f /run/gpuvm-setup.restarts
                fail "the driver needs a restart of this machine, which does not restart; 'systemctl reboot' tells why"
        }
        exit 1
fi
