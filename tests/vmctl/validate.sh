#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What vmctl says of declared machines: validate.sh VMCTL SOURCE

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1
goldens=$2/tests/generator
work=$(mktemp -d)
at_exit rm -rf "$work"

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" validate "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
# refuses WHAT LINE TEXT EXTENDED-REGEX: of a machine with these lines below Kind=.
refuses() {
        printf '[Vm]\nKind=debian\n%b' "$3" >"$work/x.vm"
        run "$work/x.vm"
        is "$1: exit status" "$status:$out" 1:
        like "$1: named" "$err" "^vmctl: $work/x.vm:$2: $4"
        is "$1: and nothing else" "$(wc -l <<<"$err")" 1
}

run --root "$goldens/34-machines"
is 'machines that are well' "$status:$out:$err" '0:llm-01: valid
talos-01: valid
vendor: valid:'
run --root "$goldens/34-machines" --quiet
is 'quietly' "$status:$out:$err" '0::'
run --root "$goldens/34-machines" llm-01
is 'one of them' "$status:$out:$err" '0:llm-01: valid:'
run --root "$goldens/34-machines" masked
is 'one that is masked is none' "$status:$out" 3:
like 'which is said' "$err" "No machine 'masked' is declared"
run --root "$goldens/34-machines" --json vendor
is 'as JSON, with its drop-ins' "$status:$(jq -c . <<<"$out")" '0:[{"name":"vendor","valid":true,"files":["/usr/lib/gpuvm/vms/vendor.vm","/etc/gpuvm/vms/vendor.vm.d/10-later.conf"],"problems":[]}]'
run --root "$goldens/01-nothing"
is 'none at all' "$status:$out:$err" '0::'

run --root "$goldens/36-broken-machines"
is 'broken ones' "$status:$out" '1:good: valid'
is 'told as the generator tells them' "${err//vmctl: /}" "$(sed 's/^gpuvm-generator: //' "$goldens/36-broken-machines/problems")"
run --root "$goldens/36-broken-machines" --json typo
is 'problems as JSON' "$status:$(jq -c '.[0].problems[1]' <<<"$out")" \
        "1:{\"file\":\"/etc/gpuvm/vms/typo.vm\",\"line\":3,\"text\":\"Unknown key 'Memmory' in section [Vm], did you mean 'Memory=' of [Vm]?\"}"
run --root "$goldens/35-machines-that-share"
is 'two that want one GPU at boot' "$status:$(wc -l <<<"$out")" 1:7
like 'both are named' "$err" '/c.vm:8: c shares GPU 0000:01:00.0, .* with a, .*/a.vm:8'
run --root "$goldens/35-machines-that-share" c
is 'each alone is well' "$status:$out:$err" '0:c: valid:'

refuses 'no number' 3 'Cpus=lots\n' "'lots' is no number of CPUs for Cpus="
refuses 'too little' 4 'Cpus=4\nMemory=12\n' '.*Memory='
refuses 'an address that is none' 4 '[Network]\nAddress=192.0.2.400\n' "'192.0.2.400' is no address"
refuses 'a MAC address of several' 4 '[Network]\nMac=01:00:00:00:00:00\n' "'01:00:00:00:00:00' is no MAC address"
refuses 'a port that is none' 5 '[Guest]\nPackages=vim=2:9.1-1 curl\nFirewall=80 nothing\n' "'nothing' is no port .* for Firewall="
refuses 'what other machines do not have' 4 '[Llm]\nSwap=4G\n' 'Swap= is for machines of the kind llm'
printf '[Vm]\nKind=llm\n[Gpu]\nGpu=none\n[Llm]\nEngine=both\n' >"$work/x.vm"
run "$work/x.vm"
like 'vLLM without a GPU' "$status:$err" "^1:vmctl: $work/x.vm:[0-9]+: vLLM needs a GPU, and the machine has none: Engine=ollama does without"
# Machines in the documentation, each a block of its own.
awk -v to="$work/example-" '/^```/ { n += inside; inside = 0; next }
        /^\[Vm\]$/ { inside = 1 }
        inside { print >(to n ".vm") }' "$2"/docs/man/*.scd "$2"/docs/*.md
is 'machines in the documentation' "$(find "$work" -name 'example-*.vm' | wc -l)" 2
for example in "$work"/example-*.vm; do
        run "$example"
        is "$(grep -c . "$example") lines of it" "$status:$out:$err" "0:$(basename "$example" .vm): valid:"
done
is 'which are the same' "$(sort -u "$work"/example-*.vm)" "$(sort "$work/example-0.vm" | uniq)"
printf '[Vm]\nKind=llm\n[Guest]\nFirewall=\n[Llm]\nListen=192.0.2.7\nVllmArguments=--max-model-len=8192 --dtype=half\nDriverUpdates=no\n' >"$work/x.vm"
run "$work/x.vm"
is 'a machine for language models' "$status:$out:$err" '0:x: valid:'
# refuses_of KIND LINE TEXT EXTENDED-REGEX: one of that kind.
refuses_of() {
        printf '[Vm]\nKind=%s\n%b' "$1" "$3" >"$work/x.vm"
        run "$work/x.vm"
        like "$1: $3" "$status:$out:$err" "^1::vmctl: $work/x.vm:$2: $4$"
}
refuses_of ubuntu 3 'Release=99\n' "'99' is no release of ubuntu for Release=: these are known: .*24.04.*"
refuses_of talos 4 '[Talos]\nVersion=abc\n' "'abc' is no release of Talos for Version=; 'v1.13.9' would be"
refuses_of talos 4 '[Talos]\nSchematic=xyz\n' "'xyz' is no schematic for Schematic=: 64 hex digits, .*"
refuses_of debian 4 '[Guest]\nUser=root\n' "'root' is no name for a user in the guest, for User="
refuses_of talos 4 '[Guest]\nPackages=vim\n' 'Packages= is for machines of the kind ubuntu, debian, llm or worker'
refuses_of llm 4 '[Guest]\nUserData=/etc/data\n' 'UserData= is for machines of the kind ubuntu, debian or worker'
refuses_of llm 4 '[Guest]\nCudaToolkit=12.4\n' "'12.4' is too old for CudaToolkit= on Ubuntu: 12.6 or newer"
refuses_of debian 5 '[Gpu]\nGpu=none\nRom=off\n' 'Rom= is for a card, and the machine is to have none'
refuses_of debian 5 '[Gpu]\nGpu=any\nRom=off\n' 'Rom= is for one card, which Gpu= has to name'
refuses_of debian 3 'Server=yes\n' 'Server= is for machines of the kind ubuntu'
refuses 'what only workers join with' 4 '[Guest]\nJoin=/etc/join\n' 'Join= is for machines of the kind worker'
printf '[Vm]\nKind=worker\n[Guest]\nJoin=/etc/join\nUserData=/etc/data\n' >"$work/x.vm"
run "$work/x.vm"
like 'and user-data in its place' "$status:$err" "^1:vmctl: $work/x.vm:4: Join= is told to cloud-init, and UserData= is in its place"
sed -i /UserData/d "$work/x.vm"
run "$work/x.vm"
is 'a worker with what it joins with' "$status:$out:$err" '0:x: valid:'
refuses 'a slip' 3 'Memroy=4G\n' "Unknown key 'Memroy' in section \[Vm\], did you mean 'Memory='"
run "$work/nothing.vm"
is 'a file that is not there' "$status:$out" 3:
mkfifo "$work/pipe.vm"
run "$work/pipe.vm"
is 'one that is no file' "$status:$out" 1:
done_testing
