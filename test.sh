#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds gpuvm and runs its tests: sudo ./test.sh [--quick|--long]
#
# On a fresh Debian 12, 13 or Ubuntu 24.04: installs what the build and the tests need by apt, builds with the
# sanitizers by gcc and clang, and runs every suite. --quick: those that take a minute together; --long: also those
# that take hours. The last line is "N passed, N failed, N skipped"; a test that was skipped without leave
# (tests/may-skip) is a failure.

set -euo pipefail

cd "$(dirname "$0")"
build="build-test"
slow=(release package container cut powercut lab long)
passed=0 failed=0 skipped=0
mode=full

say() { printf '%s\n' "$*" >&2; }

case ${1-} in
'') ;;
--quick | --long) mode=${1#--} ;;
--help | -h) sed -n '4,9s/^# \{0,1\}//p' "$0" && exit 0 ;;
*) say "test.sh: unknown argument '$1'; --quick, --long or nothing" && exit 2 ;;
esac
[ $# -le 1 ] || { say "test.sh: one argument at most" && exit 2; }

# Installs those that are not there; an apt that has nothing to do is not even asked.
install_packages() {
        local missing=() package

        for package in "$@"; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
                        missing+=("$package")
        done
        [ ${#missing[@]} -gt 0 ] || return 0
        [ "$(id -u)" = 0 ] || { say "test.sh: not installed: ${missing[*]}. Run this with sudo once." && exit 1; }
        say "Installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 </dev/null ||
                { apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } >&2 </dev/null
}

# For the build, for the checks, and for what the slow suites set up.
tools=(build-essential clang clang-format meson pkgconf scdoc systemd udev libsystemd-dev libjson-c-dev libkmod-dev git
       libarchive-dev libcurl4-openssl-dev liblzma-dev libsmartcols-dev libxml2-dev libxml2-utils libyaml-dev
       kmod python3 shellcheck codespell strace xfsprogs e2fsprogs file man-db
       libvirt-dev libvirt-daemon libvirt-clients dnsmasq-base iptables qemu-utils
       openssh-client openssh-server ansible-core)
# systemd.pc and udev.pc moved there after Debian 12, and libvirt-daemon has its drivers in packages of their own.
mapfile -t -O ${#tools[@]} tools < <(apt-cache search --names-only \
        '^(systemd-dev|libvirt-daemon-driver-(qemu|network|nodedev|nwfilter|storage))$' 2>/dev/null | cut -d' ' -f1)
slow_tools=(mmdebstrap debian-archive-keyring systemd-container dpkg-dev qemu-system-x86 ovmf mtools
            dosfstools fdisk curl)

# The tests start an sshd of their own, in a namespace. A machine that had none goes on without.
without_sshd() {
        local units=(ssh.service ssh.socket)

        if [ -e /usr/sbin/sshd ] || [ "$(id -u)" != 0 ] || [ ! -d /run/systemd/system ]; then
                "$@"
                return
        fi
        systemctl mask --quiet --runtime "${units[@]}"
        "$@"
        systemctl unmask --quiet --runtime "${units[@]}"
        systemctl disable --quiet "${units[@]}"
}

# suite BUILD SUITE NAME: runs it and adds up what it saw.
suite() {
        local directory=$1 suite=$2 name=$3 began=$SECONDS counts jobs

        printf '== %s\n' "$name"
        rm -f "$directory/meson-logs/testlog.json"
        jobs=$(nproc)
        # Containers wait more than they work, and so does much of what talks to libvirt.
        [ "$suite" != container ] || [ "$jobs" -ge 4 ] || jobs=4
        [ "$suite" != helper ] || [ "$jobs" -ge 3 ] || jobs=3
        meson test -C "$directory" --no-rebuild --print-errorlogs --num-processes "$jobs" --suite "$suite" </dev/null || true
        if ! counts=$(python3 tests/count.py "$name" "$directory/meson-logs/testlog.json" tests/may-skip); then
                counts="0 1 0"
        fi
        # shellcheck disable=SC2086
        set -- $counts
        passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
        printf '== %s: %d passed, %d failed, %d skipped, %d s\n\n' "$name" "$1" "$2" "$3" $((SECONDS - began))
}

suites() {
        meson introspect "$build" --tests | python3 -c '
import json, sys
seen = {s.split(":")[-1]: None for test in json.load(sys.stdin) for s in test["suite"]}
print(*seen, sep="\n")'
}

# configure DIRECTORY COMPILER
configure() {
        local said

        if [ ! -e "$1/build.ninja" ]; then
                said=$(CC=$2 meson setup "$1" --native-file build-dev.ini 2>&1) || { echo "$said" && return 1; }
        fi
        ninja -C "$1" --quiet
}

without_sshd install_packages "${tools[@]}"
[ "$mode" = quick ] || install_packages "${slow_tools[@]}"
if ! configure $build gcc || ! configure $build-clang clang; then
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
fi
[ "$mode" != long ] || export GPUVM_LONG=1
if [ "$mode" != quick ]; then
        # The lab's machines get what is released: built once for all of them, on Debian 12.
        if deb=$(tests/package/build.sh bookworm amd64 | tail -n 1) && cp "$deb" $build/; then
                GPUVM_LAB_DEB=$PWD/$build/$(basename "$deb")
                export GPUVM_LAB_DEB
        fi
        # Several at a time, each with one CPU: more of those than there really are only wait for each other.
        export LAB_CPUS=1
fi

suite $build-clang unit "unit (clang)"
while read -r name; do
        case " ${slow[*]} " in
        *" $name "*) [ "$mode" != quick ] || continue ;;
        esac
        [ "$name" != long ] || [ "$mode" = long ] || continue
        suite $build "$name" "$name"
done < <(suites)

say "The whole took $((SECONDS / 60)) min $((SECONDS % 60)) s."
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
