#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each program, unit and configuration file has its page, and the page knows each option: check-man.sh SOURCE PROGRAM...

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

man=$1/docs/man
units=$1/units
shift

builds() {
        scdoc <"$1" >/dev/null
}

for program; do
        name=${program##*/}
        # A phase's program is described where its unit is.
        page=
        for candidate in "$name@.service.8" "$name.8" "$name.service.8" "$name.1"; do
                [ ! -e "$man/$candidate.scd" ] || page=$man/$candidate.scd
        done
        if [ -z "$page" ]; then
                not_ok "$name has a page" "none of $name.8.scd, $name.service.8.scd, $name@.service.8.scd, $name.1.scd in docs/man"
                continue
        fi
        ok "$name has a page"
        [ "$name" != gpuvm-generator ] || continue
        missing=
        for option in $("$program" --help | grep -oE -- '--[a-z][a-z-]*' | sort -u); do
                grep -q -- "$option" "$page" || missing+="$option "
        done
        is "${page##*/} has each option" "$missing" ''
done

for unit in "$units"/*.in; do
        name=${unit##*/}
        name=${name%.in}
        check "$name has a page" test -e "$man/${name/%.timer/.service}.8.scd" # a timer and what it starts are one thing
        page=$(sed -n 's/^Documentation=man:\([^ (]*\)(\([0-9]\)).*/\1.\2/p' "$unit")
        check "$name: Documentation=man:$page is there" test -e "$man/$page.scd"
done

if command -v scdoc >/dev/null; then
        for page in "$man"/*.scd; do
                check "${page##*/} is good scdoc" builds "$page"
        done
        # shellcheck disable=SC2013 # names have no spaces
        for reference in $(grep -hoE '\*gpu[a-z@.-]*\*\([0-9]\)' "$man"/*.scd | sort -u); do
                name=$(sed -E 's/\*(.*)\*\(([0-9])\)/\1.\2/' <<<"$reference")
                check "$reference leads somewhere" test -e "$man/$name.scd"
        done
fi
done_testing
