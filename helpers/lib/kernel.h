/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kernel: what the kernels here were built with, as far as VFIO needs it. By their configuration, never by
 * name: Debian's for cloud guests has vfio-pci and Intel's IOMMU, and lacks AMD's. */

#include "macro.h"

typedef enum KernelOption {
        KERNEL_UNKNOWN, /* its configuration is not here */
        KERNEL_NO,
        KERNEL_MODULE,
        KERNEL_BUILTIN,
} KernelOption;

typedef struct Kernel {
        KernelOption vfio_pci, intel_iommu, amd_iommu, arm_smmu;
} Kernel;

/* Reads the configuration that came with the kernel of this release, in /boot or beside its modules. Without
 * one, the lists of its modules tell of vfio-pci, and the rest is unknown. Returns 0 or -errno. */
int kernel_read(int root, const char *release, Kernel *ret) _must_check_ _nonnull_all_;

/* The option for the IOMMU that the firmware has ("intel", "amd", "arm-smmu"), or NULL. */
const char *kernel_iommu_option(const char *firmware);

/* What it is known to lack for VFIO, a literal like "CONFIG_AMD_IOMMU", or NULL. firmware: whose IOMMU this
 * machine has, see iommu_firmware(), or NULL: nothing is asked of the kernel for that. */
const char *kernel_lacks(const Kernel *k, const char *firmware) _must_check_ __attribute__((nonnull(1)));

/* The newest of the kernels in /boot, by GRUB's order, that has an initramfs and is known to have all that
 * VFIO needs. Returns 1, or 0 if there is none. */
int kernel_find(int root, const char *firmware, char **ret) _must_check_ __attribute__((nonnull(3)));
