/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpuarch: which generation an NVIDIA GPU is of. */

#include "macro.h"

/* NVIDIA generations, decided by device id alone: names in pci.ids are missing or wrong for new cards. */
typedef enum GpuArch {
        GPU_ARCH_UNKNOWN, /* not NVIDIA, or an id that no generation has */
        GPU_ARCH_OLDER,   /* Kepler and before: no current driver */
        GPU_ARCH_MAXWELL,
        GPU_ARCH_PASCAL,
        GPU_ARCH_VOLTA,
        GPU_ARCH_TURING,
        GPU_ARCH_AMPERE,
        GPU_ARCH_HOPPER,
        GPU_ARCH_ADA,
        GPU_ARCH_BLACKWELL,
        GPU_ARCH_RUBIN,
        _GPU_ARCH_MAX,
} GpuArch;

const char *gpu_arch_to_string(GpuArch a);
GpuArch gpu_arch_from_device_id(uint16_t device);
