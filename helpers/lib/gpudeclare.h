/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpudeclare: the GPUs that a machine's file names, and the change of that by a drop-in of vmctl's own, which
 * goes again when the rest of the file says the same. */

#include "catalog.h"
#include "pci.h"

/* *ret: the addresses that Gpu= names, or the paths of what the host does not have; NULL where it says how
 * many, or nothing. Returns 0 or -ENOMEM. */
int gpudeclare_named(const PciBus *bus, const VmFile *f, char ***ret) _must_check_ _nonnull_all_;

typedef struct GpuDeclareChange {
        char *path;     /* the drop-in */
        char *text;     /* what will be in it; NULL: it will not be there */
        char *obstacle; /* why the file cannot be made to say so, for a user; NULL: it can */
} GpuDeclareChange;
void gpudeclare_done(GpuDeclareChange *c);

/* Finds out what to change for the file to name these GPUs as well, or (has: false) none of them. Writes
 * nothing. gpus: addresses. Returns 1, also with an obstacle; 0 if the machine is not declared, or nothing
 * has to change: it says so already, or leaves its GPUs open; or -errno. */
int gpudeclare_plan(int root, const PciBus *bus, const char *machine, char *const *gpus, bool has,
                    GpuDeclareChange *ret) _must_check_ __attribute__((nonnull(2, 3, 4, 6)));

/* Makes the change, for which there is no obstacle. Returns 0 or -errno. */
int gpudeclare_apply(int root, const GpuDeclareChange *c) _must_check_ _nonnull_all_;
