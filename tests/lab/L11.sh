#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L11: QEMU killed at random moments of the bootstrap (Debian 13, the IOMMU switched off on its command line): L11.sh
# [KILLS [SEED]]. 20, unless told otherwise. Each time the machine comes up again with nothing torn, and each ends as one
# did that was never killed. One that is not done yet is killed again.
#
# The disk's cache is the host's: what the machine has flushed is there, as on a disk that keeps its word. The machine
# tells on its serial console how it is: ssh would cost more than the boot.
#
# shellcheck disable=SC2016 # what is quoted so is expanded in the machine

# shellcheck source=scenario.sh
. "$(dirname "$0")/scenario.sh"

kills=${1:-20}
seed=${2:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$seed
export LAB_DISK_CACHE=writeback

# What the machine does at each boot: looks, starts by hand only what does not go on by itself, and tells the end.
teller() {
        cat <<-'END'
		#!/bin/bash
		tell() { printf '\nlab: %s\n' "$*" >/dev/ttyS0; }
		is_done() { systemctl is-active --quiet gpuvm-bootstrap.target; }
		torn() {
		        local report=/var/lib/gpuvm/report.json
		        [ ! -e $report ] || jq -e . $report >/dev/null 2>&1 || tell "torn: $report"
		        grub-script-check /boot/grub/grub.cfg 2>/dev/null || tell "torn: grub.cfg"
		        [ "$(stat -c %s /boot/grub/grubenv)" = 1024 ] || tell "torn: grubenv"
		        gpuvm-undo --list 2>&1 | grep -q "no whole record" && tell "torn: the ledger"
		}
		end() {
		        find /etc/{default,gpuvm.conf.d,initramfs-tools,modprobe.d,modules-load.d,udev} /boot/grub -type f ! -name grubenv ! -name "*.gpuvm-old" -print0 |
		                sort -z | xargs -0 md5sum
		        grub-editenv list
		        ls -I "*.gpuvm-old" /boot
		        lsinitramfs "/boot/initrd.img-$(uname -r)" | sort
		        cd /sys/bus/pci/devices && for i in *; do echo "$i $(readlink $i/driver) $(cat $i/driver_override)"; done
		}
		by_hand() {
		        tell "by hand"
		        systemctl start gpuvm-bootstrap.target
		        # Until the restart that may have been asked for: logind lets those finish first who delay it.
		        is_done || for ((i = 0; i < 30; i++)); do
		                ! systemctl is-system-running | grep -q stopping || sleep infinity
		                sleep 1
		        done
		}
		torn
		tell up
		systemctl is-system-running --wait >/dev/null
		is_done || by_hand
		# By the phase that needs one, before it changes anything, or by the one that restarts.
		if ! is_done && journalctl -b -u "gpuvm-*" | grep -q "restarts for it already"; then
		        tell "used up"
		        rm /var/lib/gpuvm/pending
		        by_hand
		fi
		is_done || {
		        tell "over: failed: $(journalctl -b -p err -o short-monotonic -u "gpuvm-*" | tail -n 4 | paste -sd" ")"
		        journalctl -b -o short-monotonic -u "gpuvm-*" -u systemd-logind | tail -n 40 >/dev/ttyS0
		        systemctl list-jobs >/dev/ttyS0
		        exit
		}
		tell "over: done $(end | md5sum | cut -c1-8) $(basename "$(readlink /sys/bus/pci/devices/0000:01:00.0/driver)")"
		END
}

# A machine whose bootstrap has not begun, kept to begin from again. The journal's own fsyncs would save what gpuvm
# forgot to.
prepare() {
        scenario_stocked L11
        scenario_configure OverrideIommuOff=yes RebootDelaySec=0
        teller | lab_ssh 'cat >/usr/local/sbin/lab-tell && chmod +x /usr/local/sbin/lab-tell'
        lab_ssh 'printf "[Service]\nExecStart=/usr/local/sbin/lab-tell\n[Install]\nWantedBy=multi-user.target\n" >/etc/systemd/system/lab-tell.service
                mkdir -p /etc/systemd/journald.conf.d && printf "[Journal]\nStorage=volatile\n" >/etc/systemd/journald.conf.d/lab.conf
                systemctl enable lab-tell && systemctl restart systemd-journald && sync' \
                >>"$lab_directory/install.log" 2>&1 </dev/null || { lab_fail "the machine cannot be prepared"; exit 1; }
        at_exit rm -rf "$lab_directory/fresh"
        lab_save "$lab_directory/fresh"
        scenario_time "machine saved"
}

# On the console since the power came.
told() {
        tr -d '\r' <"$lab_directory/serial.log" | sed -n "s/^lab: //p" | grep -a "$1"
}

# wait_told SECONDS WHAT: 1 if it is not told in that time.
wait_told() {
        local deadline=$((SECONDS + $1))

        until told "$2" >/dev/null; do
                [ $SECONDS -lt $deadline ] || return 1
                lab_alive || { lab_fail "QEMU ended: $(tail -n 3 "$lab_directory/qemu.log")"; return 1; }
                sleep 1
        done
}

# How often since then it said that it had used up its restarts.
count_used_up() {
        told "used up" | wc -l || true
}

# Another machine like the first, its bootstrap begun.
begin() {
        rm -f "$lab_directory/events"
        : >"$lab_directory/serial.log"
        used_up=0
        lab_resume "$lab_directory/fresh"
        lab_wait_boot 200
        lab_ssh systemctl start lab-tell </dev/null
        began=$SECONDS
}

pull_the_plug() {
        used_up=$((used_up + $(count_used_up)))
        pkill -KILL -P "$lab_pid"
        wait "$lab_pid" 2>/dev/null || true
        lab_pid=
        lab_forget_connection
        : >"$lab_directory/serial.log"
}

# The machine says that it is at its end: it is where one is that was never killed.
check_end() {
        is "$1: it is bootstrapped as one that was never killed" "$(told '^over')" "$whole"
        [ "$(told '^over')" = "$whole" ] || { sleep 60 && cp "$lab_directory/serial.log" "$lab_directory/failed-$kill.log"; }
        used_up=$((used_up + $(count_used_up)))
        check "$1: with at most two restarts that were not allowed anew" test "$(lab_reboots)" -le $((2 + 2 * used_up))
        lab_end
        scenario_time "$1"
}

diag "seed $seed"
prepare
begin
wait_told 1500 '^over' || true
span=$((SECONDS - began))
whole=$(told "^over" || true)
like "a machine that is never killed is bootstrapped" "$whole" '^over: done [0-9a-f]{8} vfio-pci$'
is "with one restart" "$(lab_reboots)" 1
lab_end
scenario_time "never killed"
begin
for ((kill = 1; kill <= kills; kill++)); do
        at=$((RANDOM % span))
        if wait_told $at '^over'; then
                check_end "machine before kill $kill"
                begin
                sleep $at
        fi
        pull_the_plug
        lab_start
        if ! wait_told 900 '^up'; then
                is "kill $kill, after $at s: the machine comes up" "$(tail -n 3 "$lab_directory/serial.log")" ""
                scenario_end
                exit
        fi
        is "kill $kill, after $at s: the machine comes up, nothing torn" "$(told '^torn')" ""
done
wait_told 1500 '^over' || true
check_end "last machine"
scenario_end
