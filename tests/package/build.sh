#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the package in a clean chroot of a release: build.sh [--source] [--tree DIR] RELEASE ARCHITECTURE
#
# RELEASE: bookworm, trixie, or noble from $GPUVM_UBUNTU_MIRROR. ARCHITECTURE: amd64, or arm64 (cross-built). The result
# goes to dist/RELEASE/; the last line on standard output is the path of the .deb. --tree: build that directory instead
# of what is checked out here.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
tree=$top
build=binary
while [ $# -gt 2 ]; do
        case $1 in
        --source) build=source,binary ;;
        --tree) tree=$2; shift ;;
        *) break ;;
        esac
        shift
done
[ $# -eq 2 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
release=$1 arch=$2
# shellcheck source=chroot.sh
. "$top/tests/package/chroot.sh"

case $release in bookworm | trixie | noble) ;; *) die "Release '$release' is not known; bookworm, trixie and noble are" ;; esac
case $arch in amd64 | arm64) ;; *) die "Architecture '$arch' is not known; amd64 and arm64 are" ;; esac
[ "$(id -u)" -eq 0 ] || die 'This needs root, for the chroot'
[ "$release/$arch" != noble/arm64 ] || die 'Ubuntu keeps arm64 in another archive; build that on bookworm or trixie'
[ "$(dpkg --print-architecture)" = amd64 ] || die 'This builds on amd64 only'

architectures=amd64
[ "$arch" = amd64 ] || architectures=amd64,$arch
make_chroot "build-$release-$arch" buildd "$architectures" "$(build_depends "$arch" | paste -sd,)"

out=$top/dist/$release
mkdir -p "$out"
work=$(mktemp -d "$chroot/build-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/gpuvm"
# What git knows, changed or not: a build from a dirty tree is what a developer wants, and leftovers are not.
if git -C "$tree" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -C "$tree" ls-files -z --cached --others --exclude-standard |
                { cd "$tree" && xargs -0 ls -d 2>/dev/null | tar -cf - --no-recursion -T -; } |
                tar -C "$work/gpuvm" -xf - --no-same-owner
else
        tar -C "$tree" -cf - --exclude=./.git --exclude=./dist --exclude='./build*' . | tar -C "$work/gpuvm" -xf - --no-same-owner
fi

inside=/${work##*/}
say "Building for $release $arch"
# shellcheck disable=SC2016 # expanded inside
if ! in_chroot "$chroot" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 \
        DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)" \
        DEB_BUILD_PROFILES="$([ "$arch" = amd64 ] && echo nocheck || echo 'cross nocheck')" \
        ${SOURCE_DATE_EPOCH:+SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH"} \
        sh -c 'cd "$1/gpuvm" && dpkg-buildpackage --build="$2" --host-arch="$3" -us -uc' sh "$inside" "$build" "$arch" \
        >"$out/build-$arch.log" 2>&1; then
        grep -E '(error|warning): |^FAILED|^make: ' "$out/build-$arch.log" | cut -c1-200 | tail -n 20 >&2
        die "The build failed; the whole log is $out/build-$arch.log"
fi
find "$work" -maxdepth 1 -type f -name 'gpuvm*' -exec mv -f -t "$out" {} +
ls "$out"/gpuvm_*_"$arch".deb
