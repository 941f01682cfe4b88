#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl create cut at each step, in each way: an error, a full disk, SIGINT, SIGKILL, libvirtd killed. Afterwards, with one more run at
# most, all is as before. And many at once: createcuts.sh VMCTL
#
# Before each step its record is flushed: there strace stops vmctl, and what is to happen happens. While the
# machine starts libvirt's hook does that.
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"

# One that was told to end, or killed, may be there for another moment, and keeps the next one from starting.
restart_libvirtd() {
        for _ in $(seq 600); do
                ! libvirtd -d 2>/run/libvirtd.err || break
                sleep 0.1
        done
        for _ in $(seq 600); do
                ! virsh -q -c qemu:///system uri >/dev/null 2>&1 || return 0
                sleep 0.1
        done
        echo 'libvirtd does not come back'
}
# traced INJECTION: vmctl create under strace, in the background; sets tracer.
traced() {
        ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -E LD_PRELOAD="$preload" -qq -o /dev/null -e trace="${1%%:*}" -e inject="$1" \
                "$vmctl" create debian "${standard[@]}" </dev/null >/run/cut.out 2>/run/cut.err &
        tracer=$!
}
# stopped STEP: waits until vmctl stands still with that many lines in its record; sets victim. Under strace it stops at each call
# for a moment, too.
stopped() {
        local lines still=0

        for _ in $(seq 600); do
                victim=$(pgrep -P "$tracer" | head -n 1)
                lines=$(cat /var/lib/gpuvm/creating/* 2>/dev/null | wc -l)
                if [ -n "$victim" ] && [ "$lines" -eq "$1" ] && grep -q '^State:.*[tT] (' "/proc/$victim/status" 2>/dev/null; then
                        still=$((still + 1))
                        [ "$still" -lt 4 ] || return 0
                else
                        still=0
                fi
                kill -0 "$tracer" 2>/dev/null || return 1
                sleep 0.05
        done
        return 1
}
# happens WHAT STEP: sets status.
happens() {
        status=0
        case $1 in
        error) traced "fdatasync:error=EIO:when=$2" ;;
        full) traced "fdatasync:error=ENOSPC:when=$2" ;;
        *)
                traced "fdatasync:signal=STOP:when=$2"
                stopped "$2" || echo "$1 at $2: nothing was stopped: $(cat /run/cut.err)"
                case $1 in
                interrupt) kill -INT "$victim" ;;
                kill) kill -KILL "$victim" ;;
                libvirtd | restart)
                        kill -KILL "$(cat /run/libvirtd.pid)"
                        sleep 0.5
                        [ "$1" != restart ] || restart_libvirtd
                        ;;
                esac
                kill -CONT "$victim" 2>/dev/null || true
                ;;
        esac
        wait "$tracer" || status=$?
        [ "$1" != libvirtd ] || restart_libvirtd
}
# The next one takes back what is left; it fails for want of its image.
recover() {
        ! make --image /nonexistent >/run/recovered 2>&1 || echo 'made of nothing'
}
cuts() {
        local what step remedy

        for what in error full interrupt kill libvirtd; do
                for step in 1 2 3 4 5; do
                        happens "$what" "$step"
                        [ "$status" -ne 0 ] || echo "$what at $step: made all the same"
                        case $what in
                        error) remedy='Input/output error' ;;
                        full) remedy='No space left on device' ;;
                        interrupt) remedy=Interrupted ;;
                        libvirtd) remedy='Cannot ' ;;
                        *) remedy= ;;
                        esac
                        grep -q "$remedy" /run/cut.err || [ "$what" = kill ] || echo "$what at $step: says $(cat /run/cut.err)"
                        # What is told by the one that failed needs no other.
                        case $what in kill | libvirtd) recover ;; esac
                        state | diff /run/before - || echo "$what at $step: something is left: $(cat /run/cut.err /run/recovered)"
                done
        done
        # libvirtd is back by then: what was made is taken back at once, the machine as well.
        happens restart 4
        [ "$status" -ne 0 ] || echo 'restarted libvirtd: made all the same'
        state | diff /run/before - || echo "restarted libvirtd: something is left: $(cat /run/cut.err)"
        starts
        ends
        echo 'cut at each step'
}
# libvirt's own hook stands still while the machine starts: before QEMU is there, and when it runs.
hook() {
        mkdir -p /etc/libvirt/hooks
        cat >/etc/libvirt/hooks/qemu <<-'END'
		#!/bin/sh
		[ "$2" = "$(cat /run/hook.at 2>/dev/null)" ] || exit 0
		rm /run/hook.at
		: >/run/hook.here
		while [ ! -e /run/hook.go ]; do sleep 0.1; done
		exit "$(cat /run/hook.go)"
	END
        chmod +x /etc/libvirt/hooks/qemu
        # It is looked for when libvirtd starts.
        kill "$(cat /run/libvirtd.pid)"
        for _ in $(seq 100); do
                ! virsh -q -c qemu:///system uri >/dev/null 2>&1 || sleep 0.1
        done
        restart_libvirtd
}
# starting WHAT PLACE: sets status.
starting() {
        local maker code=0 late=

        rm -f /run/hook.here /run/hook.go
        echo "$2" >/run/hook.at
        ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 LD_PRELOAD="$preload" "$vmctl" create debian "${standard[@]}" </dev/null >/run/cut.out 2>/run/cut.err &
        maker=$!
        for _ in $(seq 1200); do
                [ ! -e /run/hook.here ] || break
                sleep 0.1
        done
        [ -e /run/hook.here ] || echo "$1 at $2: it never started: $(cat /run/cut.err)"
        case $1 in
        error) code=1 ;;
        interrupt) kill -INT "$maker" ;;
        kill)
                # Whoever comes next comes while libvirt is still at it.
                kill -KILL "$maker"
                recover &
                late=$!
                sleep 1
                ;;
        libvirtd) kill -KILL "$(cat /run/libvirtd.pid)" ;;
        esac
        echo $code >/run/hook.go
        status=0
        wait "$maker" || status=$?
        [ -z "$late" ] || wait "$late"
        [ "$1" != libvirtd ] || restart_libvirtd
}
starts() {
        local what place

        for what in error interrupt kill libvirtd; do
                for place in prepare started; do
                        starting "$what" "$place"
                        [ "$status" -ne 0 ] || echo "$what at $place: made all the same"
                        case $what in kill | libvirtd) recover ;; esac
                        state | diff /run/before - || echo "$what at $place: something is left: $(cat /run/cut.err /run/recovered)"
                done
        done
        # There is no room for the variables of its firmware.
        mount -t tmpfs -o size=16k tmpfs /var/lib/libvirt/qemu/nvram
        ! make >/run/small 2>&1 || echo 'started without room'
        grep -o 'Cannot start .debian-01.: .*No space left on device' /run/small | sed 's/.*: /start: /'
        umount /var/lib/libvirt/qemu/nvram
        state | diff /run/before - || echo 'no room for a start leaves something'
}
# All is made, and the record is not away yet: what was not finished is not there; what nobody can stop any more is whole.
ends() {
        local what file

        # The disk and the seed are written beside, and cut before they have their names.
        for file in 1 2; do
                traced "renameat:signal=KILL:when=$file"
                wait "$tracer" || true
                find "$pool" -name '.*.gpuvm-new' | grep -q . || echo "nothing is left of file $file"
                recover
                state | diff /run/before - || echo "something is left of file $file"
        done
        traced unlinkat:signal=KILL:when=1
        wait "$tracer" || true
        [ -n "$(ls -A /var/lib/gpuvm/creating)" ] || echo 'nothing was cut at the end'
        recover
        state | diff /run/before - || echo 'something is left of the end'
        status=0
        traced unlinkat:error=EIO:when=1
        wait "$tracer" || status=$?
        [ "$status" -ne 0 ] || echo 'the record stays, and nobody is told'
        state | diff /run/before - || echo "something is left of an error at the end: $(cat /run/cut.err)"
        for what in interrupt libvirtd; do
                traced unlinkat:signal=STOP:when=1
                for _ in $(seq 1200); do
                        [ "$(virsh -q -c qemu:///system list --name)" != debian-01 ] || break
                        sleep 0.1
                done
                stopped 0 || echo "$what at the end: nothing was stopped: $(cat /run/cut.err)"
                case $what in
                interrupt) kill -INT "$victim" ;;
                libvirtd) kill -KILL "$(cat /run/libvirtd.pid)" ;;
                esac
                sleep 0.5
                kill -CONT "$victim"
                wait "$tracer" || true
                [ "$what" = interrupt ] || restart_libvirtd
                recover
                if [ "$(vm list --quiet)" = debian-01 ]; then
                        vm delete --yes --force --quiet debian-01
                fi
                state | diff /run/before - || echo "$what at the end: neither whole nor gone: $(cat /run/cut.err)"
        done
}
# A pool with no room for the disk's own tables, then with none for the seed.
small_pools() {
        local size

        for size in 64k 220k; do
                mount -t tmpfs -o "size=$size" tmpfs "$pool"
                ! make >/run/small 2>&1 || echo "made in $size"
                grep -o -e 'Cannot make disk' -e 'Cannot write.*seed.iso.: No space left on device' /run/small | sed 's/.*seed.iso/seed/'
                ls "$pool"
                umount "$pool"
        done
        state | diff /run/before - || echo 'small pools leave something'
}
# A host whose machines are on a bridge of its network, where nobody leases addresses.
bridged() {
        ip link add br0 type bridge
        ip link set br0 up
        ip addr add 198.51.100.10/24 dev br0
        ip route add default via 198.51.100.1
        mkdir -p /run/gpuvm/phases
        echo '{"mode":"bridged","bridge":"br0"}' >/run/gpuvm/phases/bridge.json
}
# count ELEMENT: how many different ones the machines have.
count() {
        grep -h "<$1 " /etc/libvirt/qemu/*.xml | sort -u | wc -l
}
many() {
        local k n=50

        bridged
        for k in $(seq "$n"); do
                { make --disk 10 >"/run/many$k" 2>&1 || echo "$k: $(cat "/run/many$k")"; } &
        done
        # They are compared, and need not run meanwhile.
        while [ -n "$(jobs -r)" ]; do
                for k in $(virsh -q -c qemu:///system list --name); do
                        [ ! -e "/var/lib/gpuvm/creating/$k" ] || continue
                        virsh -q -c qemu:///system destroy "$k" >/dev/null 2>&1 || true
                done
                sleep 0.5
        done
        wait
        echo "many: $(($(vm list --quiet | sort -u | wc -l) - n)) $(($(count mac) - n)) $(($(count gpuvm:address) - n))"
        # One address, asked for twice at once.
        for k in 1 2; do
                make --name "same$k" --ip 192.0.2.9/24 --gateway 192.0.2.1 >"/run/same$k" 2>&1 &
        done
        wait
        echo "same: $(grep -l 'is running' /run/same? | wc -l) $(grep -oh 'belongs to another machine' /run/same?)"
        # shellcheck disable=SC2046 # names
        vm delete --yes --force --quiet $(vm list --quiet)
        state | diff /run/before - || echo 'many leave something'
}
real() {
        local status tracer victim

        ground
        network
        hook
        recover
        state >/run/before
        cuts
        small_pools
        many
}
create_real "$work" 3300 restart_libvirtd traced stopped happens recover cuts hook starting starts ends small_pools bridged count many
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
        done_testing
        exit
fi
is 'whole, or not at all' "$got" 'start: No space left on device
cut at each step
Cannot make disk
seed'\'': No space left on device
many: 0 0 0
same: 1 belongs to another machine'
done_testing
