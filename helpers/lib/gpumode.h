/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpumode: the mode of one GPU changed, by a drop-in of gpuvm.conf for that GPU alone, which goes again when
 * the rest of the configuration says the same. */

#include "conf.h"
#include "pci.h"

typedef struct GpuModeChange {
        char *path;     /* the drop-in */
        char *text;     /* what will be in it; NULL: it will not be there */
        bool needed;    /* false: it is so already */
        GpuMode was;    /* what holds now, */
        GpuMode result; /* and after the change: another than was wanted if something else has the last word
                         */
} GpuModeChange;
void gpumode_done(GpuModeChange *m);

/* Finds out what to change. Writes nothing. Returns 0 or -errno. */
int gpumode_plan(int root, const PciDevice *d, GpuMode wanted, GpuModeChange *ret) _must_check_ _nonnull_all_;

/* Makes the change, so that it can be undone: step "gpu". Returns 0 or -errno. */
int gpumode_apply(int root, const GpuModeChange *m) _must_check_ _nonnull_all_;
