#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl on libvirt's test driver, whose machines are those of a file and live as long as a connection:
# vmctl.sh VMCTL SOURCE FAKEAGENT

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1
man=$2/docs/man/vmctl.1.scd fakeagent=$3
work=$(mktemp -d)
at_exit rm -rf "$work"

# machine NAME STATE METADATA: state 1 runs, 5 is off.
machine() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>%s</name><metadata>%s</metadata>
                <memory unit="KiB">1572864</memory><vcpu>3</vcpu><os><type>hvm</type></os>
                <devices><graphics type="vnc"/><interface type="network"><source network="default"/></interface></devices>
                <test:runstate>%s</test:runstate></domain>\n' "$1" "$3" "$2"
}
ours='<g:vm xmlns:g="urn:gpuvm:vm:1"'
{
        printf '<node><cpu><mhz>1</mhz><nodes>1</nodes><sockets>1</sockets><cores>2</cores><threads>1</threads><active>2</active><memory>3145728</memory></cpu>\n'
        machine talos-01 1 "$ours kind='talos' created='2026-11-21T20:40:00Z'><g:disk path='/srv/talos-01.qcow2'/>\
                <g:address cidr='203.0.113.7/32' gateway='203.0.113.1'/><g:gpu address='0000:01:00.0'/></g:vm>"
        machine ubuntu-desktop-01 1 "$ours kind='ubuntu'><g:disk path='/srv/u.qcow2'/><g:seed path='/srv/u-seed.iso'/>\
                <g:address cidr='203.0.113.8/24'/><g:image name='ubuntu 24.04'/><g:user name='ada'/></g:vm>"
        machine ubuntu-02 5 "$ours kind='ubuntu'/>"
        machine broken 5 "$ours/>"
        machine theirs 1 ''
        printf '<network><name>default</name><ip address="192.168.122.1" netmask="255.255.255.0">
                <dhcp><range start="192.168.122.2" end="192.168.122.254"/></dhcp></ip></network></node>\n'
} >"$work/node.xml"

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$("$vmctl" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
vm() {
        run -c "test:///$work/node.xml" "$@"
}

run list
if [ "$status" -eq 1 ] && [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library is not installed"
fi

# The table.
run
is 'no command: usage' "$status:$out" 2:
run lisst
is 'a slip is usage' "$status:$out" 2:
like 'and the command that was meant is named' "$err" "Did you mean 'list'\?"
run ip lisst
like 'of two words as well' "$err" "Did you mean 'ip list'\?"
run zzzzzzzz
like 'nonsense gets the way to the list' "$err" "'vmctl help' lists them"
run list --jsno
is 'an option that is none' "$status:$out" 2:
like 'names the one that was meant' "$err" "Did you mean '--json'\?"
run list --force
like 'an option of another command is none here' "$status:$err" "^2:.*no option '--force' here"
run stop
like 'too few arguments show the usage' "$status:$err" '^2:.*stop \[OPTIONS\.\.\.\] NAME\.\.\.'
run info a b
is 'and so do too many' "$status" 2
run list -c
like 'an option without its value' "$status:$err" '^2:.*needs a value'
run stop --timeout=soon talos-01
like 'a time that is none' "$status:$err" "^2:.*'soon'"

"$vmctl" --help | sed -n '/^Commands:/,/^$/p' | sed '/^  [^ ].*[^A-Z] [A-Z][a-z]/!{/^  [^ ]/{N;s/\n */  /}}' | sed -n 's/^  \([^ ].*[^ ]\)   *[A-Z].*/\1/p' | sed 's/ *$//' >"$work/commands"
check 'help lists commands' test "$(wc -l <"$work/commands")" -ge 10
sed 's/  .*//; s/\<[a-z-]\+\>/*&*/g; s/\* \*/ /g; s/^/*vmctl* [_OPTIONS_] /' "$work/commands" >"$work/synopsis"
is 'the synopsis of the manual is that of the table' \
        "$(sed -n '/^# SYNOPSIS/,/^# DESCRIPTION/p' "$man" | sed -n 's/ *++$//; /^\*vmctl\*/p')" "$(<"$work/synopsis")"
missing=
while read -r first second _; do
        [[ ${second-} =~ ^[a-z]+$ ]] || second=
        # shellcheck disable=SC2086 # one word or two
        "$vmctl" help "$first" $second >"$work/help" || missing+="help:$first "
        while read -r option; do
                grep -q -- "\*$option\*" "$man" || missing+="$option "
        done < <(grep -oE -- '--[a-z][a-z-]*' "$work/help" | sort -u)
        is "help $first $second: at most 80 columns" "$(awk 'length > 80' "$work/help")" ''
done <"$work/commands"
is 'each option of each command is in the manual' "$missing" ''

# Completion. What is installed is a copy: a new one is written by 'vmctl completion SHELL >FILE'.
for file in vmctl.bash _vmctl vmctl.fish; do
        shell=${file#*.}
        [ $file != _vmctl ] || shell=zsh
        run completion "$shell"
        is "completions for $shell" "$status:$err" 0:
        is "and those that are installed" "$(diff "$2/helpers/vmctl/completions/$file" - <<<"$out")" ''
        for word in list restart dry-run connect; do
                check "$shell knows $word" grep -q -e "$word" <<<"$out"
        done
        ! command -v "$shell" >/dev/null || check "$shell takes them" "$shell" -n <(printf '%s\n' "$out")
done
# A quote that ends a text too early leaves more words than there are; fish itself takes them.
# shellcheck disable=SC2016 # the inner bash expands it
is 'each text for fish is one word' "$("$vmctl" completion fish | bash -c 'complete() {
        while [ $# -gt 0 ]; do
                case $1 in
                -[cnlsad]) [ $# -ge 2 ] && shift 2 || { echo "nothing behind $1"; return; } ;;
                -[rf]) shift ;;
                *) echo "$1"; return ;;
                esac
        done
}; . /dev/stdin' 2>&1)" ''
run completion tcsh
is 'a shell that is not known' "$status" 2

# complete WORD...: what bash offers for the last word.
complete_words() {
        PATH=$work:$PATH bash -c 'compopt() { :; }; eval "$("$0" completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vmctl; printf "%s\n" "${COMPREPLY[@]}"' \
                "$vmctl" vmctl "$@" | tr '\n' ' '
}
printf '#!/bin/sh\n[ "$*" != "list --quiet" ] || printf "talos-01\\nubuntu-02\\n"\n' >"$work/vmctl"
chmod +x "$work/vmctl"
is 'bash completes a command' "$(complete_words res)" 'restart '
is 'the first word of one, once' "$(complete_words gp)" 'gpu '
is 'and its second after that' "$(complete_words gpu res)" 'reset '
is 'the name of a machine' "$(complete_words stop ta)" 'talos-01 '
is 'an option of the command' "$(complete_words stop --fo)" '--force '
is 'and none of another' "$(complete_words list --fo)" ' '
is 'a value' "$(complete_words completion zs)" 'zsh '
is 'behind an option with a value' "$(complete_words -c test:///x info ub)" 'ubuntu-02 '

# What is there.
vm list
is 'list' "$status" 0
is 'shows ours, by name' "$(awk 'NR > 1 { print $1 }' <<<"$out" | tr '\n' ' ')" 'talos-01 ubuntu-02 ubuntu-desktop-01 '
is 'with all that matters' "$(awk '$1 == "talos-01" { $1 = $1; print }' <<<"$out")" \
        'talos-01 talos running 3 1.5 GiB 0000:01:00.0 203.0.113.7/32'
like 'what is broken is told, and shown as others are' "$err" "'broken' says of itself is broken"
vm list --all
is 'all of them' "$(awk 'NR > 1 { print $1 }' <<<"$out" | tr '\n' ' ')" \
        'broken talos-01 theirs ubuntu-02 ubuntu-desktop-01 '
vm list --quiet
is 'names alone' "$(tr '\n' ' ' <<<"$out")" 'talos-01 ubuntu-02 ubuntu-desktop-01 '
vm list --all --json
is 'as JSON' "$(python3 -c 'import json, sys
for v in json.load(sys.stdin):
    assert v["gpu_wish"] is None
    print(v["name"], v["kind"], v["state"], v["cpus"], v["memory_kib"], v["gpus"], v["address"], v["image"], v["user"], v["created"], len(v["uuid"]))' <<<"$out")" \
        "broken None off 3 1572864 [] None None None None 36
talos-01 talos running 3 1572864 ['0000:01:00.0'] 203.0.113.7/32 None None 2026-11-21T20:40:00Z 36
theirs None running 3 1572864 [] None None None None 36
ubuntu-02 ubuntu off 3 1572864 [] None None None None 36
ubuntu-desktop-01 ubuntu running 3 1572864 [] 203.0.113.8/24 ubuntu 24.04 ada None 36"

# One without a reserved address is asked for it: a directory is its guest (../mock/fakeagent.c). What it says is its word.
mkdir "$work/guest"
export FAKEAGENT_ROOT=$work/guest
agent_says() {
        printf 'guest-network-get-interfaces {"return":[{"name":"eth0","ip-addresses":[%s]}]}\n' "$1" >"$work/guest/agent"
}
agent_says '{"ip-address":"\u001b[2J","prefix":24},{"ip-address":"fe80::1","prefix":64},{"ip-address":"192.168.122.7","prefix":24}'
{
        echo '<node>'
        machine debian-01 1 "$ours kind='debian'/>"
        machine debian-02 5 "$ours kind='debian'/>"
        machine theirs 1 ''
        printf '<network><name>default</name><ip address="192.168.122.1" netmask="255.255.255.0">
                <dhcp><range start="192.168.122.2" end="192.168.122.254"/></dhcp></ip></network></node>\n'
} >"$work/leased.xml"
LD_LIBRARY_PATH=$fakeagent run -c "test:///$work/leased.xml" list --all
is 'what runs shows what is known of it, what is off nothing' "$(awk 'NR > 1 { print $1, $NF }' <<<"$out" | tr '\n' ' ')" \
        'debian-01 192.168.122.7/24 debian-02 - theirs 192.168.122.7/24 '
LD_LIBRARY_PATH=$fakeagent run -c "test:///$work/leased.xml" list --json
is 'and JSON says from where; the reserved one is another member' "$(python3 -c 'import json, sys
for v in json.load(sys.stdin):
    print(v["name"], v["address"], [a["source"] for a in v["addresses"]])' <<<"$out")" "debian-01 None ['agent']
debian-02 None []"
rm "$work/guest/agent"

vm info ubuntu-desktop-01
is 'info' "$status" 0
for line in 'Kind        ubuntu' 'Image       ubuntu 24.04' 'User        ada' 'Disk        /srv/u.qcow2' 'Seed        /srv/u-seed.iso' \
        'Address     203.0.113.8/24 (reserved)' 'Memory      1.5 GiB' \
        "Screen      virt-viewer --connect test:///$work/node.xml --attach ubuntu-desktop-01"; do
        check "says $line" grep -qxF "$line" <<<"$out"
done
vm info --json talos-01
is 'info as JSON' "$(python3 -c 'import json, sys
v = json.load(sys.stdin)
print(v["disks"], v["seed"], v["gateway"], v["autostart"], v["addresses"][0]["source"])' <<<"$out")" \
        "['/srv/talos-01.qcow2'] None 203.0.113.1 False reserved"
vm info talos-02
like 'a machine that is not there' "$status:$err" "^3:.*Did you mean 'talos-01'\?"

# What was cut while it was made is shown as that.
mkdir -p "$work/cut/var/lib/gpuvm/creating"
uuid=5a1a3f0c-6f0b-4d0e-9a51-6b1f5d1b7a11
echo "machine $uuid" >"$work/cut/var/lib/gpuvm/creating/ubuntu-02"
{
        echo '<node>'
        machine ubuntu-02 5 "$ours kind='ubuntu'/>" | sed "s#</name>#&<uuid>$uuid</uuid>#"
        machine debian-01 5 "$ours kind='debian'/>"
        echo '</node>'
} >"$work/cut.xml"
cut_vm() {
        GPUVM_ROOT=$work/cut run -c "test:///$work/cut.xml" "$@"
}
cut_vm list
is 'what was cut is unfinished, what was not is not' "$(awk 'NR > 1 { print $1, $3, $4 }' <<<"$out" | grep -c unfinished):$(grep -c '^ubuntu-02 .* off, unfinished ' <<<"$out")" 1:1
cut_vm list --json
is 'as JSON' "$(python3 -c 'import json, sys; print([v["name"] for v in json.load(sys.stdin) if v["unfinished"]])' <<<"$out")" "['ubuntu-02']"
cut_vm info ubuntu-02
like 'and info tells what becomes of it' "$out" "Unfinished  it was cut .* the next 'vmctl create' or 'vmctl apply' takes it back"
cut_vm start ubuntu-02
like 'it is not started' "$status:$err" "'ubuntu-02' was cut while it was made"
echo nonsense >"$work/cut/var/lib/gpuvm/creating/ubuntu-02"
cut_vm start ubuntu-02
like 'nor if that cannot be read' "$status:$err" "/var/lib/gpuvm/creating/ubuntu-02'.*Bad message"

vm ip list
is 'addresses: reserved and leased, each once' "$(awk '$1 == "talos-01" { print $2, $3 }' <<<"$out" | tr '\n' ';' |
        sed -E 's/192\.168\.122\.[0-9]+/LEASED/')" '203.0.113.7/32 reserved;LEASED/24 lease;'
is 'a machine that is off has none' "$(awk '$1 == "ubuntu-02" { print $2 }' <<<"$out")" -
vm ip list --json
check 'as JSON' python3 -c 'import json, sys; assert [v["name"] for v in json.load(sys.stdin)][0] == "talos-01"' <<<"$out"

# What is done.
vm start ubuntu-02
is 'start' "$status:$out" '0:ubuntu-02 is running'
vm start talos-01
is 'one that runs is fine' "$status:$out" '0:talos-01 is running'
vm start --dry-run ubuntu-02
is 'a dry run says so' "$status:$out" '0:ubuntu-02 would be started'
vm stop talos-01 ubuntu-02
is 'stop' "$status:$out" "0:talos-01 is off
ubuntu-02 is off"
vm stop --force --quiet talos-01
is 'in silence' "$status:$out" 0:
vm stop nobody talos-01
is 'what fails does not keep the others' "$status:$out" '3:talos-01 is off'
vm restart talos-01
is 'restart' "$status:$out" "0:talos-01 is off
talos-01 is running"
vm stop --json talos-01 ubuntu-02 nobody
is 'as JSON' "$status:$(python3 -c 'import json, sys
print([(v["name"], v["state"], v["changed"], v["status"]) for v in json.load(sys.stdin)])' <<<"$out")" \
        "3:[('talos-01', 'off', True, 0), ('ubuntu-02', 'off', False, 0), ('nobody', None, False, 3)]"
vm restart --json talos-01
is 'and restart' "$status:$(tr -d ' \n' <<<"$out")" '0:[{"name":"talos-01","state":"running","changed":true,"status":0}]'
for command in start stop restart delete info ssh console; do
        vm "$command" theirs
        like "$command: a machine of others is left alone" "$status:$err" "^5:.*not made by gpuvm"
        vm "$command" broken
        like "$command: and so is one that says nonsense" "$status:$err" "^1:.*broken"
done

vm delete --yes talos-01
like 'delete refuses what runs' "$status:$err" '^4:.*Stop it first, or say --force'
vm delete ubuntu-02
like 'delete asks' "$status:$err" '^1:.*say --yes'
vm delete --dry-run --force ubuntu-desktop-01
is 'a dry run shows what would go' "$status:$out" "0:Would remove ubuntu-desktop-01:
  disk /srv/u.qcow2
  seed /srv/u-seed.iso
  the machine itself, with the variables of its firmware"
vm delete --yes --force ubuntu-desktop-01
is 'delete' "$status:$err" 0:

vm delete --yes --json ubuntu-02 talos-01
is 'as JSON' "$status:$(tr -d ' \n' <<<"$out")" \
        '4:[{"name":"ubuntu-02","removed":true,"status":0},{"name":"talos-01","removed":false,"status":4}]'

vm ssh --dry-run ubuntu-desktop-01
is 'ssh as the user of the guest' "$out" 'ssh -lada -- 203.0.113.8'
vm ssh --dry-run --user root ubuntu-desktop-01 ls -l --all
is 'a command keeps its options' "$out" 'ssh -lroot -- 203.0.113.8 ls -l --all'
vm ssh talos-01
like 'Talos has no ssh' "$status:$err" "^1:.*'talosctl --nodes 203.0.113.7"
vm ssh ubuntu-02
like 'what is off takes nobody in' "$status:$err" '^1:.*vmctl start ubuntu-02'
vm console --dry-run talos-01
is "the console is libvirt's" "$out" "virsh --connect test:///$work/node.xml console talos-01"

# The world around.
run -c qemu+unix:///system?socket=/nonexistent list
like 'no libvirt is told with the remedy' "$status:$err" '^1:.*Is libvirtd running\?'
status=0
"$vmctl" -c "test:///$work/node.xml" list >/dev/full 2>"$work/err" || status=$?
is 'a full disk is no success' "$status" 1
# A store of models that libvirt does not keep read-only: nobody sees from here how it is mounted.
# shares NAME MORE
shares() {
        machine "$1" 5 "$ours kind='llm'/>" |
                sed "s#<devices>#&<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><source dir='/srv/models'/><target dir='gpuvm-models'/>$2</filesystem>#"
}
{
        echo '<node>'
        shares plain ''
        shares kept '<readonly/>'
        echo '</node>'
} >"$work/shares.xml"
run -c "test:///$work/shares.xml" start plain
like 'what might be written to is left to its host' "$status:$err" "^1:.*'plain' shares '/srv/models', which has to be mounted read-only on its host.*'systemctl start gpuvm-vm@plain' there"
run -c "test:///$work/shares.xml" start kept
is 'what libvirt keeps read-only is not' "$status:$out:$err" '0:kept is running:'
done_testing
