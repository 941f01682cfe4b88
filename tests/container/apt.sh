#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# packages as a unit, with a real apt and dpkg that are cut, killed and kept waiting: apt.sh RELEASE [SECONDS-KEPT-WAITING]
#
# The archive is a directory with packages of the real names, whose maintainer scripts take their time.
#
# shellcheck disable=SC2317,SC2016 # the steps are called inside the container; dpkg-query has ${} of its own
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
command -v dpkg-scanpackages >/dev/null || skip_all 'needs dpkg-dev'
release=${1:-trixie}
held=${2:-15}

# package NAME SECONDS [DEPENDS]: its postinst takes that long, and says when it started.
package() {
        local tree=$work/$1

        mkdir -p "$tree/DEBIAN"
        cat >"$tree/DEBIAN/control" <<C
Package: $1
Version: 99
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: stand-in
C
        [ -z "${3-}" ] || echo "Depends: $3" >>"$tree/DEBIAN/control"
        printf '#!/bin/sh\n: >/run/in-%s\nsleep %s\n' "$1" "$2" >"$tree/DEBIAN/postinst"
        chmod 755 "$tree/DEBIAN/postinst"
        dpkg-deb --root-owner-group -b "$tree" "$machine/srv/archive/$1_99_all.deb" >/dev/null
}

machine_new "$release"
work=$(mktemp -d)
at_exit rm -rf "$work"
mkdir -p "$machine/srv/archive"
rm -rf "$machine"/etc/apt/sources.list*
mkdir "$machine/etc/apt/sources.list.d"
printf 'Types: deb\nURIs: file:/srv/archive\nSuites: ./\nTrusted: yes\n' >"$machine/etc/apt/sources.list.d/local.sources"
for tool in ca-certificates iproute2 kmod; do
        [ "$(chroot "$machine" dpkg-query -W -f '${db:Status-Abbrev}' "$tool" 2>/dev/null)" = 'ii ' ] || package "$tool" 0
done
package pciutils 20 libslow
package libslow 0
package other "$held"
echo "$held" >"$shared/held"
(cd "$machine/srv/archive" && dpkg-scanpackages -m . 2>/dev/null >Packages)
is "$release: the stand-in is not there yet" "$(chroot "$machine" dpkg-query -W -f '${db:Status-Abbrev}' pciutils 2>/dev/null | cut -c2)" ''

wait_for() {
        for _ in $(seq 1200); do
                [ ! -e "$1" ] || return 0
                sleep 0.1
        done
        echo "never: $1"
}

state() {
        echo "$1: $(dpkg-query -W -f '${Status}' pciutils 2>&1)"
}

# A postinst is running, and everything of the unit is killed at once.
killed() {
        systemctl start --no-block gpuvm-packages.service
        wait_for /run/in-pciutils
        systemd-inhibit --list --no-legend | grep -q 'gpuvm .*shutdown:sleep .*block' && echo inhibited
        sleep 4
        systemctl show --value -p StatusText gpuvm-packages.service
        systemctl kill --signal=KILL gpuvm-packages.service
        while [ "$(systemctl is-active gpuvm-packages.service)" = activating ]; do
                sleep 0.1
        done
        state killed
        systemd-inhibit --list --no-legend | grep -q 'gpuvm ' || echo free
        rm -f /run/in-pciutils
        # The power goes in the next one.
        systemctl start --no-block gpuvm-packages.service
        wait_for /run/in-pciutils
        state cut
        sync
        echo b >/shared/ready
        systemctl reboot --force --force
}
machine_boot killed
is "$release: killed and cut in a maintainer script" "$(grep -v '%' <<<"$output")" 'inhibited
killed: install ok half-configured
free
cut: install ok half-configured'
like "$release: systemctl status shows how far it is" "$output" '\([0-9]+ %\)'

converges() {
        systemctl start gpuvm-packages.service
        systemctl show --value -p Result gpuvm-packages.service
        state converged
        dpkg --audit
        grep -al pciutils -r /var/lib/gpuvm/ledger | wc -l
        systemctl start gpuvm-packages.service
        sed -n 's/.*"action".*/change/p' /run/gpuvm/phases/packages.json | wc -l
        # What came with it goes with it.
        gpuvm-undo packages >/dev/null 2>&1 || echo "undo failed"
        dpkg-query -W -f '${Package}: ${Status}\n' pciutils libslow 2>&1 | grep ' installed' || echo undone
        waits
}

# Another apt is at work.
waits() {
        local started

        apt-get -q -y install other >/dev/null 2>&1 &
        wait_for /run/in-other
        started=$SECONDS
        systemctl start gpuvm-packages.service
        [ $((SECONDS - started)) -ge $(($(</shared/held) - 3)) ] && echo waited
        systemctl show --value -p Result gpuvm-packages.service
        state 'at last'
}
machine_boot converges
is "$release: the next start converges, and waits for another apt" "$output" 'success
converged: install ok installed
1
0
undone
waited
success
at last: install ok installed'
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 60 "$shared/stderr")"
done_testing
