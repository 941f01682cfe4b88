/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtdisk: the disks of virtual machines, and the storage pools that they are in. Errors as in virtvm.h. */

#include "virt.h"

/* Bytes that the guest sees of a disk, by its path. */
int virtdisk_size(Virt *v, const char *name, const char *path, uint64_t *ret) _must_check_ _nonnull_all_;
/* Makes it larger while the machine runs; one that is off is -EBUSY: its disk may be of no storage pool. */
int virtdisk_grow(Virt *v, const char *name, const char *path, uint64_t bytes) _must_check_ _nonnull_all_;

/* Whether a storage pool has a file; what came into its directory by other ways is looked for first. Returns
 * 1; 0 if the pool of its directory has not; -ENXIO: it is no pool's directory, or the pool is off. */
int virtdisk_find(Virt *v, const char *path) _must_check_ _nonnull_all_;
/* Removes a file in a storage pool, by its path. Returns 1, or 0 if no pool has such a file. */
int virtdisk_remove(Virt *v, const char *path) _must_check_ _nonnull_all_;
