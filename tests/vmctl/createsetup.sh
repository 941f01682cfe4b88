#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# create --wait of a guest that sets itself up, apply --wait, and what becomes of their seeds, with a real libvirtd and QEMU:
# createsetup.sh VMCTL FAKEAGENT
#
# The machine is real and empty; the guest whose agent answers is a directory (../mock/fakeagent.c), and this script writes there
# what the guest's steps would. FAKEAGENT: the directory of the library.
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"
fakeagent=$(realpath "$2")
export fakeagent FAKEAGENT_ROOT=/run/guest
# The agent is not libvirtd's business, whatever meson thinks.
unset LD_LIBRARY_PATH

vm() {
        env LD_PRELOAD="$preload" LD_LIBRARY_PATH="$fakeagent" "$vmctl" "$@" </dev/null
}

# step NAME WORD TIME TOLD: what the guest writes down; then until that is told.
step() {
        echo "$1 $2 $3" >>/run/guest/var/lib/gpuvm-setup/steps
        for _ in $(seq 600); do
                ! grep -q -- "$4" /run/said || return 0
                sleep 0.1
        done
        echo "$1 $2: not told"
}
# created NAME [ARGUMENT...]: vmctl create in the background; what it says is in /run/said.
created() {
        rm -f /run/guest/var/lib/gpuvm-setup/steps
        # Not what the one before has said, however late this one begins.
        : >/run/said
        vm create llm "${standard[@]}" --firmware bios --name "$1" --ip 192.0.2.9/24 --gateway 192.0.2.1 --wait "${@:2}" >/run/said 2>&1 &
}
# ended: its status, and what it said of the setup.
ended() {
        local status=0

        wait %% || status=$?
        grep -E "setup|step|went off|booted|whole|engines|$1: |is running" /run/said | sed -E 's/vmctl: //; s/after [0-9]+ s/after N s/'
        echo "status: $status $(virsh -q -c qemu:///system domstate "$1") $(ls $pool/"$1"*.iso 2>/dev/null)"
        vm delete --yes --force --quiet "$1"
}
# seed NAME WORD: whether there is a seed, in the drive now and from its next start on, and in how many places it says that.
seed() {
        local file=$pool/$1-seed.iso

        echo "seed: $(virsh -q -c qemu:///system "domblklist $1; domblklist --inactive $1" | awk '$1 == "sda" { n = split($2, l, "/"); print l[n] }' | paste -sd' ')" \
                "$([ ! -e "$file" ] || strings "$file" | grep -c "$2")"
}
# applied ARGUMENT...: what vmctl apply says, and its status.
applied() {
        local status=0

        vm apply "$@" >/run/said 2>&1 || status=$?
        grep -vE 'Units do not know|^  |E: Unable|apt did not' /run/said | sed 's/ It runs, and .*//'
        echo "status: $status"
}
frozen() {
        find /etc/libvirt/qemu "$pool" -type f -exec sha256sum {} + | sort
}
# talos NAME ARGUMENT...
talos() {
        local status=0

        vm create talos --image /var/cache/base.qcow2 --memory 128 --cpus 1 --no-gpu --firmware bios --ip 192.0.2.9/24 --gateway 192.0.2.1 \
                --wait --timeout 60 --name "$@" >/run/said 2>&1 || status=$?
        echo "status: $status $(grep -oE 'The seed.*stays|nodes 192.0.2.9 .*yaml' /run/said)"
}
real() {
        ground
        network
        mkdir -p /run/guest/{bin,var/lib/gpuvm-setup,run/cloud-init}
        : >/run/guest/agent
        ip route add local 192.0.2.9/32 dev lo
        python3 -m http.server 22 >/dev/null 2>&1 &
        printf '#!/bin/sh\necho "E: Unable to locate \033[2mpackage"\necho "gpuvm: apt did not install zstd"\n' >/run/guest/bin/journalctl
        chmod +x /run/guest/bin/journalctl
        printf '{"v1":{"stage":"modules-final"}}' >/run/guest/run/cloud-init/status.json

        echo '-- well'
        mkdir '/run/my keys'
        (umask 077 && echo key-1 >'/run/my keys/llm key')
        created well --timeout 120 --api-key-file '/run/my keys/llm key'
        step boot start 100 'is at step boot'
        step boot 'done' 130 'has booted'
        step firewall start 130 'is at step firewall'
        step firewall 'done' 131 'done step firewall'
        step ollama start 131 'is at step ollama'
        # It restarts itself meanwhile: nobody answers.
        mv /run/guest/agent /run/guest/asleep
        sleep 3
        mv /run/guest/asleep /run/guest/agent
        step ollama 'done' 170 'done step ollama'
        step engines start 170 'is at step engines'
        step engines 'done' 171 'engines in 40'
        ended well

        echo '-- fails'
        created fails --timeout 120
        step firewall start 100 'is at step firewall'
        step firewall failed 110 'failed at'
        ended fails

        echo '-- late'
        created late --timeout 8
        step firewall start 100 'is at step firewall'
        ended late

        echo '-- off'
        created off --timeout 120
        step firewall start 100 'is at step firewall'
        virsh -q -c qemu:///system destroy off
        ended off

        echo '-- declared'
        mkdir -p /run/gpuvm/vms
        printf '%s\n' '[Vm]' Kind=llm Image=/var/cache/base.qcow2 Cpus=1 Memory=128 Firmware=bios '[Gpu]' Gpu=none '[Network]' \
                Address=192.0.2.9/24 Gateway=192.0.2.1 '[Guest]' "SshKey=$key" '[Llm]' 'ApiKeyFile=/run/my keys/llm key' >/run/gpuvm/vms/declared.vm
        rm /run/guest/var/lib/gpuvm-setup/steps
        vm apply --quiet >/run/said 2>&1 || cat /run/said
        seed declared key-1
        for name in boot firewall ollama engines; do printf '%s\n' "$name start 7" "$name done 9"; done >/run/guest/var/lib/gpuvm-setup/steps
        vm apply --wait --timeout 0.x 2>&1
        applied --dry-run --wait
        seed declared key-1
        applied --wait --timeout 60
        seed declared key-1
        frozen >/run/before
        applied --wait --quiet --timeout 60
        frozen | diff /run/before - && echo 'once more changes nothing'
        printf 'firewall start 7\nfirewall failed 9\n' >/run/guest/var/lib/gpuvm-setup/steps
        applied --wait --timeout 60
        virsh -q -c qemu:///system destroy declared
        applied --wait
        vm delete --yes --quiet declared
        rm /run/gpuvm/vms/declared.vm

        # Its API answers with a machine config and without; its agent with one alone.
        echo '-- Talos'
        printf 'version: v1alpha1\nmachine:\n  token: secret-1\n' >/run/machine.yaml
        python3 -m http.server 50000 >/dev/null 2>&1 &
        talos configured --machine-config /run/machine.yaml
        seed configured secret-1
        vm delete --yes --force --quiet configured
        mv /run/guest/agent /run/guest/asleep
        talos unknown --machine-config /run/machine.yaml --timeout 3
        seed unknown secret-1
        vm delete --yes --force --quiet unknown
        talos waits
        seed waits 192.0.2.9
        kill %1 %%
}
create_real "$work" 400 step created ended seed applied frozen talos
[ "$status" -ne 77 ] || skip_all 'libvirt, QEMU or namespaces are not there'
is 'it ends well' "$status" 0
is 'each step is told, and how one failed' "$got" "-- well
  well is at step boot of its setup
  well has booted in 30 s of at most 300
  well is at step firewall of its setup
  well has done step firewall in 1 s
  well is at step ollama of its setup
  well has done step ollama in 39 s
  well is at step engines of its setup
  well has done step engines in 1 s
  well has installed its engines in 40 s of at most 900
well is running. 'vmctl console well' shows it, 'vmctl ip list' its address.
status: 0 running 
-- fails
  fails is at step firewall of its setup
fails: E: Unable to locate ?[2mpackage
fails: gpuvm: apt did not install zstd
'fails' failed at step firewall of its setup. It runs, and 'vmctl ssh fails' enters it: 'journalctl -u gpuvm-setup@firewall' in the guest tells why; 'systemctl start gpuvm-setup.target' there goes on
status: 1 running 
-- late
  late is at step firewall of its setup
'late' is not set up after N s: it is at step firewall. It goes on; 'vmctl check late' tells how far it is
status: 1 running 
-- off
  off is at step firewall of its setup
'off' went off while it was set up; 'vmctl start off' starts it, and it goes on
status: 1 shut off 
-- declared
seed: declared-seed.iso declared-seed.iso 1
vmctl: '0.x' is no time for --timeout; '90' or '5min' would be
declared: as it is declared
status: 0
seed: declared-seed.iso declared-seed.iso 1
declared: as it is declared
status: 0
seed: - - 
status: 0
once more changes nothing
declared: as it is declared
vmctl: 'declared' failed at step firewall of its setup.
status: 1
declared: as it is declared
status: 0
-- Talos
status: 0 
seed: - - 
status: 0 The seed of 'unknown' stays
seed: unknown-seed.iso unknown-seed.iso 1
status: 0 nodes 192.0.2.9 --file controlplane.yaml
seed: waits-seed.iso waits-seed.iso 1"
done_testing
