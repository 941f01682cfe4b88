/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmdiff: how a machine differs from what its file declares. Pure.
 *
 * Only keys that the file has are compared, and of those what a definition shows, or what was written down
 * when the machine was made (vmtold.h): what is inside of guests nobody looks at, nor into files that a key
 * names. */

#include "vmdefined.h"
#include "vmfile.h"
#include "vmplan.h"

/* What 'vmctl create' would be asked for; borrows from f, and asks for no GPU. */
VmWish vmdiff_wish(const VmFile *f) _nonnull_all_;

typedef enum VmChange {
        VMCHANGE_NOW,     /* while it runs */
        VMCHANGE_RESTART, /* when it starts again */
        VMCHANGE_ANEW,    /* it has to be made again: what is on its disk is lost */
        _VMCHANGE_MAX,
} VmChange;

const char *vmchange_to_string(VmChange c);

typedef struct VmDifference {
        VmKey key;
        char *is, *wanted; /* for people */
        VmChange how;
} VmDifference;

typedef struct VmDifferences {
        VmDifference items[_VMKEY_MAX];
        size_t n;
} VmDifferences;

void vmdifferences_done(VmDifferences *l);

/* wanted: what the file's values come to (vmplan_make()). gpus: the addresses of the GPUs that the file
 * names, each card's first function; NULL if it says how many, or nothing. Returns 0 or -ENOMEM. */
int vmdiff(const VmFile *f, const VmPlan *wanted, char *const *gpus, const VmDefined *d,
           VmDifferences *ret) _must_check_ __attribute__((nonnull(1, 2, 4, 5)));
