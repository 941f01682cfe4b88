#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One command makes a release, and twice the same one: check-release.sh
#
# Runs in a clone, so that dist/release and the working tree of whoever runs this stay as they are.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" -eq 0 ] || skip_all 'needs root, for a chroot'
command -v mmdebstrap >/dev/null || skip_all 'no mmdebstrap here'
git -C "$top" rev-parse HEAD >/dev/null 2>&1 || skip_all 'not a git checkout'

work=$(mktemp -d)
at_exit rm -rf "$work"
version=$(<"$top/VERSION")

# release NAME: what one run makes, from a fresh copy of what git knows, in $work/NAME.
release() {
        git clone --quiet "$top" "$work/clone-$1"
        git -C "$top" ls-files -z | tar -C "$top" --null --files-from=- -c | tar -C "$work/clone-$1" -x
        if ! "$work/clone-$1/release.sh" --allow-dirty >"$work/log" 2>&1; then
                not_ok "release.sh, run $1" "$(tail -n 20 "$work/log")"
                done_testing
                exit 1
        fi
        ok "release.sh, run $1"
        mv "$work/clone-$1/dist/release" "$work/$1"
}

release one
cd "$work/one"
is 'these files' "$(printf '%s ' *)" \
        "SHA256SUMS gpuvm-$version.tar.gz gpuvm_${version}_amd64.deb gpuvm_${version}_arm64.deb install.sh "
check 'the sums are right' sha256sum --quiet -c SHA256SUMS
check 'the tarball is whole' gzip -t "gpuvm-$version.tar.gz"
for arch in amd64 arm64; do
        deb=gpuvm_${version}_$arch.deb
        is "$deb is for $arch" "$(dpkg-deb -f "$deb" Package Version Architecture | paste -sd' ')" \
                "Package: gpuvm Version: $version Architecture: $arch"
        check "install.sh knows the sum of $deb" grep -q "$(sha256sum "$deb" | cut -d' ' -f1)" install.sh
        dpkg-deb -x "$deb" "$work/$arch"
        machine=$(find "$work/$arch" -path '*lib/gpuvm/*' -type f -exec readelf -h {} + | sed -n 's/.*Machine: *//p' | sort -u)
        case $arch in amd64) want='Advanced Micro Devices X86-64' ;; arm64) want=AArch64 ;; esac
        is "its programs are for $arch" "$machine" "$want"
done
is 'both packages have the same files' "$(cd "$work/amd64" && find . -type f | sort)" "$(cd "$work/arm64" && find . -type f | sort)"
check 'install.sh is whole' bash -n install.sh

release two
is 'a second release has the same bytes' "$(<"$work/two/SHA256SUMS")" "$(<"$work/one/SHA256SUMS")"
done_testing
