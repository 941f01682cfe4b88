#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines of another host over a real sshd, with keys and known hosts, from a network of its own; and what is said of a host
# that is not there, hangs, dies while somebody waits for it, or is not the one that is known: ssh.sh RELEASE
#
# shellcheck disable=SC2317,SC2086,SC2016 # the steps are called inside the container; commands are words; scripts are expanded there
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
archive=libarchive13t64
[ "$release" != bookworm ] || archive=libarchive13
machine_new "$release" openssh-server openssh-client libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils "$archive" libxml2
for socket in tls tcp; do ln -sf /dev/null "$machine/etc/systemd/system/libvirtd-$socket.socket"; done
printf 'namespaces = []\ncgroup_controllers = []\nsecurity_driver = "none"\nuser = "root"\n' >"$machine/etc/libvirt/qemu.conf"
rm "$machine/usr/lib/systemd/system-generators/gpuvm-generator"
machine_guest deaf deaf ''
machine_guest polite worker '<g:user name="ada"/><g:address cidr="192.0.2.7/24"/>'

# from ARGUMENT...: vmctl on another network, without a terminal; its status and the last that it says.
from() {
        local r=0 said=/run/said.$BASHPID

        ip netns exec elsewhere timeout 100 vmctl "$@" </dev/null >"$said" 2>"$said.err" || r=$?
        echo "$r $(tail -n 1 "$said" | tr -s ' ')$(tail -n 1 "$said.err")"
}
took() {
        local began=$SECONDS

        "$@"
        [ $((SECONDS - began)) -lt 75 ] || echo "that took $((SECONDS - began)) s"
}
network() {
        ip netns add elsewhere
        ip link add near type veth peer name far netns elsewhere
        ip address add 192.0.2.1/24 dev near
        ip link set near up
        ip -n elsewhere address add 192.0.2.2/24 dev far
        ip -n elsewhere link set far up
        echo '192.0.2.1 gpu-a' >>/etc/hosts
}
# within SECONDS COMMAND...: waits until it succeeds.
within() {
        local end=$((SECONDS + $1))

        until "${@:2}"; do
                [ "$SECONDS" -lt "$end" ] || return
                sleep 0.5
        done
}
both_wait() {
        grep -q 'deaf running' /run/follows && [ "$(pgrep -fc '^virt-ssh-helper ')" -eq 2 ]
}
# One command waits for a machine that does not shut down, another one for what happens: the cable is pulled meanwhile.
pull_cable() {
        from -c "$1" start deaf >/dev/null
        took from -c "$1" stop --timeout 90 deaf >/run/waits &
        waiter=$!
        ip netns exec elsewhere vmctl -c "$1" events --follow </dev/null >/run/follows 2>&1 &
        follower=$!
        within 20 both_wait
        sleep 4
        ip link set near down
}
put_cable_back() {
        wait "$waiter"
        within 20 grep -q ' is gone' /run/follows
        ip link set near up
        within 40 grep -q ' answers' /run/follows
        kill "$follower"
        wait "$follower"
}
hosts() {
        local there=qemu+ssh://root@gpu-a/system

        systemctl is-system-running --wait >/dev/null
        network
        systemctl start ssh.service
        virsh -q -c qemu:///system "define /shared/worker.xml; define /shared/deaf.xml; pool-define-as gpuvm dir --target /var/lib/libvirt/images/gpuvm; pool-start gpuvm" >/dev/null
        mkdir -p /root/.ssh
        chmod 700 /root/.ssh
        ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
        echo "-- a host that is not known: $(from -c "$there" list)"
        echo "gpu-a $(cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >/root/.ssh/known_hosts
        echo "-- who has no key there: $(from -c "$there" list)"
        cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
        echo "-- list: $(from -c "$there" list)"
        echo "-- info: $(from -c "$there" info worker)"
        echo "-- start: $(from -c "$there" start worker)"
        echo "-- it is $(virsh -q -c qemu:///system domstate worker | head -n 1)"
        echo "-- ip list: $(from -c "$there" ip list)"
        echo "-- ssh: $(from -c "$there" ssh --dry-run worker uptime)"
        echo "-- console: $(from -c "$there" console --dry-run worker)"
        echo "-- stop: $(from -c "$there" stop worker)"
        echo "-- create: $(from -c "$there" create debian --no-gpu --ssh-key /root/.ssh/id_ed25519.pub)"
        echo "-- over there: $(ip netns exec elsewhere ssh root@gpu-a vmctl create debian --no-gpu --dry-run --quiet 2>&1; echo $?)"
        for words in 'apply' 'gpu attach worker 0' 'gpu status' 'ip check' 'check'; do
                echo "-- $words: $(from -c "$there" $words)"
        done
        echo "-- delete: $(from -c "$there" delete --yes --quiet worker)$(virsh -q -c qemu:///system list --all --name)$(ls /var/lib/libvirt/images/gpuvm)"
        ip -n elsewhere route add unreachable 192.0.2.99
        echo "-- no host there: $(from -c qemu+ssh://root@192.0.2.99/system list)"
        echo "-- no sshd there: $(from -c qemu+ssh://root@gpu-a:2222/system list)"
        ip netns exec elsewhere systemd-socket-activate -l 192.0.2.2:22 sleep 600 2>/dev/null &
        sleep 1
        echo "192.0.2.2 hangs" >>/etc/hosts
        pull_cable "$there"
        echo "-- one that hangs: $(took from -c qemu+ssh://root@hangs/system list)"
        put_cable_back
        echo "-- one that dies: $(cat /run/waits)"
        echo "-- who follows it: $(cut -d ' ' -f 3- /run/follows | grep -v deaf | sort -u)"
        echo "-- and nobody waits on: $(pgrep -c '^ssh$')"
        echo "gpu-a $(ssh-keygen -q -t ed25519 -N '' -f /root/other && cut -d ' ' -f 1,2 /root/other.pub)" >/root/.ssh/known_hosts
        echo "-- another host of that name: $(from -c "$there" list | sed "s/'\([^' ]*\)' /\"\1\" /g")"
}
machine_boot hosts
said="vmctl: Cannot connect to libvirt at 'qemu+ssh://root@"
question='has to work without a question'
is "$release: over ssh" "$output" "-- a host that is not known: 1 ${said}gpu-a/system': Host key verification failed. 'ssh ssh://root@gpu-a virsh list' $question
-- who has no key there: 1 ${said}gpu-a/system': root@gpu-a: Permission denied (publickey,password). 'ssh ssh://root@gpu-a virsh list' $question
-- list: 0 worker debian off 1 64 MiB - 192.0.2.7/24
-- info: 0 Address 192.0.2.7/24 (reserved)
-- start: 0 worker is running
-- it is running
-- ip list: 0 worker 192.0.2.7/24 reserved
-- ssh: 0 ssh -lada -- 192.0.2.7 uptime
-- console: 0 virsh --connect qemu+ssh://root@gpu-a/system console worker
-- stop: 0 worker is off
-- create: 1 vmctl: Machines are made on the host that runs vmctl, with its own libvirt; --dry-run works elsewhere
-- over there: 0
-- apply: 1 vmctl: What is declared on a host is made there, not at 'qemu+ssh://root@gpu-a/system'. Run it over there
-- gpu attach worker 0: 1 vmctl: GPUs are looked at on this machine, not at 'qemu+ssh://root@gpu-a/system'. Run it over there
-- gpu status: 1 vmctl: GPUs are looked at on this machine, not at 'qemu+ssh://root@gpu-a/system'. Run it over there
-- ip check: 1 vmctl: Addresses are asked for on this machine's own network, not at 'qemu+ssh://root@gpu-a/system'. Run it over there
-- check: 1 vmctl: A host is checked where it is, not at 'qemu+ssh://root@gpu-a/system'. Run it over there
-- delete: 0 deafdeaf.raw
-- no host there: 1 ${said}192.0.2.99/system': ssh: connect to host 192.0.2.99 port 22: No route to host. 'ssh ssh://root@192.0.2.99 virsh list' $question
-- no sshd there: 1 ${said}gpu-a:2222/system': ssh: connect to host gpu-a port 2222: Connection refused. 'ssh ssh://root@gpu-a:2222 virsh list' $question
-- one that hangs: 1 ${said}hangs/system': it does not answer within 30 s. Is the host up?
-- one that dies: 1 vmctl: Lost sight of 'deaf': 'qemu+ssh://root@gpu-a/system' has not answered for 30 s. Is the host up?
-- who follows it: qemu+ssh://root@gpu-a/system answers
qemu+ssh://root@gpu-a/system is gone: waiting for it
-- and nobody waits on: 0
-- another host of that name: 1 ${said}gpu-a/system': Host key verification failed. That host has another key than the known one (ssh-keygen -f \"/root/.ssh/known_hosts\" -R \"gpu-a\" forgets that, if the host was made anew). 'ssh ssh://root@gpu-a virsh list' $question"
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 60 "$shared/stderr")"
done_testing
