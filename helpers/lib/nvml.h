/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvml: the few things that only NVIDIA's management library knows of a GPU on NVIDIA's driver: persistence
 * mode, which keeps the GPU in use without anybody having it open, draining, which lets nobody new in, and
 * the clocks that it runs applications with; and how much it has to do.
 *
 * The library is loaded by a worker, which can be left behind when the driver hangs in a call, and which has
 * everything closed again when a call has returned; a call that has failed may have left the GPU open, until
 * the worker ends. Under --root the library is what $GPUVM_NVML names, for tests; without it there is none.
 * Nothing here loads a driver: ask only about a GPU that is on it. */

#include "pci.h"
#include "worker.h"

typedef struct NvmlState {
        bool persistent;
        bool draining;
} NvmlState;

/* Of applications, in MHz. */
typedef struct NvmlClocks {
        unsigned memory, graphics;
} NvmlClocks;

/* Each returns 0 or:
 * -ENOPKG there is no library, and nothing was opened; no need to ask again,
 * -EOPNOTSUPP the library is too old, or the GPU cannot do that; nothing can be known,
 * -ENODEV the library does not know the GPU, because it is draining perhaps,
 * -EPERM not allowed (draining takes CAP_SYS_ADMIN), -EBUSY somebody else's, -ETIMEDOUT at the deadline,
 * another one on any other failure: then it may be either way, as after -ETIMEDOUT.
 * Set: read back. Draining is refused by the driver as long as the GPU is persistent. */
int nvml_get(Worker *w, Bdf gpu, uint64_t timeout_usec, NvmlState *ret) _must_check_ _nonnull_all_;
int nvml_set_persistent(Worker *w, Bdf gpu, bool on, uint64_t timeout_usec) _must_check_ _nonnull_all_;
/* -EINVAL: the GPU has no such clocks. Newer drivers may have none of these functions any more; a GPU that is
 * not persistent forgets them when nobody has it open. */
int nvml_get_clocks(Worker *w, Bdf gpu, uint64_t timeout_usec, NvmlClocks *ret) _must_check_ _nonnull_all_;
int nvml_set_clocks(Worker *w, Bdf gpu, const NvmlClocks *c,
                    uint64_t timeout_usec) _must_check_ _nonnull_all_;
int nvml_set_draining(Worker *w, Bdf gpu, bool on, uint64_t timeout_usec) _must_check_ _nonnull_all_;

/* What it is at. NAN: the GPU cannot tell. */
typedef struct NvmlSample {
        double busy;                      /* 0 to 1 */
        double memory_used, memory_total; /* bytes */
        double celsius, watts, sm_hertz;
} NvmlSample;

/* Opens the GPU for a moment, which wakes one that nobody has open: not for that. -EBUSY: it is draining. */
int nvml_sample(Worker *w, Bdf gpu, uint64_t timeout_usec, NvmlSample *ret) _must_check_ _nonnull_all_;
