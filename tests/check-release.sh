#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is shipped: a release build, its warnings, its hardening and what each program links to.
# check-release.sh SOURCE BUILD [COMPILER]
#
# The tree is kept in BUILD/release-COMPILER, so that a second run compiles what has changed only.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

source=$1 build=$2/release-${3:-gcc}
cd "$source"
[ -e "$build/build.ninja" ] ||
        check "configure for ${3:-gcc}" env CC="${3:-gcc}" meson setup "$build" --buildtype=debugoptimized --werror \
                --prefix=/usr -Dtests=false -Ddocs=disabled
check 'builds without a warning' ninja -C "$build"
rm -rf "$build/dest"
check 'installs' env DESTDIR="$build/dest" meson install -C "$build" --no-rebuild --quiet

mapfile -t programs < <(find "$build/dest" -type f -perm -u+x -exec sh -c 'head -c4 "$1" | grep -q ELF' sh {} \; -print)
check 'there are programs' test "${#programs[@]}" -gt 0

# NEEDED of a program, without the C library.
needed() {
        readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux.*)$' | sort |
                paste -sd' '
}

for program in "${programs[@]}"; do
        name=${program##*/}
        like "$name is position independent" "$(readelf -hW "$program")" 'DYN \(Position-Independent'
        headers=$(readelf -lW "$program")
        like "$name has RELRO" "$headers" GNU_RELRO
        like "$name binds at start" "$(readelf -dW "$program")" 'FLAGS_1.*NOW'
        is "$name has no executable stack" "$(awk '/GNU_STACK/ { print $7 }' <<<"$headers")" RW
        symbols=$(readelf --dyn-syms -W "$program")
        like "$name has the stack protector" "$symbols" __stack_chk_fail
        like "$name is fortified" "$symbols" '__[a-z]+_chk(@| )'
        case $name in
        gpuvm-generator) allowed='' ;;
        # Both small, and for tables and images; libvirt, libcurl and others are loaded when a command needs them.
        vmctl) allowed='libjson-c.so.5 liblzma.so.5 libsmartcols.so.1 libsystemd.so.0' ;;
        *) allowed='libjson-c.so.5 libsystemd.so.0' ;;
        esac
        is "$name links to nothing else" "$(tr ' ' '\n' <<<"$(needed "$program")" | grep -vxF "${allowed// /$'\n'}" || true)" ''
done

# The directories are systemd's own, and nothing is put elsewhere.
places='etc/gpuvm\.conf|usr/(bin|lib/gpuvm)/gpu[a-z-]*|(usr/)?lib/systemd/(system|system-generators|catalog)/gpuvm[a-z@.-]*'
places+='|usr/bin/vmctl|usr/share/(bash-completion/completions/vmctl\.bash|zsh/vendor-completions/_vmctl|fish/vendor_completions\.d/vmctl\.fish)'
places+='|(usr/)?lib/udev/rules\.d/[0-9]*-gpuvm[a-z-]*\.rules|usr/lib/tmpfiles\.d/gpuvm\.conf|usr/share/polkit-1/rules\.d/60-gpuvm\.rules|usr/share/gpuvm/.*'
is 'installs nothing outside its places' "$(find "$build/dest" -type f -printf '%P\n' | grep -vxE "$places" || true)" ''
done_testing
