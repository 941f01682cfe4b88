#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The package on a release: built in a clean chroot, looked at by lintian, installed, upgraded, removed and purged.
# check-package.sh RELEASE, with RELEASE bookworm, trixie or noble.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)
release=$1
# shellcheck source=chroot.sh
. "$top/tests/package/chroot.sh"
[ "$(id -u)" -eq 0 ] || skip_all 'needs root, for a chroot'
command -v mmdebstrap >/dev/null || skip_all 'no mmdebstrap here'
[ "$release" != noble ] || [ -n "${GPUVM_UBUNTU_MIRROR-}" ] || skip_all 'GPUVM_UBUNTU_MIRROR names no Ubuntu mirror'

work=$(mktemp -d)
at_exit rm -rf "$work"

# Ubuntu gets what a release of ours is: the package that was built on Debian 12.
built=$release
[ "$release" != noble ] || built=bookworm
deb=$("$top/tests/package/build.sh" --source "$built" amd64 2>"$work/log") || { diag "$(<"$work/log")"; exit 1; }
ok "builds on $built"
version=$(<"$top/VERSION")
is 'the package is named after VERSION' "${deb##*/}" "gpuvm_${version}_amd64.deb"

if [ "$release" = "$built" ]; then
        release=$built make_chroot "build-$built-amd64" buildd amd64 "$(build_depends amd64 | paste -sd,)"
        lint=$chroot/lint
        rm -rf "$lint"
        mkdir "$lint"
        cp "${deb%/*}/gpuvm_$version"* "$lint"
        # Debian 12's lintian knows neither today's policy, nor a package that is about systemd itself.
        suppress=
        [ "$built" != bookworm ] ||
                suppress=newer-standards-version,package-supports-alternative-init-but-no-init.d-script
        # shellcheck disable=SC2016 # expanded inside
        said=$(in_chroot "$chroot" sh -c 'cd /lint && lintian --allow-root -EvIL +pedantic --suppress-tags "$1" ./*_amd64.changes' \
                sh "$suppress" 2>&1 |
                grep -E '^[EWIPX]:' || true)
        rm -rf "$lint"
        is 'lintian has nothing to say' "$said" ''
fi

# A machine without us, in a copy that is thrown away.
make_chroot "run-$release-amd64" minbase amd64 'systemd,udev,dbus,libjson-c5,kmod'
root=$work/root
cp -a --reflink=auto "$chroot" "$root"
mkdir "$root/gpuvm"
cp "$deb" "$root/gpuvm/gpuvm.deb"

listing() {
        (cd "$root" && find . -xdev \( -path ./gpuvm -o -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp \
                -o -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/log/dpkg.log -o -path ./etc/ld.so.cache \
                -o -path ./var/lib/systemd/catalog \) -prune -o -printf '%p %y %m %u %l\n' | sort)
}
inside() {
        in_chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

listing >"$work/before"
check 'installs' inside dpkg -i /gpuvm/gpuvm.deb
check 'its dependencies are complete' inside apt-get check
listing >"$work/installed"
# What takes back a change of the network that was cut off has to be there whatever the generator can do; it looks for a file.
is 'nothing is enabled that does anything' "$(comm -13 "$work/before" "$work/installed" | cut -d' ' -f1 | grep -E '^\./etc/systemd|\.wants/|\.requires/' || true)" \
        ./usr/lib/systemd/system/sysinit.target.wants/gpuvm-bridge-boot.service
# shellcheck disable=SC2016 # dpkg-query expands it
is 'what is in /etc is a conffile' \
        "$(comm -13 "$work/before" "$work/installed" | sed -n 's/^\.\(\/etc\/[^ ]*\) f .*/\1/p')" \
        "$(inside dpkg-query -W -f '${Conffiles}\n' gpuvm | sed -n 's/^ \([^ ]*\) .*/\1/p')"
is 'everything belongs to root' "$(comm -13 "$work/before" "$work/installed" | awk '$4 != "root"')" ''
check 'the manual is there' inside sh -c 'test -s /usr/share/man/man7/gpuvm.7.gz'
check 'systemd accepts the generator' test -x "$root/usr/lib/systemd/system-generators/gpuvm-generator"
cp -a "$top/tests" "$root/gpuvm/tests"
if said=$(inside bash /gpuvm/tests/package/portable.sh /gpuvm/gpuvm.deb 2>&1); then
        ok "the programs run ($(grep -c '^ok' <<<"$said") checks)"
else
        not_ok 'the programs run' "$(grep -A5 '^not ok' <<<"$said")"
fi
rm -rf "$root/gpuvm/tests"

echo '# mine' >>"$root/etc/gpuvm.conf"
check 'installs over itself' inside dpkg -i --force-confdef --force-confold /gpuvm/gpuvm.deb
is 'an edited configuration survives' "$(tail -n1 "$root/etc/gpuvm.conf")" '# mine'

mkdir -p "$root/var/lib/gpuvm/ledger" "$root/var/lib/gpuvm/phases" "$root/etc/gpuvm.conf.d"
touch "$root/var/lib/gpuvm/ledger/000001-iommu" "$root/var/log/gpu-vm-bootstrap.log" \
        "$root/etc/gpuvm.conf.d/50-gpu-vm-bootstrap.conf"
mkdir -p "$root/etc/udev/rules.d"
echo '# early rule' >"$root/etc/udev/rules.d/70-gpuvm-vfio.rules"
[ ! -d "$root/etc/modprobe.d" ] || echo '# options' >"$root/etc/modprobe.d/zz-gpuvm.conf"
said=$(inside dpkg -r gpuvm 2>&1) || diag "$said"
like 'removal says how to take the changes back' "$said" 'gpuvm-undo --all'
check 'removal keeps the configuration' test -e "$root/etc/gpuvm.conf"
check 'removal keeps the ledger' test -e "$root/var/lib/gpuvm/ledger/000001-iommu"
said=$(inside dpkg -P gpuvm 2>&1) || diag "$said"
like 'purge names the records that it deletes' "$said" 000001-iommu
like 'purge says what brings the boot back' "$said" update-initramfs
listing >"$work/after"
is 'purge leaves nothing behind' "$(diff "$work/before" "$work/after" || true)" ''

check 'installs again' inside dpkg -i /gpuvm/gpuvm.deb
said=$(inside dpkg -P gpuvm 2>&1) || diag "$said"
is 'an unused package goes without a word of ours' "$(grep '^gpuvm: ' <<<"$said" || true)" ''
listing >"$work/after"
is 'and leaves nothing behind' "$(diff "$work/before" "$work/after" || true)" ''
done_testing
