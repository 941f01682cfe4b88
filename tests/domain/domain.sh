#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The XML of each shape of machine, to the letter, and what libvirt makes of it: domain.sh PRINT-DOMAIN
#
# GPUVM_UPDATE=1 writes what is expected anew: read the difference before it is committed.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
print=$1
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
at_exit rm -rf "$work"

# expect NAME ARGUMENTS...
expect() {
        "$print" "${@:2}" >"$work/$1.xml" || { not_ok "$1 is printed" "exit status $?"; return; }
        [ -z "${GPUVM_UPDATE-}" ] || cp "$work/$1.xml" "$here/$1.xml"
        is "$1" "$(cat "$work/$1.xml")" "$(cat "$here/$1.xml" 2>/dev/null)"
}

cases='talos desktop plain pinned store stored arm'
for name in $cases; do
        expect "$name" "$name"
done
expect emulated desktop qemu
expect hostdev hostdev
# A card that comes later, and leaves again: nothing else is changed, but that there is no balloon and that ports stay free.
"$print" plain | "$print" add >"$work/added.xml"
[ -z "${GPUVM_UPDATE-}" ] || cp "$work/added.xml" "$here/added.xml"
is 'with a card more' "$(cat "$work/added.xml")" "$(cat "$here/added.xml" 2>/dev/null)"
"$print" remove <"$work/added.xml" >"$work/removed.xml"
is 'and less' "$(tr -d ' \n' <"$work/removed.xml" | sed 's/<memballoon[^>]*>//')" \
        "$("$print" plain | tr -d ' \n' | sed 's/<memballoon[^>]*>//')"
check_fails 'which has none to lose' 1 "$print" remove <"$work/removed.xml"
check_fails 'nor gets one twice' 1 "$print" add <"$work/added.xml"
is 'what contradicts itself is refused' "$("$print" refused)" "$(printf '%d 1\n' {0..6})"

if [ -x "$(command -v virt-xml-validate)" ] && [ -e /usr/share/libvirt/schemas/domain.rng ]; then
        for name in $cases emulated added removed; do
                check "$name is valid by libvirt's schema" virt-xml-validate "$work/$name.xml" domain
        done
        sed 's/managed="no"/managed="perhaps"/' "$work/talos.xml" >"$work/broken.xml"
        check_fails 'which finds what is not' 3 virt-xml-validate "$work/broken.xml" domain
else
        skip "valid by libvirt's schema" 'needs virt-xml-validate'
fi

# libvirt's own parser checks what the schema does not. What it gives back has lost nothing: the functions of the cards
# at their places, and our metadata.
if [ -x "$(command -v virsh)" ]; then
        "$print" plain test | "$print" add >"$work/test.xml"
        virsh -q -c test:///default "define $work/test.xml; dumpxml debian-01" >"$work/back.xml" 2>&1
        is 'the card that came later: libvirt takes it' "$(grep -c '<hostdev' "$work/back.xml") $(grep -c 'gpuvm:gpu ' "$work/back.xml")" '2 1'
        for name in $cases; do
                "$print" "$name" test >"$work/test.xml"
                check "$name: libvirt takes it" virsh -q -c test:///default \
                        "define $work/test.xml; dumpxml $(sed -n 's/.*<name>\(.*\)<.*/\1/p' "$work/test.xml"); metadata $(sed -n 's/.*<name>\(.*\)<.*/\1/p' "$work/test.xml") urn:gpuvm:vm:1"
                virsh -q -c test:///default "define $work/test.xml; dumpxml $(sed -n 's/.*<name>\(.*\)<.*/\1/p' "$work/test.xml")" >"$work/back.xml" 2>&1
                is "$name: with all its functions" "$(grep -c '<hostdev' "$work/back.xml")" "$(grep -c '<hostdev' "$work/$name.xml")"
                is "$name: and its metadata" "$(grep -c 'gpuvm:' "$work/back.xml")" "$(grep -c 'gpuvm:' "$work/$name.xml")"
        done
else
        skip 'libvirt takes it' 'needs virsh'
fi
done_testing
