#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-preflight on every recorded machine, and on broken ones: preflight.sh DIRECTORY-OF-HELPERS
#
# What is expected of tests/hosts/NAME is in tests/hosts/NAME.json. After a change that is meant, run this with
# GPUVM_UPDATE_GOLDEN=1, and read the diff before it is committed.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

helper=$1/gpuvm-preflight
hosts=$(cd "$(dirname "$0")/../hosts" && pwd)
work=$(mktemp -d)
chmod 755 "$work"
at_exit rm -rf "$work"

# The record without what differs from run to run, keys in order.
canonical() {
        python3 -c 'import json, sys
record = json.load(sys.stdin)
del record["took_ms"]
json.dump(record, sys.stdout, indent=2, sort_keys=True)
print()'
}

# look TREE [OPTION...]: sets $status; standard output goes to $work/out, standard error to $work/err.
look() {
        status=0
        "$helper" --root="$1" "${@:2}" >"$work/out" 2>"$work/err" || status=$?
}

# finding CHECK: the level of the worst finding of that check.
finding() {
        python3 -c 'import json, sys
levels = ["none", "ok", "warn", "fail"]
found = [levels.index(f["result"]) for f in json.load(sys.stdin)["facts"]["findings"] if f["check"] == sys.argv[1]]
print(levels[max(found, default=0)])' "$1" <"$work/out"
}

listing() {
        find "$1" -printf '%P %y %m %s %T@ %l\n' | sort
}

# --- the trees are what their description makes
mkdir "$work/made"
"$hosts/make" "$work/made"
for tree in "$work"/made/*; do
        check "${tree##*/} is as 'make' writes it" diff -r --no-dereference "$tree" "$hosts/${tree##*/}"
done

# --- each machine
n=0
for tree in "$hosts"/*/; do
        name=$(basename "$tree")
        n=$((n + 1))
        listing "$tree" >"$work/before"
        look "$tree" --dry-run --json
        canonical <"$work/out" >"$work/got"
        [ -z "${GPUVM_UPDATE_GOLDEN-}" ] || cp "$work/got" "$hosts/$name.json"
        check "$name: the findings" diff "$hosts/$name.json" "$work/got"
        want=0
        ! grep -q '"result": "failed"' "$hosts/$name.json" || want=1
        is "$name: exit status" "$status" "$want"
        listing "$tree" >"$work/after"
        check "$name: nothing is changed" diff "$work/before" "$work/after"
done
check 'there are ten machines' test "$n" -ge 10

# --- the configuration decides what is asked
variant() {
        rm -rf "$work/tree"
        cp -a "$hosts/$1" "$work/tree"
        mkdir -p "$work/tree/etc"
        printf '%b' "$2" >"$work/tree/etc/gpuvm.conf"
        look "$work/tree" --dry-run --json
}
variant no-iommu '[Bootstrap]\nVfio=no\n'
is 'without VFIO no IOMMU is needed' "$status $(finding iommu) $(finding vfio)" '0 none ok'
variant iommu-off '[Bootstrap]\nOverrideIommuOff=yes\n'
is "an administrator's off is overridden with consent" "$status $(finding iommu)" '0 ok'
variant gpu-with-nic '[Gpu]\nMode=exclusive\n'
is 'a promised GPU in a group that the host needs' "$status $(finding gpu)" '1 fail'
variant gpu-with-nic '[Gpu]\nMode=exclusive\nAcceptSiblings=0000:02:00.0 0000:02:00.1\n'
is 'stays refused whatever siblings are accepted' "$status $(finding gpu)" '1 fail'
# With another kernel there are groups for the first time, and what ends its trial comes after.
mkdir -p "$work/tree/var/lib/gpuvm"
trial() {
        printf 'gpuvm-trial 1\nboot 11111111-1111-1111-1111-111111111111\nstage %s\nend\n' "$1" >"$work/tree/var/lib/gpuvm/kernel"
        look "$work/tree" --dry-run --json
}
trial ready
is 'but the trial of a kernel goes on' "$status $(finding gpu)" '0 warn'
trial lost
is 'and one that is over counts for nothing' "$status $(finding gpu)" '1 fail'
variant amd-two-twins '[Gpu 0000:21:00.0]\nMode=exclusive\n'
is 'one of two twins can be promised' "$status $(grep -c '"mode":"exclusive"' "$work/out")" '0 1'

# --- NVIDIA's driver, by the decision of its phase
signed() {
        find "$work/tree/sys/firmware/efi/efivars" -name 'SecureBoot-*' -exec cp "$work/on" {} +
        look "$work/tree" --dry-run --json
}
printf '\006\000\000\000\001' >"$work/on"
variant intel-one-gpu ''
is 'a driver that is built here' "$status $(finding driver)" '0 ok'
signed
is 'under Secure Boot stops the bootstrap before its first change' "$status $(finding driver)" '1 fail'
like 'with three ways out' "$(<"$work/out")" 'mokutil --import.*turn Secure Boot off.*DriverSource=none'
mkdir -p "$work/tree/var/lib/dkms"
head -c 700 /dev/urandom >"$work/tree/var/lib/dkms/mok.pub"
{ printf '\006\000\000\000headers'; cat "$work/tree/var/lib/dkms/mok.pub"; } \
        >"$work/tree/sys/firmware/efi/efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"
signed
is 'but not where the firmware knows the key' "$status $(finding driver)" '0 ok'
variant intel-one-gpu '[Gpu]\nMode=exclusive\n'
signed
is 'nor where only VMs have GPUs' "$(finding driver)" ok
variant intel-one-gpu '[Bootstrap]\nNvidia=no\n'
signed
is 'nor with Nvidia=no' "$status $(finding driver)" '0 ok'
variant amd-two-twins ''
signed
is "Ubuntu may have signed modules: its phase will know" "$status $(finding driver)" '0 warn'
variant intel-one-gpu '[Gpu]\nDriverBranch=12\n'
is 'a branch that is none is told at once' "$status $(finding driver)" '1 fail'

# --- for real, on a copy
rm -rf "$work/tree"
cp -a "$hosts/intel-one-gpu" "$work/tree"
(cd "$work/tree" && find . -type f -exec sha256sum {} + | sort -k2) >"$work/before"
look "$work/tree"
is 'apply: exit status' "$status" 0
is 'apply: the facts may be read by anybody' "$(stat -c %a "$work/tree/run/gpuvm/facts.json")" 644
check 'apply: the facts are JSON' python3 -m json.tool "$work/tree/run/gpuvm/facts.json"
(cd "$work/tree" && find . -type f ! -path './run/gpuvm/*' ! -path './var/log/*' -exec sha256sum {} + | sort -k2) >"$work/after"
check 'apply: nothing else is changed' diff "$work/before" "$work/after"
rm -rf "$work/tree"
cp -a "$hosts/no-iommu" "$work/tree"
look "$work/tree"
is 'apply on a machine without IOMMU: exit status' "$status" 1
like 'apply on a machine without IOMMU: the remedy' "$(<"$work/err")" 'firmware setup: VT-d on Intel, AMD-Vi'
check 'a failure leaves the facts too' test -s "$work/tree/run/gpuvm/facts.json"

# --- what people see
look "$hosts/intel-one-gpu" --dry-run
like 'the table' "$(<"$work/out")" 'ok    iommu         on, with 10 groups'
is 'the table is all there is' "$(grep -c 'nothing to do' "$work/out" || true)" 0
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
        cp "$work/out" "$work/root"
        setpriv --reuid=65534 --regid=65534 --clear-groups "$helper" --root="$hosts/intel-one-gpu" --dry-run >"$work/out" || true
        check 'anybody sees the same' diff "$work/root" "$work/out"
        check_fails 'apply needs root' 1 setpriv --reuid=65534 --regid=65534 --clear-groups "$helper"
else
        skip 'anybody sees the same' 'needs root'
        skip 'apply needs root' 'needs root'
fi
check_fails 'an argument is bad usage' 2 "$helper" --dry-run surplus

# --- recorded here, replayed here; not what comes and goes: free space and running package managers
"$hosts/record" "$work/here" 2>/dev/null
"$helper" --dry-run 2>/dev/null | grep -vE '^[a-z]+ +(disk|packages) ' >"$work/live" || true
"$helper" --dry-run --root="$work/here" 2>/dev/null | grep -vE '^[a-z]+ +(disk|packages) ' >"$work/replayed" || true
check 'a recording of this machine says the same as the machine' diff "$work/live" "$work/replayed"

# --- bad input: each file of a machine empty, or full of anything
for kind in empty junk directory; do
        rm -rf "$work/tree"
        cp -a "$hosts/laptop" "$work/tree"
        while read -r -d '' file; do
                case $kind in
                empty) : >"$file" ;;
                junk) printf '\0\377\n=:[%%n \n\n0x \t- - -\n%s' "$file" >"$file" ;;
                directory) rm "$file" && mkdir "$file" ;;
                esac
        done < <(find "$work/tree" -type f -print0)
        look "$work/tree" --dry-run --json
        check "$kind files: ends by itself" test "$status" -le 1
        check "$kind files: still speaks JSON" python3 -m json.tool "$work/out"
        is "$kind files: no sanitizer spoke" "$(grep -c 'Sanitizer\|runtime error' "$work/err" || true)" 0
done
done_testing
