#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restarting and going on, with the real gpuvm-reboot, gpuvm-resume, systemd and logind: reboot.sh RELEASE
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
before='preflight packages nvidia kvm iommu'
after='vfio bridge storage verify'
machine_new "$release"
mkdir -p "$machine/etc/gpuvm.conf.d"

# configure REBOOT DELAY
configure() {
        printf '[Bootstrap]\nReboot=%s\nRebootDelaySec=%s\n' "$1" "$2" >"$machine/etc/gpuvm.conf.d/50-test.conf"
}

# A machine as fresh as at first: no story, nothing ran, the IOMMU off.
fresh() {
        rm -rf "$shared/ran" "$shared/word" "$machine/var/lib/gpuvm"
        echo 'root=/dev/vda1 ro quiet' >"$shared/cmdline"
        stub_all
        # shellcheck disable=SC2016 # expanded by the stub
        stub iommu 'if grep -q iommu=on /proc/cmdline; then rm -f /run/gpuvm/reboot.d/iommu; exit 0; fi' \
                'mkdir -p /run/gpuvm/reboot.d' \
                'printf "the IOMMU is off\n%s" "$(cat /shared/word 2>/dev/null)" >/run/gpuvm/reboot.d/iommu'
        stub verify 'rm -f /var/lib/gpuvm/pending'
        configure auto 1
}

story() {
        cat "$machine/var/lib/gpuvm/pending" 2>/dev/null || true
}

# The steps. A boot in which something restarts the machine ends by that; the sleep is only a limit.
start_and_wait() {
        systemctl start gpuvm-bootstrap.target
        echo "start $?"
        systemctl is-system-running 2>/dev/null | grep -q stopping && sleep 60
}
wait_for_target() {
        local i

        systemctl is-system-running --wait
        for i in $(seq 100); do
                systemctl is-active --quiet gpuvm-bootstrap.target && break
                systemctl list-jobs --no-legend 'gpuvm-*' | grep -q . || [ "$i" -lt 20 ] || break
                sleep 0.1
        done
        systemctl is-active gpuvm-bootstrap.target
        [ -e /run/gpuvm/motd ] && cat /run/motd.d/gpuvm
        systemctl is-system-running 2>/dev/null | grep -q stopping && sleep 60
        true
}
failure() {
        systemctl show -P Result,ExecMainStatus,StatusText gpuvm-reboot.service
        journalctl --sync
        journalctl -b --no-pager -o cat SYSLOG_IDENTIFIER=gpuvm-reboot
        systemctl is-active gpuvm-vfio.service
}

# One restart, then on to the end.
fresh
machine_boot start_and_wait
is "$release: restarts by itself" "$status" 133
is "$release: nothing later started before it" "$(ran)" "$before"
like "$release: the story is on disk" "$(story)" 'total 1.*cause iommu 1'
echo 'root=/dev/vda1 ro quiet intel_iommu=on' >"$shared/cmdline"
machine_boot wait_for_target
is "$release: and does not restart again" "$status" 0
like "$release: goes on by itself to the end" "$output" 'running
active'
is "$release: every phase ran after it" "$(ran)" "$before $before $after"
is "$release: the story ended" "$(story)" ''
like "$release: the journal has the event" "$(machine_journal -o cat MESSAGE_ID=0c373f565c374df089993b881d3916c3)" \
        'Restarting the machine in 1 s .*shutdown -c'
like "$release: and the one after it" "$(machine_journal -o cat MESSAGE_ID=95add797df3347d8a99ff5d7646e0e3e)" \
        'goes on after the restart'

# A cause that never goes away.
fresh
for boots in 1 2 3; do
        if [ "$boots" -eq 1 ]; then machine_boot start_and_wait; else machine_boot wait_for_target; fi
        [ "$status" -eq 133 ] || break
done
is "$release: at most two restarts for one cause" "$boots $status" '3 0'
is "$release: and nothing later ever ran" "$(ran)" "$before $before $before"
like "$release: it says why, and how to go on" \
        "$(machine_journal -o cat -n 1 MESSAGE_ID=619e730fe36a44b69a373ccd30a07568)" 'iommu.*2 restarts.*rm /var/lib/gpuvm/pending'
machine_boot wait_for_target
machine_boot wait_for_target
is "$release: later boots give up" "$(ran | wc -w) $status" '20 0'
like "$release: and the login message says so" "$output" 'has stopped before its end'

# A trial start is judged whatever the phases before that say, and nothing behind them starts.
fresh
# The target has failed by then; what does not need the phase that did goes on.
until_all_ended() {
        systemctl start gpuvm-bootstrap.target
        echo "start $?"
        for _ in $(seq 600); do
                systemctl list-jobs --no-legend 'gpuvm-*' | grep -q . || break
                sleep 0.1
        done
        systemctl is-system-running 2>/dev/null | grep -q stopping && sleep 60
        true
}
stub preflight 'exit 1'
echo 'root=/dev/vda1 ro quiet intel_iommu=on gpuvm.trial=1' >"$shared/cmdline"
machine_boot until_all_ended
is "$release: a trial start that preflight refuses is judged" "$status $output $(ran)" '0 start 1 preflight iommu'

fresh
stub kvm 'exit 1'
stub iommu 'mkdir -p /run/gpuvm/reboot.d' 'echo "the network is gone" >/run/gpuvm/reboot.d/iommu'
echo 'root=/dev/vda1 ro quiet intel_iommu=on gpuvm.trial=1' >"$shared/cmdline"
machine_boot until_all_ended
is "$release: and ended, if it left the machine without its network" "$status $(ran)" "133 $before"

# Power fails while it goes on.
fresh
machine_boot start_and_wait
stub vfio '[ -e /var/lib/cut ] || { touch /var/lib/cut; sync; reboot -ff; sleep 60; }'
echo 'root=/dev/vda1 ro quiet intel_iommu=on' >"$shared/cmdline"
machine_boot wait_for_target
is "$release: power fails after the restart" "$status" 133
machine_boot wait_for_target
is "$release: and it still comes to its end" "$(ran) $status" "$before $before vfio $before $after 0"

# A restart that cannot help.
fresh
echo intel_iommu=dead >"$shared/word"
echo 'root=/dev/vda1 ro quiet intel_iommu=dead' >"$shared/cmdline"
refused() {
        start_and_wait
        failure
}
machine_boot refused
like "$release: a restart that cannot help is not made" "$status $output" '^0 start 1.*cannot help.*inactive$'
is "$release: and is not in the story" "$(story)" ''
still_said() {
        cat /run/motd.d/gpuvm-stopped
        gpu-vm-bootstrap --status | head -n 1
}
machine_boot still_said
like "$release: which a login is still told after the next start" "$output" "stopped in phase 'reboot'.*cannot help.*bootstrap: failed"

# A story that cannot be read.
fresh
mkdir -p "$machine/var/lib/gpuvm"
printf 'gpuvm-pending 1\nboot' >"$machine/var/lib/gpuvm/pending"
refused_twice() {
        for _ in $(seq 300); do
                systemctl is-failed --quiet gpuvm-resume.service && break
                sleep 0.1
        done
        systemctl is-failed gpuvm-resume.service
        start_and_wait
        failure
}
machine_boot refused_twice
like "$release: a story that cannot be read stops everything" "$status $output" '^0 failed.start 1.*Cannot read.*inactive$'
is "$release: nothing went on by itself" "$(ran)" "$before"

# The administrator's own restart.
for mode in ask never; do
        fresh
        configure "$mode" 1
        left_to_me() {
                start_and_wait
                failure
                systemctl reboot
                sleep 60
        }
        machine_boot left_to_me
        like "$release: Reboot=$mode leaves it to the administrator" "$output" \
                "start 1.*75.*systemctl reboot.*Reboot=$mode.*inactive|start 1.*75.*Reboot=$mode.*systemctl reboot.*inactive"
        like "$release: Reboot=$mode does not count it" "$(story)" 'counted 0.total 0'
        echo 'root=/dev/vda1 ro quiet intel_iommu=on' >"$shared/cmdline"
        machine_boot wait_for_target
        is "$release: Reboot=$mode goes on after it" "$(ran)" "$before $before $after"
done

# What stands against it.
fresh
configure auto 60
wait_until_announced() {
        for _ in $(seq 600); do
                systemctl show -P StatusText gpuvm-reboot.service | grep -q Restarting && break
                sleep 0.1
        done
}
wait_until_failed() {
        for _ in $(seq 300); do
                systemctl is-failed --quiet gpuvm-reboot.service && break
                sleep 0.1
        done
}
cancelled() {
        systemctl start --no-block gpuvm-bootstrap.target
        wait_until_announced
        systemctl show -P StatusText gpuvm-reboot.service
        shutdown -c
        wait_until_failed
        failure
}
machine_boot cancelled
like "$release: announced with the time left" "$output" '^Restarting the machine in [56][0-9] s'
like "$release: shutdown -c cancels it, and it says how to go on" "$status $output" '^0 .*cancelled.*systemctl reboot.*inactive$'
like "$release: the administrator's restart would be resumed from" "$(story)" 'counted 1'

# An administrator's own shutdown: neither replaced nor cancelled, whichever came first.
scheduled() {
        busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ScheduledShutdown
}
fresh
scheduled_before() {
        shutdown -P +60
        start_and_wait
        failure
        scheduled
        shutdown -c
}
machine_boot scheduled_before
like "$release: a shutdown that is scheduled refuses it" "$status $output" \
        '^0 start 1.*scheduled a shutdown already \(poweroff, at 20.*shutdown -c.*inactive'
like "$release: and stays scheduled" "$output" '\(st\) "poweroff" '
like "$release: it is not counted, and an own restart would be gone on from" "$(story)" 'counted 0.total 0'

fresh
configure auto 60
scheduled_since() {
        systemctl start --no-block gpuvm-bootstrap.target
        wait_until_announced
        shutdown -P +60
        wait_until_failed
        failure
        scheduled
        shutdown -c
}
machine_boot scheduled_since
like "$release: one that replaces it is a cancellation" "$status $output" '^0 .*was cancelled.*inactive'
like "$release: and stays scheduled too" "$output" '\(st\) "poweroff" '

fresh
configure auto 60
stopped_since() {
        systemctl start --no-block gpuvm-bootstrap.target
        wait_until_announced
        shutdown -P +60
        systemctl stop gpuvm-reboot.service
        sleep 0.5
        scheduled
        shutdown -c
}
machine_boot stopped_since
like "$release: stopping the unit leaves it alone" "$status $output" '^0 .*\(st\) "poweroff" '

# Killed while it waits, the restart that it announced is still there. Started again it knows that as its own.
fresh
configure auto 60
killed() {
        systemctl start --no-block gpuvm-bootstrap.target
        wait_until_announced
        systemctl kill --signal=KILL gpuvm-reboot.service
        wait_until_failed
        systemctl show -P Result gpuvm-reboot.service
        scheduled
}
killed_and_again() {
        killed
        printf '[Bootstrap]\nRebootDelaySec=2\n' >/etc/gpuvm.conf.d/60-test.conf
        systemctl daemon-reload
        start_and_wait
}
machine_boot killed_and_again
rm "$machine/etc/gpuvm.conf.d/60-test.conf"
like "$release: killed, it leaves the restart to logind" "$output" '^signal.\(st\) "reboot" [1-9]'
is "$release: started again, it is no other's and is made" "$status" 133
like "$release: and it said so" "$(machine_journal -o cat SYSLOG_IDENTIFIER=gpuvm-reboot)" 'restart that an earlier run announced is called off'
like "$release: it counts once" "$(story)" 'total 1'

fresh
configure auto 60
killed_and_left() {
        killed
        printf '[Bootstrap]\nReboot=never\n' >/etc/gpuvm.conf.d/60-test.conf
        systemctl daemon-reload
        start_and_wait
        scheduled
}
machine_boot killed_and_left
rm "$machine/etc/gpuvm.conf.d/60-test.conf"
like "$release: where no restart is wanted any more, none is left" "$status $output" '^0 signal.*start 1.\(st\) "" '

fresh
configure auto 60
killed_and_replaced() {
        killed
        shutdown -P +60
        start_and_wait
        scheduled
        shutdown -c
}
machine_boot killed_and_replaced
like "$release: an administrator's shutdown that came since stays" "$status $output" '^0 signal.*start 1.\(st\) "poweroff" '

# Taken back while it is announced, it is not made.
fresh
configure auto 60
taken_back() {
        systemctl start --no-block gpuvm-bootstrap.target
        wait_until_announced
        gpuvm-undo --all
        echo "undo $?"
        scheduled
        systemctl show -P Result gpuvm-reboot.service
        ls /var/lib/gpuvm/pending
}
machine_boot taken_back
like "$release: undo calls it off" "$status $output" '^0 .*undo 0.\(st\) "" [^a-z]*exit-code'
is "$release: and the bootstrap does not go on" "$(story)" ''

fresh
inhibited() {
        systemd-inhibit --what=shutdown --mode=block --who=surgeon --why='operating' sleep 50 &
        for _ in $(seq 300); do
                systemd-inhibit --list --no-legend | grep -q surgeon && break
                sleep 0.1
        done
        start_and_wait
        failure
        kill %1 # or it keeps the machine up at the end as well
        sleep 0.5
}
machine_boot inhibited
like "$release: a shutdown inhibitor refuses it" "$status $output" '^0 start 1.*surgeon.*operating.*inactive$'

fresh
with_vm() {
        cp /bin/sleep /tmp/qemu-system-x86_64
        setpriv --reuid=1234 --clear-groups /tmp/qemu-system-x86_64 50 &
        for _ in $(seq 300); do
                pgrep -f '^/tmp/qemu-system-x86_64 ' >/dev/null && break
                sleep 0.1
        done
        start_and_wait
        failure
}
machine_boot with_vm
like "$release: another user's running VM refuses it" "$status $output" '^0 start 1.*virtual machine is running.*inactive$'
like "$release: it is not counted, and an own restart would be gone on from" "$(story)" 'counted 0.total 0'

fresh
configure auto 60
late_vm() {
        cp /bin/sleep /tmp/qemu-system-x86_64
        { sleep 4; exec /tmp/qemu-system-x86_64 50; } &
        start_and_wait
        failure
        busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ScheduledShutdown
}
machine_boot late_vm
like "$release: a VM that starts meanwhile calls it off" "$status $output" \
        '^0 start 1.*virtual machine is running.*inactive.\(st\) "" '

fresh
stopped() {
        systemctl start --no-block gpuvm-bootstrap.target
        wait_until_announced
        systemctl stop gpuvm-reboot.service
        sleep 0.5
        systemctl is-active gpuvm-reboot.service gpuvm-vfio.service
        busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ScheduledShutdown
}
configure auto 60
machine_boot stopped
like "$release: stopping the unit calls it off and starts nothing" "$status $output $(ran)" \
        "^0 inactive.inactive.\\(st\\) \"\" [0-9]+ $before\$"
done_testing
