#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Saves a machine of the lab while it runs, so that scenarios go on from there instead of booting (stage.sh), each with a
# copy of its own. Prints its directory. What was saved before for the same inputs is used again.
#
#     saved.sh booted          a stocked Debian 13 with the IOMMU on and three GPUs, and without gpuvm
#     saved.sh installed       and the package, with all GPUs flexible, on the stand-in for NVIDIA's driver
#     saved.sh bootstrapped    and the first GPU exclusive, as is any that comes later; the other two stay flexible

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

# The directory is all that comes out.
exec 3>&1 >&2
scenario_since=$SECONDS
kind=$1

boot() {
        lab_boot "$disk" "${stage_hardware[@]}"
        lab_wait_boot 900
        stage_run 'systemctl is-system-running --wait' || true
}

install() {
        lab_put "$GPUVM_LAB_DEB"
        lab_ssh "dpkg -i ./$(basename "$GPUVM_LAB_DEB") && rm /root/*.deb" >"$lab_directory/install.log" 2>&1 </dev/null ||
                { lab_fail "the package cannot be installed: $(tail -n 3 "$lab_directory/install.log")"; exit 1; }
        lab_ssh 'rm /etc/modprobe.d/lab.conf && modprobe nvidia && mkdir -p /etc/gpuvm.conf.d &&
                cat >/etc/gpuvm.conf.d/lab.conf && systemctl daemon-reload' <<-END
		[Bootstrap]
		Nvidia=no
		Bridge=no
		Reboot=never
		[Gpu]
		Mode=flexible
		END
}

bootstrap() {
        stage_run "printf '[Gpu]\nMode=exclusive\n[Gpu $stage_twin]\nMode=flexible\n[Gpu $stage_shared]\nMode=flexible\n' \
                >/etc/gpuvm.conf.d/modes.conf"
        scenario_bootstrap 2400
        [ "$scenario_result" != "done" ] || return 0
        stage_run 'journalctl -b --no-pager' >"$lab_directory/journal" || true
        lab_fail "the bootstrap is $scenario_result"
        exit 1
}

# Each is kept with the one that it goes on from: its disk is the difference.
disk=
if [ "$kind" = booted ]; then
        disk=$("$scenario_here/image.sh" --stocked --cmdline intel_iommu=on)
        parent=$lab_cache
elif [ "$kind" = installed ]; then
        [ -n "${GPUVM_LAB_DEB-}" ] ||
                GPUVM_LAB_DEB=$("$scenario_top/tests/package/build.sh" bookworm amd64 | tail -n 1)
        parent=$("$0" booted)
else
        parent=$("$0" installed)
fi
key=$({
        cat "$scenario_here"/{lab,saved}.sh "$scenario_here/standin.py"
        [ "$kind" != installed ] || cat "$GPUVM_LAB_DEB"
        # A disk that was made anew is another one: the machine has half of the old one in its memory.
        [ -z "$disk" ] || stat -c '%n %i %Y' "$disk"
        echo "${LAB_CPU-} ${LAB_CPUS-} $LAB_MEMORY"
        qemu-system-x86_64 --version
} | sha256sum | cut -c1-16)
directory=$parent/$kind-$key

# One saves it, the others wait.
exec {lock}>"$parent/$kind.lock"
flock -w 3600 "$lock" || { lab_fail "the machine that another makes does not get ready"; exit 1; }
if [ ! -e "$directory/state" ]; then
        # Some hundreds of megabytes each. A machine that goes on from one has it open.
        find "$parent" -maxdepth 1 -name "$kind-????????????????*" -type d -printf '%T@ %p\n' | sort -rn |
                tail -n +3 | cut -d' ' -f2 | xargs -r rm -rf
        rm -rf "$directory.new"
        lab_begin "$kind"
        case $kind in
        booted) boot ;;
        installed | bootstrapped)
                lab_resume "$parent" "${stage_hardware[@]}"
                lab_wait_boot 200
                if [ "$kind" = installed ]; then install; else bootstrap; fi
                ;;
        esac
        # What is not in memory need not be saved.
        stage_run 'sync; echo 3 >/proc/sys/vm/drop_caches'
        lab_save "$directory.new"
        mv "$directory.new" "$directory"
        scenario_time "$kind"
fi
echo "$directory" >&3
lab_keep=no
tap_done=1
