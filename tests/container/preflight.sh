#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-preflight.service in its own sandbox sees what the same program sees outside of it, and what it says is its own:
# preflight.sh RELEASE
#
# shellcheck disable=SC2317 # the step is called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
release=${1:-trixie}
machine_new "$release"
mkdir -p "$machine/etc/gpuvm.conf.d"
printf '[Bootstrap]\nVfio=no\n' >"$machine/etc/gpuvm.conf.d/50-test.conf"

in_and_out() {
        # A default route for the sandbox to lose; there is no interface but this one.
        ip route add default dev lo
        systemctl start gpuvm-preflight.service
        echo "$? $(stat -c %a /run/gpuvm/facts.json)"
        /usr/lib/gpuvm/gpuvm-preflight --dry-run --json >/shared/outside
        cp /run/gpuvm/facts.json /shared/inside
        systemctl start gpuvm-preflight.service
        echo "$?"
}
machine_boot in_and_out
is "$release: the unit does its work, twice" "$output" '0 644
0'

# Free space and memory move while one looks.
findings() {
        python3 -c 'import json, sys
facts = json.load(sys.stdin)
for f in facts.get("facts", facts)["findings"]:
    if f["check"] not in ("disk", "memory"):
        print(f["result"], f["check"], f["object"], f["text"])' <"$1"
}
like "$release: there was something to see" "$(findings "$shared/outside")" 'default route by lo'
like "$release: and a disk behind a PCI function" "$(findings "$shared/outside")" 'kept [0-9a-f:.]+ stays with the host: the disk'
is "$release: the sandbox hides nothing that counts" "$(findings "$shared/inside")" "$(findings "$shared/outside")"

# The last word of a program is often read when the program is gone: here always.
last_words() {
        systemctl kill --signal=STOP systemd-journald
        systemctl start gpuvm-preflight.service
        echo "$?"
        systemctl kill --signal=CONT systemd-journald
        journalctl --sync
        journalctl -b -o cat -u gpuvm-preflight.service -t gpuvm-preflight | tail -n 1
}
machine_boot last_words
like "$release: what it says is found by its unit, though it has ended" "$output" '^0.(Done|Nothing to do)'
done_testing
