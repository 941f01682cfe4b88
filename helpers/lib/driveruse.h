/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Driveruse: whether the kernel counts anybody who has a device of a function's driver open.
 *
 * Whoever opens a device pins the module that does the work (fops_get() in fs/char_dev.c of the kernel; for
 * sound cards try_module_get() in sound/core), until the last copy of the file is closed: also one that no
 * process shows, because it is on its way through a socket. Where that count is nought nobody needs to be
 * looked for among thousands of processes. Where it is not, it may be about another device of the same
 * driver, and somebody has to be.
 *
 * For drivers of which that is known: NVIDIA's, with all that builds on it (its file operations have an
 * owner; kernel-open/nvidia/nv.c), without a frame buffer; and the audio function's. Not for VFIO's: Linux
 * 6.12 counts one more for a group that has devices, and nobody can tell whether another kernel does. */

#include "pci.h"
#include "worker.h"

/* Returns 1 if nobody has any of these n functions open, 0 if somebody may have, or nobody can tell: a driver
 * of another kind, or a kernel that does not count (CONFIG_MODULE_UNLOAD). */
int driveruse_is_none(Worker *w, int root, const PciDevice *const *devices, size_t n,
                      uint64_t timeout_usec) _must_check_ _nonnull_all_;
