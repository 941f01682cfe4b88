/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpuchoice: which of the host's GPUs a machine gets that wishes for some by number or model, and why each of
 * the others does not do. Pure.
 *
 * Whether the host uses a GPU is its unit's to find out: what that refuses is noted here, and the next one is
 * picked. */

#include "gpustate.h"
#include "gpuwish.h"

typedef struct GpuChoice {
        const GpuStates *s;
        const GpuWish *wish;
        char **why;   /* one for each of s->list; NULL: nothing speaks against it */
        bool *passes; /* likewise: that may pass */
        bool *own;    /* likewise: it was taken for this machine before, and goes first */
} GpuChoice;

void gpuchoice_done(GpuChoice *c);

/* machine: who chooses; GPUs that are marked as another's (gpustate_mark_machine()) are none to choose, nor
 * are those that are marked as its own: they were given to it by name. own: taken for it before. Both s and
 * wish are borrowed. Returns 0 or -ENOMEM. */
int gpuchoice_init(const GpuStates *s, const GpuWish *wish, const char *machine, char *const *own,
                   GpuChoice *ret) _must_check_ __attribute__((nonnull(1, 2, 3, 5)));

/* One more reason; the first one stands. passes: it may be worth to wait. Returns 0 or -ENOMEM. */
int gpuchoice_refuse(GpuChoice *c, const char *gpu, bool passes, const char *why) _must_check_ _nonnull_all_;

/* ret: addresses, in order: as many as are wished for, with all GPUs of their IOMMU groups. Prefers what was
 * taken for it, then what is on VFIO already, then what no driver has. Returns 1; 0 if there are not enough;
 * -ENOMEM. */
int gpuchoice_pick(const GpuChoice *c, char ***ret) _must_check_ _nonnull_all_;

/* There would be enough, if what may pass did. */
bool gpuchoice_may_wait(const GpuChoice *c) _nonnull_all_;

/* For a user: what was wished for, and each GPU with what speaks against it. Returns 0 or -ENOMEM. */
int gpuchoice_describe(const GpuChoice *c, char **ret) _must_check_ _nonnull_all_;
