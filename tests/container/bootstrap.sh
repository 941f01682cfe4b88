#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpu-vm-bootstrap under a real systemd, over phases that only pretend: bootstrap.sh RELEASE
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
machine_new "$release"

# pretend PHASE LINE...: in place of the program, so that the plan comes from it as well.
pretend() {
        local program=$machine/usr/lib/gpuvm/gpuvm-$1

        mkdir -p "$machine/etc/systemd/system/gpuvm-$1.service.d"
        # The sandbox is not what this is about, and /shared is outside of it.
        printf '[Service]\nExecStart=\nExecStart=/usr/lib/gpuvm/gpuvm-%s\nProtectSystem=no\nSystemCallFilter=\n' "$1" \
                >"$machine/etc/systemd/system/gpuvm-$1.service.d/pretend.conf"
        printf 'ReadWritePaths=\nProtectProc=default\nProtectKernelTunables=no\nProtectControlGroups=no\n' \
                >>"$machine/etc/systemd/system/gpuvm-$1.service.d/pretend.conf"
        cat >"$program" <<SH
#!/bin/bash
if [ "\$1" = --dry-run ] && [ "\$2" = --json ]; then
        echo '{ "phase": "$1", "changes": [] }'
        exit
elif [ "\$1" = --dry-run ]; then
        echo "$1: would do its part (\$(grep -c . <<<"\$GPUVM_CONF_EXTRA"))"
        exit
fi
echo $1 >>/shared/ran
echo "<6>at work"
mkdir -p /run/gpuvm/phases
echo '{ "phase": "$1", "result": "ok", "took_ms": 1200, "changes": [ 1 ] }' >/run/gpuvm/phases/$1.json
SH
        shift
        [ $# -eq 0 ] || printf '%s\n' "$@" >>"$program"
        chmod 755 "$program"
}
# The lasting part of a report, as the last phase writes it.
report='mkdir -p /var/lib/gpuvm; rm -f /var/lib/gpuvm/pending /run/gpuvm/motd
        printf "{ \"phases\": [], \"checks\": [{ \"check\": \"moon\", \"result\": \"ok\", \"text\": \"is full\" }] }\n" >/var/lib/gpuvm/report.json'
for phase in preflight packages nvidia kvm iommu vfio storage; do
        pretend "$phase"
done
pretend verify "$report"

plan() {
        setpriv --reuid=1000 --clear-groups gpu-vm-bootstrap --dry-run --gpu-mode=exclusive --skip-bridge 2>&1
        echo "status $?"
        setpriv --reuid=1000 --clear-groups gpu-vm-bootstrap --status | head -n 1
        echo "status ${PIPESTATUS[0]}"
        gpu-vm-bootstrap </dev/null 2>&1 | tail -n 1
        ls /etc/gpuvm.conf.d /var/lib/gpuvm 2>/dev/null
        journalctl --update-catalog
        # shellcheck disable=SC2013 # one id a line
        for id in $(cat /shared/ids); do
                journalctl --dump-catalog "$id" | grep -q '^Subject: .*GPU' || echo "no catalog entry $id"
        done
}
grep -o 'MESSAGE_ID=[0-9a-f]*' "$source_dir/helpers/lib/journal.h" | cut -d= -f2 >"$shared/ids"
machine_boot plan
is "$release: each event is explained" "$(wc -l <"$shared/ids") $(grep -c 'no catalog entry' <<<"$output" || true)" '13 0'
like "$release: a plan needs no root, and the phases see the options" "$output" \
        'preflight: would do its part \([3-9]\).*storage: would do its part \([3-9]\).status 0'
like "$release: status before it began" "$output" 'bootstrap: not started.status 3'
like "$release: without a terminal it does not go on unasked" "$output" 'say --yes'
check_fails "$release: a plan changes nothing" 1 test -e "$machine/etc/gpuvm.conf.d/50-gpu-vm-bootstrap.conf"
is "$release: and runs nothing" "$(ran)" ''

whole_run() {
        useradd alice
        SUDO_USER=alice gpu-vm-bootstrap --yes --gpu-mode exclusive --skip-bridge 2>&1
        echo "status $?"
        setpriv --reuid=1000 --clear-groups gpu-vm-bootstrap --status
        echo "status $?"
        gpu-vm-bootstrap --status --json | tr -d ' \n' | grep -o '"state":"done"' | head -n 1
        timeout 10 gpu-vm-bootstrap --follow 2>&1 | head -n 1
        gpu-vm-bootstrap --yes 2>&1 | grep -c finished
}
machine_boot whole_run
like "$release: the whole run succeeds" "$output" 'verify: finished after .*is full.*status 0'
like "$release: each phase's lines are shown in order" "$output" \
        'preflight: at work.*packages: at work.*storage: at work.*verify: at work'
like "$release: status tells each phase" "$output" 'bootstrap: done.  preflight  done +1\.2 s.*is full.*status 0.*"state":"done"'
is "$release: the options are a drop-in" "$(grep -v '^#' "$machine/etc/gpuvm.conf.d/50-gpu-vm-bootstrap.conf")" \
        '[Bootstrap]
User=alice
Bridge=no

[Gpu]
Mode=exclusive'
check "$release: and in the ledger" grep -rq 50-gpu-vm-bootstrap.conf "$machine/var/lib/gpuvm/ledger"
is "$release: a later run without options keeps them" \
        "$(grep -c exclusive "$machine/etc/gpuvm.conf.d/50-gpu-vm-bootstrap.conf") ${output##*$'\n'}" '1 9'
like "$release: the log has the write" "$(cat "$machine/var/log/gpu-vm-bootstrap.log")" 'gpu-vm-bootstrap: Wrote '

pretend iommu 'echo "<3>the moon is in the way"; exit 1'
failing() {
        gpu-vm-bootstrap --yes 2>&1
        echo "status $?"
        gpu-vm-bootstrap --status
        echo "status $?"
}
machine_boot failing
like "$release: a failure is a failure" "$output" \
        'iommu: the moon is in the way.*iommu: failed after.*stopped before its end.*status 1.*bootstrap: failed.*status 1'

# Over a restart.
rm -f "$shared/ran" "$machine/var/lib/gpuvm/report.json"
pretend iommu 'grep -q iommu=on /proc/cmdline && exit 0' \
        'mkdir -p /run/gpuvm/reboot.d' 'echo "the IOMMU is off" >/run/gpuvm/reboot.d/iommu'
printf '[Bootstrap]\nRebootDelaySec=3\n' >"$machine/etc/gpuvm.conf.d/60-test.conf"
restarting() {
        gpu-vm-bootstrap --yes 2>&1
        echo "status $?"
        sleep 60
}
machine_boot restarting
like "$release: says that the machine restarts and that it goes on by itself" "$status $output" \
        '^133 .*reboot: Restarting the machine in 3 s.*goes on by itself'
echo 'root=/dev/vda1 ro intel_iommu=on' >"$shared/cmdline"
later() {
        gpu-vm-bootstrap --follow
        echo "status $?"
        gpu-vm-bootstrap --status | head -n 1
}
machine_boot later
like "$release: and it did" "$output" 'bootstrap: done'
is "$release: every phase ran" "$(ran)" \
        'preflight packages nvidia kvm iommu preflight packages nvidia kvm iommu vfio storage verify'

# Left to the administrator.
echo 'root=/dev/vda1 ro' >"$shared/cmdline"
printf '[Bootstrap]\nReboot=ask\n' >"$machine/etc/gpuvm.conf.d/60-test.conf"
asked() {
        gpu-vm-bootstrap --yes 2>&1
        echo "status $?"
        gpu-vm-bootstrap --status
        echo "status $?"
}
machine_boot asked
like "$release: a restart left to the administrator" "$output" \
        'systemctl reboot.*status 75.*bootstrap: waiting for a restart.*reboot +needs a restart.*status 75'
rm -rf "$machine/etc/gpuvm.conf.d/60-test.conf" "$machine/var/lib/gpuvm"

# On a terminal.
pretend iommu 'sleep 1'
on_terminal() {
        rm -f /shared/ran
        echo n | script -qec 'TERM=xterm gpu-vm-bootstrap' /dev/null
        echo "no: $(cat /shared/ran 2>/dev/null)"
        echo y | script -qec 'TERM=xterm gpu-vm-bootstrap' /dev/null | cat -v
}
machine_boot on_terminal
like "$release: asks on a terminal, and no means no" "$output" 'Go on\? \[y/N\].*Nothing was changed.*no: .'
like "$release: yes means yes, with a live line" "$output" 'iommu [01] s .*\^M\^\[\[K.*verify: finished'

off() {
        gpu-vm-bootstrap --yes 2>&1
        echo "status $?"
}
echo 'root=/dev/vda1 ro gpuvm.bootstrap=0' >"$shared/cmdline"
machine_boot off
like "$release: switched off on the kernel command line it refuses" "$output" 'switched off.*status 1'
done_testing
