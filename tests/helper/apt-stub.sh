#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Stands in for apt-get and dpkg below --root=DIR. Copied there; finds DIR in $GPUVM_ROOT.
#
# DIR/calls gets each command line. DIR/trouble.VERB, if there, is what VERB says on stderr before it fails; its first
# line is the number of times; DIR/delay is how long the installation says nothing. DIR/packages/NAME.deps names what comes along with NAME; DIR/upgrades has "Inst" lines.

set -euo pipefail
dir=$GPUVM_ROOT
status=$dir/var/lib/dpkg/status
printf '%s %s\n' "${0##*/}" "$*" >>"$dir/calls"
printf '%s\n' "DEBIAN_FRONTEND=${DEBIAN_FRONTEND-} NEEDRESTART_SUSPEND=${NEEDRESTART_SUSPEND-}" >"$dir/environment"

trouble() {
        local file=$dir/trouble.$1 times

        [ -e "$file" ] || return 0
        times=$(head -n 1 "$file")
        [ "$times" -gt 0 ] || return 0
        { echo $((times - 1)); tail -n +2 "$file"; } >"$file.new"
        mv "$file.new" "$file"
        tail -n +2 "$file" >&2
        exit 100
}

with_dependencies() {
        local name

        for name; do
                [ ! -e "$dir/packages/$name.deps" ] || cat "$dir/packages/$name.deps"
                echo "$name"
        done | sort -u
}

# Everything but PACKAGE's paragraph, then a new one.
set_status() {
        awk -v RS= -v ORS='\n\n' -v name="$1" '$0 !~ "^Package: " name "\n"' "$status" >"$status.new"
        [ -z "$2" ] || printf 'Package: %s\nStatus: install ok %s\nVersion: %s\n\n' "$1" "$2" "${3:-1.0}" >>"$status.new"
        # As dpkg does.
        sync "$status.new"
        mv "$status.new" "$status"
        sync "${status%/*}"
}

has_word() {
        local word=$1 i

        shift
        for i; do
                [ "$i" != "$word" ] || return 0
        done
        return 1
}

# This very file is installed under both names.
if has_word --configure "$@"; then
        [ "${DPKG_FRONTEND_LOCKED-}" = 1 ] || { echo 'dpkg: error: dpkg frontend lock was locked by another process' >&2; exit 2; }
        trouble configure
        sed -i 's/^Status: install ok half-configured$/Status: install ok installed/' "$status"
        rm -f "$dir"/var/lib/dpkg/updates/*
        exit 0
fi

packages=()
seen=
for i; do
        [ -z "$seen" ] || packages+=("$i")
        [ "$i" != -- ] || seen=1
done

if has_word update "$@"; then
        trouble update
        touch "$dir/var/lib/apt/lists/deb_Packages"
elif has_word --fix-broken "$@"; then
        trouble fix
        sed -i 's/^Status: install ok unpacked$/Status: install ok installed/' "$status"
elif has_word --simulate "$@"; then
        trouble simulate
        if has_word purge "$@"; then
                for i in "${packages[@]}"; do
                        echo "Purg $i [1.0]"
                        [ ! -e "$dir/packages/$i.rdeps" ] || sed 's/.*/Purg & [1.0]/' "$dir/packages/$i.rdeps"
                done
        elif has_word upgrade "$@"; then
                [ ! -e "$dir/upgrades" ] || cat "$dir/upgrades"
        else
                with_dependencies "${packages[@]}" | while read -r i; do
                        grep -qx "Package: $i" "$status" || echo "Inst $i (1.0 Debian:12/stable [amd64])"
                done
        fi
elif has_word purge "$@"; then
        for i in "${packages[@]}"; do
                set_status "$i" ''
        done
elif has_word upgrade "$@" || has_word --only-upgrade "$@"; then
        trouble upgrade
        sed -n 's/^Inst \([^ ]*\) \[[^]]*\] (\([^ ]*\) .*/\1 \2/p' "$dir/upgrades" | while read -r name version; do
                [ "${#packages[@]}" -eq 0 ] || has_word "$name=$version" "${packages[@]}" || continue
                set_status "$name" installed "$version"
        done
elif has_word install "$@"; then
        [ ! -e "$dir/delay" ] || sleep "$(cat "$dir/delay")"
        echo "pmstatus:dpkg:50.0:Unpacking" >&3
        trouble install
        for i in $(with_dependencies "${packages[@]}"); do
                set_status "$i" installed
        done
else
        echo "E: the stub does not know: $*" >&2
        exit 100
fi
