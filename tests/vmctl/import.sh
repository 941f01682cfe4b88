#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A catalog that was kept for Proxmox as files of ours: import.sh VMCTL SOURCE

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1
catalog=$2/tests/vmctl/catalog/infrastructure-catalog.yml
host=$2/tests/hosts/intel-one-gpu
work=$(mktemp -d)
at_exit rm -rf "$work"

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" import-catalog "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(sed 's/^vmctl: //' "$work/err")
}

run "$catalog"
if [ "$status" -ne 0 ] && [[ $err == *'libyaml is not installed'* ]]; then
        skip_all "libyaml's library is not installed"
fi
is 'the machine of the documentation' "$status:$out" '0:# vm-llm-aimachine.vm: VM 140 of infrastructure-catalog.yml
[Vm]
Kind=ubuntu
Description=Language models on an RTX 5060 Ti
Cpus=32
Memory=51200
Disk=500G
Release=24.04
Server=yes

[Gpu]
Gpu=0000:01:00.0

[Network]
Address=192.168.0.140/24
Gateway=192.168.0.1

[Guest]
User=ubuntu

[Install]
WantedBy=multi-user.target'
is 'and what became of what' "$err" "adguard (line 4) is left out: it is of type 'container'
vm-llm-aimachine: 'ubuntu-24.04.1-live-server-amd64.iso' became Kind=ubuntu, Release=24.04, Server=yes: made from a cloud image, nothing is installed by hand
vm-llm-aimachine: Proxmox's slot 'hostpci0' has no meaning here
vm-llm-aimachine: Gpu=0000:01:00.0 is its address on the old host: compare it with 'vmctl gpu status'
vm-llm-aimachine: without a meaning here, and ignored: cloud_init_password (line 22, a secret), storage (line 29)"
run --json "$catalog"
is 'as JSON' "$status:$(jq -c '[.machines[0].name, .machines[0].id, .machines[0].path, .machines[0].changed, (.machines[0].notes | length), .machines[0].ignored[1], (.left_out | length), (.problems | length)]' <<<"$out"):$err" \
        '0:["vm-llm-aimachine","140",null,false,3,"storage (line 29)",1,0]:'
is 'a password is shown nowhere' "$("$vmctl" import-catalog "$catalog" 2>&1 | grep -c hunter2)/$(grep -c hunter2 "$catalog")" 0/1

run --output "$work/vms" "$catalog"
is 'written' "$status:$out" "0:$work/vms/vm-llm-aimachine.vm: written"
check 'which is valid' "$vmctl" validate --quiet "$work/vms/vm-llm-aimachine.vm"
run --quiet --output "$work/vms" "$catalog"
is 'again: nothing to do' "$status:$out:$err" '0::'
echo '# mine' >>"$work/vms/vm-llm-aimachine.vm"
cp "$work/vms/vm-llm-aimachine.vm" "$work/mine"
run --quiet --output "$work/vms" "$catalog"
is 'what is another one stays' "$status:$out" 4:
like 'which is said' "$err" "^'$work/vms/vm-llm-aimachine.vm' is there, and is another one: --force"
check 'untouched' cmp "$work/mine" "$work/vms/vm-llm-aimachine.vm"
run --quiet --dry-run --force --output "$work/vms" "$catalog"
is 'what would be' "$status:$out" 0:vm-llm-aimachine
check 'and is not' cmp "$work/mine" "$work/vms/vm-llm-aimachine.vm"
run --quiet --force --output "$work/vms" "$catalog"
is 'by force' "$status:$out" 0:vm-llm-aimachine
is 'it is gone' "$(grep -c mine "$work/vms/vm-llm-aimachine.vm")" 0

cat >"$work/c.yml" <<'YAML'
vms:
  - {name: a, os: debian-13, memory: 4096, gpu: 10de:2684}
  - {name: b_c, os: debian-13, memory: 16}
  - {name: win, iso: win11.iso}
  - {name: d, os: debian-13}
YAML
run --root "$host" --quiet --output /vms "$work/c.yml"
is 'one that is wrong keeps all away' "$status:$out" 1:
is 'each with its line' "$err" "$work/c.yml:4: win: 'win11.iso' is no value for 'iso': machines are made of Ubuntu, Debian and Talos (see 'vmctl help create'); choose one by --from, or name the machines to import
$work/c.yml:3: b_c: 'b_c' is no name for a machine: letters, digits and dashes, up to 63
Nothing was written: see above"
run --quiet "$work/c.yml" nobody
is 'nor is one made up' "$status:$out:$err" "3::$work/c.yml: there is no virtual machine 'nobody' in it"
run --root "$host" --quiet "$work/c.yml" a
is "a card by its ids is the one that this host has" "$status:$(grep Gpu= <<<"$out"):$err" '0:Gpu=0000:01:00.0:'
run --quiet --from ubuntu-24.04 "$work/c.yml" win
is 'a system that is chosen' "$status:$(sed -n 3,4p <<<"$out" | paste -sd' '):$err" '0:Kind=ubuntu Release=24.04:'
run --from windows-11 "$work/c.yml" win
is 'none of ours' "$status:$out" 1:
printf 'vms:\n  m: {os: debian-13, memory: 16, cores: 9999}\n' >"$work/c.yml"
run --quiet "$work/c.yml"
is 'a number that is too large' "$status:$out:$err" "1::$work/c.yml:2: m: '9999' is no value for 'cores': a number of CPUs"
printf 'vms:\n  m:\n    os: debian-13\n    memory: 16\n' >"$work/c.yml"
run --quiet "$work/c.yml"
like 'what create would refuse, at its line' "$status:$out:$err" "^1::$work/c.yml:4: m: '16' is no size for Memory="

printf 'vms:\n  m: {os: debian-13, ip: 10.0.0.9, gateway: 10.0.0.1}\n' >"$work/c.yml"
run --output "$work/vms" "$work/c.yml"
is 'an address without prefix length goes with the bridge of whoever makes the machine' "$status:$(sed -n '/Network/,$p' "$work/vms/m.vm" | paste -sd,):$err" \
        "0:[Network],Address=10.0.0.9,Gateway=10.0.0.1:m: Address=10.0.0.9 has no prefix length: it is that of the host's bridge"

mkdir -p "$work/all/q.vm"
printf 'vms:\n  p: {os: debian-13}\n  q: {os: debian-13}\n' >"$work/c.yml"
run --quiet --output "$work/all" "$work/c.yml"
is 'all or nothing' "$status:$out:$(ls "$work/all")" 1::q.vm
rmdir "$work/all/q.vm"
printf 'vms:\n  p: {os: debian-13}\n  q: {os: debian-13, description: "%02000d"}\n' 0 >"$work/c.yml"
status=0
err=$(trap '' XFSZ && ulimit -f 1 && "$vmctl" import-catalog --quiet --output "$work/all" "$work/c.yml" 2>&1) || status=$?
is 'also where the second one cannot be written' "$status:$err:$(ls "$work/all")" \
        "1:vmctl: Cannot write '$work/all/q.vm': File too large. Nothing was written:"
run --output here "$work/c.yml"
is 'a relative directory' "$status:$out" 2:
printf 'vms: {m: [\n' >"$work/c.yml"
run "$work/c.yml"
like 'no YAML' "$status:$out:$err" "^1::$work/c.yml:2: no YAML: "
echo 'hosts: {}' >"$work/c.yml"
run "$work/c.yml"
like 'a file without machines' "$status:$out:$err" "^1::$work/c.yml: no machines are in it"
run "$work/nothing.yml"
is 'a file that is not there' "$status:$out" 3:
done_testing
