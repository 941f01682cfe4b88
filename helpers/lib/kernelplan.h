/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kernelplan: whether the running kernel will do for VFIO, and whether another can be put in its place here.
 * Reads files only. */

#include "kernel.h"

/* The menu's default, as a drop-in for grub-mkconfig. */
#define KERNELPLAN_DROPIN "/etc/default/grub.d/zz-gpuvm-kernel.cfg"

typedef struct KernelPlan {
        const char *firmware; /* see iommu_firmware() */
        char *running;        /* its release; NULL: not to be seen */
        const char *lacks;    /* see kernel_lacks(); NULL: it will do, and the rest is not looked for */
        char *kernel;         /* the newest here that will do; NULL: none */
        const char *package;  /* of the distribution, by which one comes; NULL: unknown */
        char *place;          /* of the running kernel in the boot menu */
        bool chosen;          /* the menu's default is a kernel that will do, by its place */
        char *obstacle;       /* why no other can be tried; NULL: it can */
} KernelPlan;

/* Returns 0 or -errno. */
int kernelplan_read(int root, KernelPlan *ret) _must_check_ _nonnull_all_;
void kernelplan_done(KernelPlan *plan);

/* Pure: the drop-in that keeps this place the default. */
int kernelplan_hold(const char *place, char **ret) _must_check_ _nonnull_all_;

/* Pure: the one that makes it the newest kernel that will do, whenever the menu is made: place is one of the
 * kernel of that release, and the others are where that one is but for their release. -EINVAL if it is not.
 */
int kernelplan_choose(const char *place, const char *kernel, const char *firmware, char **ret) _must_check_
                __attribute__((nonnull(1, 2, 4)));
