#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a release in dist/release: release.sh [--allow-dirty]
#
# The source tarball, the package for amd64 and arm64 (built on Debian 12, so that they install on Debian 12 and 13 and on
# Ubuntu 24.04), install.sh, which knows the sums of the packages, and SHA256SUMS over all of them. From the same commit
# the same bytes come out, whenever and wherever. Needs root, for the chroots; the first run also needs a mirror.

set -euo pipefail

cd "$(dirname "$0")"
die() { printf 'release.sh: %s\n' "$*" >&2; exit 1; }

version=$(<VERSION)
case ${1-} in
'') [ -z "$(git status --porcelain)" ] || die 'There are changes that are not committed. Commit them, or pass --allow-dirty' ;;
# What git knows, as it is in the working tree.
--allow-dirty) ;;
*) die "Unknown option '$1'" ;;
esac
[ "$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)" = "$version" ] || die 'debian/changelog and VERSION differ'
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct HEAD)}
export SOURCE_DATE_EPOCH

out=dist/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out"

# Order, times and owners are ours, and gzip keeps neither name nor time: the tarball is the same everywhere.
git ls-files -z | tar --null --files-from=- --create --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" \
        --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --transform="s,^,gpuvm-$version/,S" |
        gzip -9n >"$out/gpuvm-$version.tar.gz"

# The packages come from the tarball, so that they are what anybody else would build from it.
tar -C "$work" -xzf "$out/gpuvm-$version.tar.gz"
for arch in amd64 arm64; do
        deb=$(tests/package/build.sh --tree "$work/gpuvm-$version" bookworm "$arch")
        cp "$deb" "$out/"
done

# install.sh carries the sums; it is the only file that a user has to trust the transport for.
sed_script=
for arch in amd64 arm64; do
        sum=$(sha256sum "$out/gpuvm_${version}_$arch.deb" | cut -d' ' -f1)
        sed_script+="s/^release_sha256_$arch=.*/release_sha256_$arch=$sum/;"
done
sed "s/^release_version=.*/release_version=$version/;$sed_script" "$work/gpuvm-$version/install.sh" >"$out/install.sh"
chmod 755 "$out/install.sh"
for name in version sha256_amd64 sha256_arm64; do
        grep -qE "^release_$name=[0-9a-f.]+\$" "$out/install.sh" || die "install.sh has no line release_$name="
done

find "$out" -type f -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$out" && sha256sum ./*.tar.gz ./*.deb ./install.sh >SHA256SUMS)
cat "$out/SHA256SUMS"
