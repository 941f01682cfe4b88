/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvml: the few things that only NVIDIA's management library knows of a GPU on NVIDIA's driver: persistence
 * mode, which keeps the GPU in use without anybody having it open, and draining, which lets nobody new in.
 *
 * The library is loaded by a child, which can be left behind when the driver hangs in a call, and which has
 * everything closed again when a call has returned. Nothing here loads a driver: ask only about a GPU that is
 * on it. A machine without the library is asked nothing. */

#include "pci.h"

typedef struct Nvml Nvml;

typedef struct NvmlState {
        bool persistent;
        bool draining;
} NvmlState;

/* tick: see worker.h. Under --root the library is what $GPUVM_NVML names, for tests; without it there is
 * none. */
int nvml_open(int root, void (*tick)(void *userdata), void *userdata, Nvml **ret) _must_check_;

/* Each returns 0 or:
 * -EOPNOTSUPP there is no library, it is too old, or the GPU cannot do that; nothing can be known,
 * -ENODEV the library does not know the GPU, because it is draining perhaps,
 * -EPERM not allowed (draining takes CAP_SYS_ADMIN), -EBUSY somebody else's, -ETIMEDOUT at the deadline,
 * another one on any other failure: then it may be either way, as after -ETIMEDOUT.
 * Set: read back. Draining is refused by the driver as long as the GPU is persistent. */
int nvml_get(Nvml *n, Bdf gpu, uint64_t timeout_usec, NvmlState *ret) _must_check_ _nonnull_all_;
int nvml_set_persistent(Nvml *n, Bdf gpu, bool on, uint64_t timeout_usec) _must_check_ _nonnull_all_;
int nvml_set_draining(Nvml *n, Bdf gpu, bool on, uint64_t timeout_usec) _must_check_ _nonnull_all_;

/* Lets the child go. Returns 0, or the child if it is stuck in the kernel, perhaps with the GPU open. */
pid_t nvml_end(Nvml *n) _nonnull_all_;
void nvml_free(Nvml *n);
DEFINE_POINTER_CLEANUP(Nvml, nvml_free)
