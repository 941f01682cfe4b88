# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# How long a host is looked at, with all that is asked of others; and a recorded one, whose files alone count.

bench_check() {
        local vmctl=$build/helpers/vmctl said

        said=$("$vmctl" check --quiet 2>/dev/null | cut -c1-20 | tr '|\n' ' ,' | cut -c1-160) || true
        row 'vmctl check of this machine' "$(wall_ms '' 20 "$vmctl" check)" ms 300 "$said"
        row 'vmctl check of a board with NVSwitches, recorded' "$(wall_ms '' 20 "$vmctl" check --root "$top/tests/hosts/nvswitch-board")" ms 100
        row 'vmctl check of that, and its bundle' \
                "$(wall_ms '' 20 "$vmctl" check --root "$top/tests/hosts/nvswitch-board" --bundle "$work/bundle.tgz")" ms 300
        row 'the same by a shell script, which judges nothing' "$(wall_ms '' 20 bash "$top/tests/bench/checks.sh" "$top/tests/hosts/nvswitch-board")" ms -
        if type -P virt-host-validate >/dev/null; then
                row 'virt-host-validate qemu' "$(wall_ms '' 20 virt-host-validate qemu)" ms -
        fi
        rm -f "$work/bundle.tgz"
}
