# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016 # what is quoted so is expanded in the machine
#
# What the scenarios L1, L2, ... have in common: a machine of the lab, the package in it, its bootstrap, and what is
# looked at afterwards. Source this; it sources the TAP functions and the lab.
#
# The package is $GPUVM_LAB_DEB, or what tests/package/build.sh makes for Debian 12: one package is released for all.

scenario_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scenario_top=$(cd "$scenario_here/../.." && pwd)
# shellcheck source=../lib.sh
. "$scenario_here/../lib.sh"
# shellcheck source=lab.sh
. "$scenario_here/lab.sh"

scenario_functions=(0000:01:00.0 0000:01:00.1)

scenario_time() {
        diag "$1: $((SECONDS - scenario_since)) s"
        scenario_since=$SECONDS
}

# scenario_machine NAME RELEASE CMDLINE [--no-iommu]: a fresh machine, and what is to be installed in it.
scenario_machine() {
        local name=$1 release=$2 cmdline=$3 disk

        [ "$(id -u)" = 0 ] || skip_all "needs root, to make a disk"
        command -v qemu-system-x86_64 >/dev/null || skip_all "no qemu-system-x86_64 here"
        scenario_since=$SECONDS
        scenario_deb=${GPUVM_LAB_DEB:-}
        [ -n "$scenario_deb" ] || scenario_deb=$("$scenario_top/tests/package/build.sh" bookworm amd64 | tail -n 1)
        disk=$("$scenario_here/image.sh" --release "$release" --cmdline "$cmdline")
        scenario_time "package and disk"

        lab_begin "$name"
        lab_boot "$disk" "${@:4}"
        lab_wait_boot 400
        scenario_time "first boot"
}

# scenario_up NAME RELEASE CMDLINE [--no-iommu]: the same with the package in it.
scenario_up() {
        scenario_machine "$@"
        lab_put "$scenario_deb"
        lab_ssh "DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o Dpkg::Use-Pty=0 ./$(basename "$scenario_deb")" \
                >"$lab_directory/install.log" 2>&1 </dev/null || { lab_fail "the package cannot be installed"; exit 1; }
        scenario_time "package installed"
        check "installing the package starts nothing" lab_ssh '! systemctl is-active --quiet gpuvm-bootstrap.target'
}

# scenario_stocked NAME: a Debian 13 that the bootstrap need not fetch anything for, the IOMMU switched off on its command
# line, with the package; GRUB's menu and the initramfs made by the machine itself, as an installer leaves them. The
# image holds what this machine needs: one with all modules takes an emulated machine twice as long to make.
scenario_stocked() {
        local disk log

        [ "$(id -u)" = 0 ] || skip_all "needs root, to make a disk"
        command -v qemu-system-x86_64 >/dev/null || skip_all "no qemu-system-x86_64 here"
        scenario_since=$SECONDS
        scenario_deb=${GPUVM_LAB_DEB:-}
        [ -n "$scenario_deb" ] || scenario_deb=$("$scenario_top/tests/package/build.sh" bookworm amd64 | tail -n 1)
        disk=$("$scenario_here/image.sh" --stocked --cmdline intel_iommu=off)
        scenario_time "package and disk"

        lab_begin "$1"
        log=$lab_directory/install.log
        lab_boot "$disk"
        lab_wait_boot 900
        scenario_time "first boot"
        lab_put "$scenario_deb"
        lab_ssh "set -e; dpkg -i ./$(basename "$scenario_deb"); rm ./*.deb
                echo MODULES=list >>/etc/initramfs-tools/conf.d/lab
                printf '%s\n' virtio_pci virtio_blk ext4 >>/etc/initramfs-tools/modules
                update-initramfs -u; grub-editenv /boot/grub/grubenv create; update-grub" \
                >"$log" 2>&1 </dev/null || { lab_fail "the machine cannot be prepared: $(tail -n 3 "$log")"; exit 1; }
        scenario_time "package, image and menu"
}

# scenario_install SECONDS: as a user does on a host: install.sh by a pipe, with a package that is there. Sets
# scenario_result.
scenario_install() {
        local log=$lab_directory/install.log

        lab_put "$scenario_deb"
        scenario_result="done"
        LAB_TIMEOUT=$1 lab_ssh "bash -s -- --yes --deb $(basename "$scenario_deb")" \
                <"$scenario_top/install.sh" >"$log" 2>&1 || scenario_result="install.sh ended with $?"
        scenario_time "install.sh"
        diag "$(cat "$log")"
}

# The configuration of all scenarios, and what more one needs: scenario_configure LINE... in [Bootstrap].
scenario_configure() {
        {
                printf '%s\n' '[Bootstrap]' 'Nvidia=no' 'Bridge=no' 'RebootDelaySec=5' "$@" '[Gpu]' 'Mode=exclusive' \
                        '[Network]' 'RevertSec=300'
        } | lab_ssh 'mkdir -p /etc/gpuvm.conf.d && cat >/etc/gpuvm.conf.d/lab.conf && systemctl daemon-reload'
}

# scenario_bootstrap SECONDS: starts the target and waits for the end, across a reboot if one comes. Sets
# scenario_result: "done", "failed", or what was there at the deadline.
scenario_bootstrap() {
        local deadline=$((SECONDS + $1)) state jobs booted=$lab_boot_id

        lab_ssh systemctl start --no-block gpuvm-bootstrap.target </dev/null
        while :; do
                # Each look costs the emulated machine a good part of a second.
                sleep 12
                lab_wait_boot 500
                if [ "$lab_boot_id" != "$booted" ]; then
                        booted=$lab_boot_id
                        scenario_time "until it came back from a reboot"
                fi
                # Over when the target has no job, nothing is announced and it has said yes or no.
                state=$(lab_ssh 'set -- $(systemctl show --value -p Job -p ActiveState gpuvm-bootstrap.target | sort)
                        [ $# = 1 ] && [ ! -e /run/systemd/shutdown/scheduled ] && [ ! -e /run/nologin ] || { echo busy; exit; }
                        failed=$(systemctl list-units --no-legend --state=failed "gpuvm-*" | wc -l)
                        pending=no; test ! -e /var/lib/gpuvm/pending || pending=yes
                        echo "0 $1 $failed $pending"' 2>/dev/null </dev/null) || state=
                case $state in
                "0 active 0 no") scenario_result="done" && break ;;
                "0 "*" 0 "*) ;;
                "0 "*) scenario_result=failed && break ;;
                esac
                [ $SECONDS -lt $deadline ] || { scenario_result="not over: $state"; break; }
        done
        scenario_time "bootstrap"
        jobs=$(lab_ssh 'cat /var/log/gpu-vm-bootstrap.log' </dev/null || true)
        diag "$jobs"
}

scenario_groups() {
        lab_ssh 'ls /sys/kernel/iommu_groups | wc -l' </dev/null
}

# Everything that a second start may not change, one line each: sysfs of the GPU's functions, /etc, /boot.
scenario_state() {
        lab_ssh 'cd / && find etc boot -xdev \( -type f -o -type l \) -printf "%p %m %u %l %T@\n" | sort
                find etc boot -xdev -type f -print0 | sort -z | xargs -0 sha256sum
                cd /sys/bus/pci/devices && for d in *; do echo "$d $(readlink $d/driver) $(cat $d/driver_override)"; done' </dev/null
}

# The end state of a machine that was bootstrapped.
scenario_check_done() {
        local function

        is "the bootstrap is done" "$scenario_result" "done"
        for function in "${scenario_functions[@]}"; do
                is "$function is on vfio-pci" \
                        "$(lab_ssh "basename \$(readlink -f /sys/bus/pci/devices/$function/driver)" </dev/null)" vfio-pci
        done
        check "there are IOMMU groups" test "$(scenario_groups)" -gt 0
        check "both functions are in one group" lab_ssh \
                'cd /sys/bus/pci/devices; test "$(readlink 0000:01:00.0/iommu_group)" = "$(readlink 0000:01:00.1/iommu_group)"'
        check "nothing failed" lab_ssh 'test -z "$(systemctl list-units --no-legend --state=failed)"'
        check "the GPU is an active unit" lab_ssh systemctl is-active gpuvm-vfio@0000:01:00.0.service
        check "the report is there, for everybody" lab_ssh \
                'test "$(stat -c %a /var/lib/gpuvm/report.json)" = 644'
        lab_ssh cat /var/lib/gpuvm/report.json >"$lab_directory/report.json" </dev/null || true
        is "no check of the report failed" "$(python3 - "$lab_directory/report.json" <<-'END'
		import json, sys
		checks = json.load(open(sys.argv[1]))["checks"]
		bad = [c for c in checks if c["result"] not in ("ok", "skip", "warn")]
		print("none" if checks and not bad else bad)
		END
        )" none
        # Its unit may not use the node, and an emulated machine has no other to ask for.
        check "what VMs need was seen to be there" lab_ssh \
                'test -c /dev/net/tun && ! grep -q "no /dev/net/tun" /var/lib/gpuvm/report.json'
        check "nothing is left of the reboot story" lab_ssh 'test ! -e /var/lib/gpuvm/pending'
}

# What eight units take that have a sandbox like ours and do nothing. 21 ms each on a real machine.
scenario_idle_units() {
        lab_ssh 'b=$(cut -d" " -f1 /proc/uptime)
                for i in 1 2 3 4 5 6 7 8; do
                        systemd-run --quiet --wait -p ProtectSystem=strict -p PrivateTmp=yes -p ProtectHome=yes \
                                -p ProtectKernelTunables=yes -p ProtectControlGroups=yes -p RestrictNamespaces=yes \
                                -p SystemCallFilter=@system-service -p RestrictAddressFamilies=AF_UNIX true
                done
                e=$(cut -d" " -f1 /proc/uptime); awk "BEGIN { print $e - $b }"' </dev/null
}

# The second start: runs every helper, changes nothing, is quick: 2 s on a real machine, and as much more in an
# emulated one, which may be busy, as units that do nothing take more there.
scenario_check_again() {
        local before after seconds idle reboots

        before=$(scenario_state)
        reboots=$(lab_reboots)
        seconds=$(lab_ssh 'b=$(cut -d" " -f1 /proc/uptime); systemctl start gpuvm-bootstrap.target || echo failed
                e=$(cut -d" " -f1 /proc/uptime); awk "BEGIN { print $e - $b }"' </dev/null)
        idle=$(scenario_idle_units)
        after=$(scenario_state)
        is "a second start leaves /etc, /boot and the drivers as they are" \
                "$(diff <(echo "$before") <(echo "$after") | head -n 20)" ""
        is "and does not restart the machine" "$(lab_reboots)" "$reboots"
        diag "second start of the target: $seconds s, emulated; eight idle units: $idle s"
        check "a second start takes less than 2 s of a real machine" awk -v s="$seconds" -v idle="$idle" \
                'BEGIN { exit !(s + 0 > 0 && idle > 0 && s / idle * 8 * 0.021 < 2) }'
}

scenario_end() {
        [ "$tap_failed" -gt 0 ] || lab_keep=no
        [ "$tap_failed" -eq 0 ] || lab_ssh 'journalctl -b --no-pager' >"$lab_directory/journal" 2>/dev/null </dev/null || true
        done_testing
}
