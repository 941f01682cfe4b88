#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each unit as systemd reads it, and how much it may do: check-units.sh SOURCE LIBEXECDIR BINDIR
#
# LIBEXECDIR, BINDIR: where the programs were built, because systemd-analyze wants ExecStart= to be there.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# Exposure as `systemd-analyze security` of systemd 252 counts it, 0 to 10: what was measured and can be kept. Lower
# them when a unit learns to do without something; a relaxation has its reason beside it in the unit.
budget() {
        case $1 in
        gpuvm-resume.service | gpuvm-bootfile.service) echo 0.7 ;;
        # Puts files back with their owner.
        gpuvm-bridge-boot.service) echo 0.8 ;;
        # Talk to the network's owner, and take a bridge away.
        gpuvm-bridge.service | gpuvm-bridge-revert.service) echo 2.0 ;;
        # Makes rules of the packet filter.
        gpuvm-bridge-forward.service) echo 2.0 ;;
        # Makes routes.
        gpuvm-route@.service) echo 1.5 ;;
        # Looks into libvirt's directories.
        gpuvm-storage.service) echo 0.9 ;;
        # See all of /proc: what the host has, and in whose hands it is.
        gpuvm-preflight.service | gpuvm-verify.service | gpuvm-reboot.service) echo 0.9 ;;
        # Binds drivers, has to see the open files of everybody, and to tell NVIDIA's driver to let nobody in, which asks for
        # CAP_SYS_ADMIN (0.3).
        gpuvm-vfio@.service | gpuvm-recover@.service) echo 2.3 ;;
        # Talks to NVIDIA's driver, which asks for CAP_SYS_ADMIN.
        gpuvm-tune.service) echo 1.3 ;;
        # Writes to sysfs, and sees the open files of everybody.
        gpuvm-reset@.service) echo 1.4 ;;
        # Sees the open files of everybody, and has NVIDIA's nodes.
        gpuvm-metrics.service) echo 1.4 ;;
        # Talks to libvirt and systemd, and writes below /run/gpuvm.
        gpuvm-vm@.service | gpuvm-vm-settle@.service) echo 0.9 ;;
        # Build an initramfs from the host's disks, modules and /root (0.1).
        gpuvm-iommu.service | gpuvm-vfio.service) echo 2.2 ;;
        # Maintainer scripts of any package run in these: nearly nothing can be taken away.
        gpuvm-packages.service | gpuvm-kvm.service) echo 7.8 ;;
        # And builds a module, makes an initramfs, loads the driver.
        gpuvm-nvidia.service) echo 7.8 ;;
        *) return 1 ;;
        esac
}

# Later versions weigh a little differently, and ask for more.
slack=0
[ "$(systemd-analyze --version 2>/dev/null | sed -n '1s/systemd \([0-9]*\).*/\1/p')" = 252 ] || slack=0.3

source=$1/units libexecdir=$2 bindir=$3
command -v systemd-analyze >/dev/null || skip_all 'no systemd-analyze here'
work=$(mktemp -d)
at_exit rm -rf "$work"
for template in "$source"/*.in; do
        name=${template##*/}
        sed -e "s|@LIBEXECDIR@|$libexecdir|g; s|@BINDIR@|$bindir|g; s|@UNITDIR@|$work|g" "$template" >"$work/${name%.in}"
done

# Verify exits 0 for an unknown key: what it says is what counts. The pages are checked where the pages are.
verify() {
        SYSTEMD_UNIT_PATH="$work:" systemd-analyze verify --man=no "$1" 2>&1 | sed "s|$work/||"
}

for unit in "$work"/*; do
        name=${unit##*/}
        instance=${unit/@./@0000:01:00.0.}
        is "$name: systemd-analyze verify says nothing" "$(verify "$unit")" ''
        check "$name says what it is" grep -q '^Description=.' "$unit"
        check "$name names its page" grep -q '^Documentation=man:' "$unit"
        # A machine runs, and is enabled by the administrator; so is what tells Prometheus. All else does something, and is linked by the generator.
        type=oneshot installs=0 remains=0
        case $name in
        gpuvm-vm@.service) type=notify installs=1 ;;
        *.timer) installs=1 ;;
        gpuvm-reset@.service | gpuvm-recover@.service | gpuvm-vm-settle@.service) ;;
        *@.service) remains=1 ;;
        esac
        is "$name has an [Install] only if it is a machine's" "$(grep -c '^\[Install\]' "$unit" || true)" "$installs"
        [[ $name == *.service ]] || continue
        is "$name is a $type" "$(grep '^Type=' "$unit")" "Type=$type"
        check "$name has a deadline" grep -q '^TimeoutStartSec=.' "$unit"
        is "$name: RemainAfterExit= on GPUs and routes only" "$(grep -c '^RemainAfterExit=yes' "$unit" || true)" "$remains"
        is "$name runs no shell" "$(grep -E '^Exec[A-Za-z]*=.*/(ba)?sh( |$)' "$unit" || true)" ''
        allowed=$(budget "$name") || { not_ok "$name has a budget" 'tests/check-units.sh does not know this unit'; continue; }
        exposure=$(systemd-analyze security --offline=true --no-pager "$instance" 2>/dev/null |
                sed -n 's/.*Overall exposure level for [^:]*.*: \([0-9.]*\) .*/\1/p')
        check "$name: exposure ${exposure:-unknown}, at most $allowed" \
                awk -v e="${exposure:-99}" -v a="$allowed" -v s="$slack" 'BEGIN { exit !(e <= a + s) }'
done

# 'systemctl isolate' stops what its target does not ask for, and nobody asks for these (shall_stop_on_isolate() in systemd's
# src/core/transaction.c).
for name in vfio vm route; do
        is "gpuvm-$name@ stays as it is when a target is isolated" "$(sed -n 's/^IgnoreOnIsolate=//p' "$work/gpuvm-$name@.service")" yes
done

# In a sandbox where all is read-only nobody sees what is so on the host; and who refuses a start there is heard.
is 'a machine is looked at outside the sandbox of its unit' "$(sed -n 's/^ExecStartPre=\(.\).*gpuvm-vm \(.*\)/\1 \2/p; s/^NotifyAccess=//p' "$work/gpuvm-vm@.service" | paste -sd' ')" \
        'exec + look %i'

# What builds an initramfs runs hooks that call LVM and cryptsetup: without their directories those fail or wait. They take
# along what lies in /root as well, and only warn when it is not there.
for unit in "$work"/*.service; do
        grep -q '^ReadWritePaths=.*/var/lib/initramfs-tools' "$unit" || continue
        is "${unit##*/} sees /root" "$(sed -n 's/^ProtectHome=//p' "$unit")" read-only
        for dir in /run/lock /run/lvm /run/cryptsetup; do
                check "${unit##*/} may write $dir" grep -Eq "^ReadWritePaths=(.* )?-$dir( |\$)" "$unit"
        done
done

# What asks which network card the host cannot do without has to see the host's, whatever network it has itself.
for name in preflight verify iommu vfio vfio@ reset@ recover@; do
        unit=$work/gpuvm-$name.service
        check "gpuvm-$name.service has a network of its own" grep -q '^PrivateNetwork=yes' "$unit"
        check "gpuvm-$name.service has the host's /sys" grep -Eq '^Bind(ReadOnly)?Paths=(.* )?/sys( |$)' "$unit"
done

# A phase that waits for another must say so for every one before it: the generator links only some of them.
phases=(preflight packages nvidia kvm iommu reboot vfio bridge storage verify)
before=
for phase in "${phases[@]}"; do
        unit=$work/gpuvm-$phase.service
        if [ -e "$unit" ]; then
                after=" $(sed -n 's/^After=//p' "$unit" | paste -sd' ') "
                missing=
                for earlier in $before; do
                        [[ $after == *" $earlier "* ]] || missing+="$earlier "
                done
                is "gpuvm-$phase.service comes after every earlier phase" "$missing" ''
        fi
        before+="gpuvm-$phase.service "
done
done_testing
