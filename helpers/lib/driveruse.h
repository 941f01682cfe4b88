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
 * owner; kernel-open/nvidia/nv.c), without a frame buffer; and the audio function's. VFIO's count says
 * nothing (Linux 6.12 has one more for a group that has devices), but a group is open once or not at all,
 * and as long as a device is that was opened through it: whoever opens it is told (vfio_group_fops_open() in
 * drivers/vfio/group.c of the kernel). It is opened here, and closed at once. */

#include "pci.h"
#include "worker.h"

/* open_groups: VFIO's are opened for a moment, in which whoever wants one is refused. Returns 1 if nobody has
 * any of these n functions open; 0 if somebody may have, or nobody can tell: a driver of another kind, a
 * kernel that does not count (CONFIG_MODULE_UNLOAD), or that has nodes for single VFIO devices; -EBUSY if
 * somebody has a VFIO group open, whether a process shows that or not; or as worker_call(). */
int driveruse_is_none(Worker *w, int root, const PciDevice *const *devices, size_t n, bool open_groups,
                      uint64_t timeout_usec) _must_check_ _nonnull_all_;
