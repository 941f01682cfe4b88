# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The lab: an emulated machine with an IOMMU and a GPU that is none, for tests and for ./install.sh --lab. Source this.
#
#     lab_begin NAME                     a directory for the machine; it and QEMU go when the shell exits
#     lab_boot DISK [OPTION]...          starts QEMU on an overlay of the disk that image.sh made. One GPU at 01:00, two
#                                        empty ports: slot2 (02:00) and slot5. --no-iommu; --twin: another GPU of the
#                                        same kind, at 03:00; --shared: a third, at 05:01, in one IOMMU group with the
#                                        disk and the network card
#     lab_wait_boot SECONDS [BOOT_ID]    until ssh works, in another boot than that one; sets lab_boot_id
#     lab_ssh COMMAND...                 runs it in the machine; lab_put FILE... copies into its /root
#     lab_reboots                        how often the machine restarted itself
#     lab_machine COMMAND...             changes the hardware: "plug slot2 NAME" and others (standin.py)
#     lab_save DIR, lab_resume DIR [OPTION]...   ends a machine and goes on with it later, as often as one likes, with the
#                                        same options
#     lab_end                            ends QEMU; the overlay stays until the shell exits
#
# Everything has a deadline. The logs are kept unless lab_keep=no at the end.
# $LAB_OWNER: the process with which QEMU ends (this shell; 0: none). $LAB_MEMORY (MiB), $LAB_CPUS, $LAB_DISK_CACHE (unsafe; writeback where power is cut).

lab_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lab_cache=${GPUVM_LAB_CACHE:-/var/cache/gpuvm-lab}
lab_keep=yes
lab_directory='' lab_port='' lab_pid='' lab_boot_id=''

# What the lab needs on this machine, as Debian and Ubuntu name it.
# shellcheck disable=SC2034
lab_packages=(qemu-system-x86 qemu-utils ovmf mmdebstrap mtools dosfstools fdisk e2fsprogs openssh-client curl python3)

lab_begin() {
        mkdir -p "$lab_cache/run"
        lab_directory=$(mktemp -d "$lab_cache/run/$1.XXXXXX")
        if declare -F at_exit >/dev/null; then
                at_exit lab_exit
        else
                trap lab_exit EXIT
                trap 'exit 130' INT TERM HUP
        fi
}

# The logs stay unless somebody said lab_keep=no: that all went well.
lab_exit() {
        lab_end
        rm -f "$lab_directory"/*.qcow2 "$lab_directory"/vars.fd
        if [ $lab_keep = no ]; then
                rm -rf "$lab_directory"
        else
                echo "# logs of the machine: $lab_directory" >&2
        fi
}

lab_fail() {
        echo "# lab: $*" >&2
        [ ! -s "$lab_directory/serial.log" ] ||
                tail -n 15 "$lab_directory/serial.log" | tr -d '\r\033' | sed 's/^/# serial: /' >&2
        return 1
}

lab_firmware() {
        local code

        for code in /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd; do
                [ ! -e "$code" ] || { echo "$code"; return; }
        done
        lab_fail "no OVMF firmware in /usr/share/OVMF: install the package ovmf"
}

lab_free_port() {
        python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Sets lab_hardware from lab_boot's options.
lab_choose_hardware() {
        local iommu=(-device "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on") disk='' net='' option
        local function="bochs-display,bus" port=pcie-root-port more=()

        for option; do
                case $option in
                --no-iommu) iommu=() ;;
                --twin)
                        more+=(-device "$port,id=slot3,chassis=3,slot=3"
                               -device "$function=slot3,addr=00.0,multifunction=on" -device "$function=slot3,addr=00.1")
                        ;;
                --shared)
                        # Behind a bridge to conventional PCI nobody can be told from the other.
                        more+=(-device "$port,id=slot4,chassis=4,slot=4" -device "pcie-pci-bridge,id=bridge,bus=slot4"
                               -device "$function=bridge,addr=01.0,multifunction=on" -device "$function=bridge,addr=01.1")
                        disk=,bus=bridge,addr=02.0 net=,bus=bridge,addr=03.0
                        ;;
                *) lab_fail "no such hardware: $option" || return ;;
                esac
        done
        # Ports that are hot-plugged as those of real machines are, not through ACPI.
        lab_hardware=("${iommu[@]}" -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
                -device "$port,id=slot1,chassis=1,slot=1"
                -device "$function=slot1,addr=00.0,multifunction=on" -device "$function=slot1,addr=00.1"
                -device "$port,id=slot2,chassis=2,slot=2" "${more[@]}"
                -device "$port,id=slot5,chassis=5,slot=5"
                -device "virtio-blk-pci,drive=disk$disk" -device "virtio-net-pci,netdev=net$net")
}

lab_boot() {
        local disk=$1 code

        code=$(lab_firmware) || return
        lab_choose_hardware "${@:2}" || return
        [ -e "$lab_directory/vars.fd" ] || cp "${code/CODE/VARS}" "$lab_directory/vars.fd"
        [ -e "$lab_directory/disk.qcow2" ] ||
                qemu-img create -q -f qcow2 -F raw -b "$disk" "$lab_directory/disk.qcow2"
        lab_start
}

# lab_start [ARGUMENTS of standin.py]
#
# tb-size: QEMU keeps code that it has translated, over a reset as well, and each byte that the firmware writes to a page
# with such code is looked up in it: with a gigabyte of it, the default, a restart stood still for minutes.
lab_start() {
        local code

        code=$(lab_firmware) || return
        lab_port=$(lab_free_port)
        rm -f "$lab_directory/control"
        setsid python3 "$lab_here/standin.py" --owner "${LAB_OWNER:-$$}" --qmp "$lab_directory/qmp" --log "$lab_directory/events" \
                --control "$lab_directory/control" "$@" -- \
                qemu-system-x86_64 -name "$(basename "$lab_directory")" -nodefaults -display none -vga std \
                -machine q35,kernel-irqchip=split -accel tcg,thread=multi,tb-size=96 -cpu "${LAB_CPU:-max,la57=off}" \
                -smp "${LAB_CPUS:-2}" -m "${LAB_MEMORY:-2560}" \
                -drive "if=pflash,format=raw,readonly=on,file=$code" \
                -drive "if=pflash,format=raw,file=$lab_directory/vars.fd" \
                -drive "file=$lab_directory/disk.qcow2,if=none,id=disk,cache=${LAB_DISK_CACHE:-unsafe}" \
                -device virtio-rng-pci -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$lab_port-:22" "${lab_hardware[@]}" \
                -serial "file:$lab_directory/serial.log" >"$lab_directory/qemu.log" 2>&1 &
        lab_pid=$!
}

# Fails with the reason if it could not be done.
lab_machine() {
        local said

        said=$(python3 - "$lab_directory/control" "$*" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(330)
		s.connect(sys.argv[1])
		f = s.makefile("rw")
		print(sys.argv[2], file=f, flush=True)
		print(f.readline().strip())
		END
        ) || return
        [ "$said" = ok ] || { lab_fail "$*: $said"; return 1; }
}

# The machine is over then: what it was goes on from there.
lab_save() {
        local directory=$1

        lab_forget_connection
        mkdir -p "$directory"
        lab_machine save "$directory/state" || return
        lab_end
        mv "$lab_directory/disk.qcow2" "$lab_directory/vars.fd" "$directory/"
}

lab_resume() {
        local directory=$1

        lab_choose_hardware "${@:2}" || return
        cp "$directory/vars.fd" "$lab_directory/"
        qemu-img create -q -f qcow2 -F qcow2 -b "$directory/disk.qcow2" "$lab_directory/disk.qcow2"
        lab_start --resume "$directory/state"
}

lab_alive() {
        [ -n "$lab_pid" ] && kill -0 "$lab_pid" 2>/dev/null
}

# One connection for all commands of a boot: a handshake costs an emulated machine seconds.
lab_ssh_options() {
        printf '%s\n' -i "$lab_cache/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                -o LogLevel=ERROR -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 \
                -o BatchMode=yes -o ControlMaster=auto -o ControlPersist=600 -o "ControlPath=$lab_directory/ssh"
}

lab_ssh() {
        local options

        readarray -t options < <(lab_ssh_options)
        timeout "${LAB_TIMEOUT:-900}" ssh "${options[@]}" -p "$lab_port" root@127.0.0.1 "$@"
}

lab_put() {
        local options

        readarray -t options < <(lab_ssh_options)
        timeout "${LAB_TIMEOUT:-300}" scp -q "${options[@]}" -P "$lab_port" "$@" root@127.0.0.1:/root/
}

lab_forget_connection() {
        ssh -o "ControlPath=$lab_directory/ssh" -O exit root@127.0.0.1 2>/dev/null || true
        rm -f "$lab_directory/ssh"
}

lab_wait_boot() {
        local deadline=$((SECONDS + $1)) before=${2-} resets id

        resets=$(lab_reboots)
        while :; do
                lab_alive || { lab_fail "QEMU ended: $(tail -n 3 "$lab_directory/qemu.log")"; return 1; }
                # A connection to what was there before a reset would hang.
                if [ "$resets" != "$(lab_reboots)" ]; then
                        resets=$(lab_reboots)
                        lab_forget_connection
                fi
                id=$(LAB_TIMEOUT=15 lab_ssh cat /proc/sys/kernel/random/boot_id 2>/dev/null </dev/null) || id=
                if [ -n "$id" ] && [ "$id" != "$before" ]; then
                        # shellcheck disable=SC2034
                        lab_boot_id=$id
                        return 0
                fi
                if [ $SECONDS -ge $deadline ]; then
                        lab_machine look "$lab_directory" || true
                        lab_fail "the machine did not come up within $1 s"
                        return 1
                fi
                [ -n "$id" ] || lab_forget_connection
                sleep 2
        done
}

# Resets that the machine asked for. Its firmware makes none of its own.
lab_reboots() {
        grep -s -c 'RESET guest' "$lab_directory/events" || [ -e "$lab_directory/events" ] || echo 0
}

lab_end() {
        [ -n "$lab_pid" ] || return 0
        lab_forget_connection
        kill "$lab_pid" 2>/dev/null || true
        wait "$lab_pid" 2>/dev/null || true
        lab_pid=
}
