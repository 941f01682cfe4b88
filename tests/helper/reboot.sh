#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-reboot up to the point where it would talk to logind: reboot.sh DIRECTORY-OF-HELPERS
#
# Below --root there is no logind: what would be a restart ends with exit status 75 instead.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
helpers=$1
work=$(mktemp -d)
at_exit rm -rf "$work"
boot=11111111-1111-4111-8111-111111111111
n=0

# machine LINE...: has counted one restart for the IOMMU in this boot, which did not come; its request is there still.
machine() {
        root=$work/$((n += 1))
        mkdir -p "$root"/{etc,proc/sys/kernel/random,run/gpuvm/reboot.d,var/lib/gpuvm}
        echo "$boot" >"$root/proc/sys/kernel/random/boot_id"
        echo 'root=/dev/vda1 ro quiet' >"$root/proc/cmdline"
        printf '%s\n' "$@" >"$root/etc/gpuvm.conf"
        printf 'gpuvm-pending 1\nboot %s\ncounted 1\ntotal 1\nresumes 0\ncause iommu 1\nend\n' "$boot" \
                >"$root/var/lib/gpuvm/pending"
        printf 'the IOMMU is off\nintel_iommu=on\n' >"$root/run/gpuvm/reboot.d/iommu"
}

reboot() {
        status=0
        said=$("$helpers/gpuvm-reboot" --root="$root" "$@" 2>&1) || status=$?
}

requests() {
        find "$root/run/gpuvm/reboot.d" -type f -printf '%f '
}

machine '[Bootstrap]' 'Reboot=auto'
reboot
is 'asked for again in the same boot: would restart' "$status $(requests)" '75 iommu '

machine '[Bootstrap]' 'Vfio=no'
reboot --dry-run
is 'the phase was left out: a dry run changes nothing' "$status $(requests)" '0 iommu '
reboot
is 'the phase was left out: no restart, and no request' "$status $(requests)" '0 '
like 'the phase was left out: says so' "$said" "request of phase 'iommu'"
echo 'a newer kernel' >"$root/run/gpuvm/reboot.d/packages"
printf 'the IOMMU is off\n' >"$root/run/gpuvm/reboot.d/iommu"
reboot
is 'and what others ask for stands' "$status $(requests)" '75 packages '
like 'with their reason' "$said" 'packages: a newer kernel'
is 'and no other' "$(grep -c 'IOMMU is off' <<<"$said")" 0
done_testing
