# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work and top are bench.sh's
# A card that is put into a machine that runs, by the kernel's own event: real systemd and udevd in a container. What looks
# for the end of it does so each 20 ms; one that is late is tried again, as the machine may be busy.

bench_hotplug() {
        bash "$top/tests/container/hotplug.sh" trixie >"$work/hotplug" ||
                { echo "bench.sh: hotplug failed: $(grep -A5 '^not ok' "$work/hotplug")" >&2; return 1; }
        hotplug_of() { sed -n "s/^# $1: \([0-9]*\) ms$/\1/p" "$work/hotplug"; }
        row 'a GPU is put in: event to active unit, which finds all in order' "$(hotplug_of real)" ms 2000 'exclusive'
        row 'a GPU is put in: event to the line of vmctl events' "$(hotplug_of told)" ms 2000 'flexible'
        row 'a GPU is pulled out: event to inactive unit' "$(hotplug_of real-pulled)" ms 2000
}
