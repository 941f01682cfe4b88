/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Claims: what others have written down, to hold at every boot, about which driver a GPU is to have:
 * driverctl's overrides, and ids= of vfio-pci from the guides on passthrough. They and gpuvm would take the
 * card from each other. */

#include "pci.h"

typedef struct Claim {
        char *source; /* the file, or "the kernel command line" */
        char *what;   /* "0000:01:00.0" for driverctl, "10de:2684,10de:22ba" for ids= */
        char *driver; /* "vfio-pci" */
} Claim;

typedef struct Claims {
        Claim *items; /* driverctl's first, each kind sorted by file */
        size_t n;
} Claims;

/* cmdline: words of the kernel command line, or NULL. Returns 0 or -ENOMEM. */
int claims_read(int root, char *const *cmdline, Claims *ret) _must_check_;
void claims_done(Claims *c);

/* Returns 1 if one of them gives the function to VFIO, on the machine as it was booted, 0 if none does. */
int claims_on_vfio(int root, const PciDevice *d) _must_check_ _nonnull_all_;
