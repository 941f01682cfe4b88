#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154,SC2016 # stage.sh and scenario.sh set what is not set here; the machine expands the rest
# L16: GPUs come to a VM that runs, and leave it: ten times there and back, in use meanwhile, two VMs that want the same one,
# a guest that shuts down, a card that is pulled out, and the power cut.
#
# Of an emulated machine in an emulated machine the guest takes its time: what vmctl takes beside that is told.

# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"
# shellcheck source=guestvm.sh
. "$(dirname "$0")/guestvm.sh"

rounds=${L16_ROUNDS:-10}
races=${L16_RACES:-5}
guestvm_up L16

hold() {
        stage_run "node=\$(sed -n 's|^Device Minor:[ \t]*|/dev/nvidia|p' /proc/driver/nvidia/gpus/$gpu/information)
                systemd-run --quiet --unit=$1 sh -c \"exec sleep infinity 3<\$node\"
                until test -e /proc/\$(systemctl show -P MainPID $1)/fd/3; do sleep 0.2; done"
}

check "a VM without a GPU" guestvm_create lab
check "its guest is up" guestvm_wait
scenario_time "guest up"
is "and sees none" "$(sees)" ""
is "its disk is empty" "$(data)" "of 0 starts whole"

# There and back.
bad=0
for ((i = 1; i <= rounds; i++)); do
        vmctl gpu attach lab "$gpu"
        [ "$status" = 0 ] || { diag "attach $i: $said"; bad=$((bad + 1)); }
        got="$(drivers), $(soon "$both"), $(has lab)"
        [ "$got" = "vfio-pci vfio-pci, $both, 2 2 1 1" ] || { diag "attached $i: $got"; bad=$((bad + 1)); }
        scenario_time "attach $i"
        vmctl gpu detach lab --timeout 120
        [ "$status" = 0 ] || { diag "detach $i: $said"; bad=$((bad + 1)); }
        got="$(drivers), $(soon ""), $(has lab)"
        [ "$got" = "$host, , 0 0 0 0" ] || { diag "detached $i: $got"; bad=$((bad + 1)); }
        scenario_time "detach $i"
        [ "$bad" -lt 4 ] || break
done
is "both functions come and leave, $rounds times" "$bad" 0
is "and it goes on running" "$(stage_run 'virsh -q domstate lab' | xargs)" running

# In use.
hold lab-holder
vmctl gpu attach lab "$gpu"
like "what is in use is refused, with its user" "$status:$said" '^[14]:.*sleep'
is "and is left where it was" "$(drivers), $(has lab)" "$host, 0 0 0 0"
stage_run "systemd-run --quiet --unit=waiter -p RemainAfterExit=yes vmctl gpu attach lab $gpu --when-idle=5min"
check "who waits says for whom" stage_wait 60 yes "journalctl -u waiter -o cat | grep -q 'Waiting for .*sleep' && echo yes"
is "and takes nothing" "$(drivers)" "$host"
stage_run 'systemctl stop lab-holder'
check "then the VM gets it" stage_wait 200 exited 'systemctl show -P SubState waiter'
is "with both functions" "$(soon "$both"), $(has lab)" "$both, 2 2 1 1"
vmctl gpu detach lab --timeout 120
is "and gives it back" "$status $(drivers)" "0 $host"
hold lab-service
vmctl gpu attach lab --stop-units --yes "$gpu"
is "a service is stopped for it" "$status $(stage_run 'systemctl is-active lab-service || true') $(soon "$both")" "0 inactive $both"
vmctl gpu detach lab --timeout 120
diag "$said"
scenario_time "in use"

# Another one wants it.
check "a second VM" guestvm_create other
stage_run 'vmctl stop --force other'
won=0
for ((i = 1; i <= races; i++)); do
        stage_run "vmctl gpu attach lab $gpu >/root/first 2>&1 & vmctl gpu attach other $gpu >/root/second 2>&1; wait" || true
        got="$(has lab) $(has other)"
        [ "$got" != '2 2 1 1 0 0 0 0' ] && [ "$got" != '0 0 0 0 2 2 1 0' ] || won=$((won + 1))
        grep -q '2 2 1' <<<"$got" || diag "$got: $(stage_run 'cat /root/first /root/second')"
        stage_run "vmctl gpu detach lab --timeout 120; vmctl gpu detach other" >/dev/null 2>&1 || true
done
is "exactly one gets it, $races times" "$won" "$races"
scenario_time "two VMs"

# A card that somebody pulls out of the host, by its button: it was put in just before, and is an exclusive one.
card=0000:02:00.0
lab_machine plug slot2 card
check "one more card" stage_wait 120 active "systemctl is-active $(stage_unit $card)"
vmctl gpu attach lab "$card"
is "goes to the VM" "$status $(soon "$both"), $(has lab)" "0 $both, 2 2 1 0"
lab_machine unplug card
check "it is pulled out" stage_wait 200 gone "test -e /sys/bus/pci/devices/$card || echo gone"
is "the guest has none any more" "$(soon ""), $(has lab)" ", 0 2 1 0"
vmctl gpu detach lab
is "and its definition is told" "$status $(has lab)" "0 0 0 0 0"
scenario_time "pulled out"

# A guest that shuts down.
vmctl gpu attach lab "$gpu"
is "the VM has it once more" "$status $(drivers)" "0 vfio-pci vfio-pci"
says off
check "its guest shuts down" stage_wait 200 "shut off" 'virsh -q domstate lab'
check "and the host has the GPU again" stage_wait 60 nvidia "basename \"\$(readlink /sys/bus/pci/devices/$gpu/driver)\""
is "it is the VM's all the same" "$(has lab)" "2 2 1 0"
vmctl gpu attach other "$gpu"
like "nobody else's" "$status:$said" "^4:.*belongs to machine 'lab'"
scenario_time "shut down"

# It starts with the whole card in one slot.
stage_run ": >$log; vmctl start lab"
check "the guest is up again" guestvm_wait
is "with both functions" "$(soon "$both")" "$both"
is "and what the last start wrote" "$(data)" "of 1 starts whole"
is "of one slot" "$(stage_run "tr -d '\r' <$log | sed -n 's/^guest: pci \(.*\)\.[0-7] 10de:.*/\1/p' | sort -u | wc -l")" 1
vmctl gpu detach lab
like "of which libvirt takes nothing while it runs, which is said" "$status:$said" '^1:.*in one slot'
is "and nothing is changed" "$(has lab)" "2 2 1 1"
scenario_time "cold start"

# The power is cut: nothing of this boot is left, and the definition is whole.
stage_run sync
lab_end
lab_boot unused "${stage_hardware[@]}"
lab_wait_boot 900
scenario_time "power cut"
stage_run 'timeout 300 systemctl is-system-running --wait' >/dev/null || true
guestvm_emulate
is "after the power was cut nothing is held" "$(drivers), $(has lab)" "$host, 2 2 1 0"
vmctl gpu detach lab
is "it can be taken from the VM, which is off" "$status $(has lab)" "0 0 0 0 0"

# Both are off: who is first has it in his definition.
won=0
for ((i = 1; i <= 9 * races; i++)); do
        stage_run "vmctl gpu attach lab $gpu >/root/first 2>&1 & vmctl gpu attach other $gpu >/root/second 2>&1; wait" || true
        got="$(has lab) $(has other)"
        case $got in
        '2 2 1 0 0 0 0 0') loser=second winner=lab ;;
        '0 0 0 0 2 2 1 0') loser=first winner=other ;;
        *) diag "$got: $(stage_run 'cat /root/first /root/second')" && continue ;;
        esac
        said=$(stage_run "cat /root/$loser")
        if grep -q "$winner" <<<"$said"; then won=$((won + 1)); else diag "$said"; fi
        stage_run "vmctl gpu detach $winner" >/dev/null 2>&1 || true
done
is "exactly one gets it, $((9 * races)) times, and the other is told who has it" "$won" $((9 * races))
scenario_time "two VMs that are off"

check "nothing failed" stage_run 'test -z "$(systemctl list-units --no-legend --state=failed | grep -v waiter)"'
check "all goes" stage_run 'vmctl delete --yes --force lab other >/root/said 2>&1 || { cat /root/said; exit 1; }'
check "the host's driver has the GPU" stage_wait 60 nvidia "basename \"\$(readlink /sys/bus/pci/devices/$gpu/driver)\""
scenario_end
