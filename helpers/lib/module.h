/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Module: loading kernel modules through libkmod, honouring blacklists. */

#include "macro.h"

/* Loads NAME and what it needs. Returns 1 if loaded now, 0 if it was there or is built in, -ENOENT if this
 * kernel has no such module, -EPERM if an administrator blacklisted it or it may not be loaded (lockdown).
 * Under --root a recorded machine is never touched: 0 if DIR/proc/modules or modules.builtin names it, else
 * -ENOENT. */
int module_load(int root, const char *name) _must_check_ _nonnull_all_;

/* Returns 1 if the running kernel could load it or has it, 0 if not. */
int module_available(int root, const char *name) _must_check_ _nonnull_all_;

/* Loads whatever module claims the device with this modalias ("pci:v000010DEd..."), as udev would: those that
 * an administrator blacklisted are left out. Returns 1 if one was loaded, 0 if all were there or none claims
 * it. Does nothing under --root. */
int module_load_alias(int root, const char *modalias) _must_check_ _nonnull_all_;

/* The driver that gives any device to a VM. */
#define MODULE_VFIO "vfio-pci"

/* The driver that is best at giving each of n devices to a VM: a VFIO variant driver if the running kernel
 * has one for exactly such devices ("nvgrace_gpu_vfio_pci") that is not blacklisted, else MODULE_VFIO. The
 * module to be loaded for it has the same name: the variant drivers have their module's (KBUILD_MODNAME in
 * drivers/vfio/pci/nvgrace-gpu/main.c, mlx5/main.c), and that of the generic one is no other. modaliases: the
 * devices' own, or NULL. ret: n of them, NULL until then; some may be set also after an error. */
int module_find_vfio(int root, const char *const *modaliases, size_t n, char **ret) _must_check_
                __attribute__((nonnull(2, 4)));

/* The version that the file of a module, below root, says it has. -ENODATA: it says none. */
int module_file_version(int root, const char *path, char **ret) _must_check_ _nonnull_all_;
