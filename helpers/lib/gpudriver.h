/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpudriver: what the generations of NVIDIA's GPUs ask of its driver: from which branch to which, with which
 * of the two kinds of kernel modules, and which CUDA toolkit still compiles for them. Pure. */

#include "gpuarch.h"

enum {
        DRIVER_LONG_TERM = 580, /* supported until 2028, and drives everything from Maxwell to Blackwell */
        DRIVER_OPEN_FROM = 560, /* NVIDIA's own choice for what both kinds of modules drive; before, the open
                                 * ones were not meant for every card */
};

enum { CUDA_ANY_MINOR = 99 };

/* A version of the CUDA toolkit: 12.9 is { 12, 9 }, the newest 13 { 13, CUDA_ANY_MINOR }, all 0 unknown. */
typedef struct Cuda {
        unsigned major, minor;
} Cuda;

/* What a set of GPUs asks for together. */
typedef struct DriverNeed {
        unsigned min, max;      /* branches; max 0: no last one is known */
        bool open, proprietary; /* only these modules drive one of them; both: no driver drives all */
        GpuArch oldest, newest;
} DriverNeed;

/* One GPU, as gpu_arch_from_device_id() knows it; one that it does not know counts as one of the newest or
 * as one of the legacy ones, by its id: ids grow. Returns 0, or -EOPNOTSUPP if no driver that is still
 * maintained drives it. */
int driver_need(uint16_t device, DriverNeed *ret) _must_check_ _nonnull_all_;

/* Adds another GPU to what is needed. Start with {}. */
void driver_need_add(DriverNeed *n, const DriverNeed *gpu) _nonnull_all_;

/* True if a driver of that branch with that kind of modules drives all of them. branch 0: the newest. */
bool driver_fits(const DriverNeed *n, unsigned branch, bool open) _nonnull_all_;

/* The modules to take of a branch that can have both. */
bool driver_prefers_open(const DriverNeed *n, unsigned branch) _nonnull_all_;

/* The toolkit that came out with the branch (0: unknown, ret is all 0), but none that the oldest GPU is too
 * old for. */
Cuda cuda_for_driver(const DriverNeed *n, unsigned branch) _nonnull_all_;

/* NULL if that toolkit works with the branch and these GPUs, else why not. */
const char *cuda_objection(const DriverNeed *n, unsigned branch, Cuda cuda) _nonnull_all_;

/* "12-9", "12.9" or "13". Returns 0 or -EINVAL. */
int cuda_parse(const char *s, Cuda *ret) _must_check_ _nonnull_all_;
