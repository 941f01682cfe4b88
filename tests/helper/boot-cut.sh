#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-iommu, and gpuvm-undo after it, killed at a system call that changes something, and the power gone in the same
# moment: boot-cut.sh DIRECTORY-OF-HELPERS GOINGDOWN
#
# After each cut the machine must start as it is.
#
# shellcheck disable=SC2317,SC2154,SC2034 # the functions of the cases and what they share with cut.sh

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=cut.sh
. "$(dirname "$0")/cut.sh"
# shellcheck source=boot-machine.sh
. "$(dirname "$0")/boot-machine.sh"
cut_begin "$@"

# Everything is to be done.
make_machine "$work/iommu"
between[iommu]='^\./var/lib/gpuvm/unproven'
run_iommu() {
        "$@" "$helpers/gpuvm-iommu" --root="$root"
}
look_iommu() {
        starts "$root"
}

# And all of it is to be taken back.
cp -a "$work/iommu" "$work/undo"
"$helpers/gpuvm-iommu" --root="$work/undo" >/dev/null 2>&1
keeps_no_ledger[undo]=1
run_undo() {
        "$@" "$helpers/gpuvm-undo" --root="$root" --all
}
look_undo() {
        starts "$root"
}

cut_everywhere 28 iommu undo
root=$work/undo.whole
is 'undo brings all back' "$(cut_start_digest iommu)" "$(cat "$work/iommu.start")"
done_testing
