/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfiohold: how NVIDIA's own driver keeps hold of a GPU that nobody uses, and how it is made to let go: off
 * before a hand-over, with what was noted in the record first, and back on when the GPU is back. Only for
 * vfio. A machine without NVIDIA's library has nothing of this, and is asked nothing. */

#include "vfiojob.h"

/* Persistence mode off for each GPU that is to be changed, and for no other. ret_changed: for one at least.
 * -EBUSY if it cannot be turned off, or nobody knows whether it is on. */
int vfiohold_release(VfioJob *j, bool *ret_changed) _must_check_ _nonnull_all_;

/* Lets nobody new open those GPUs, where the driver can do that: what is idle then stays so. The job is shut
 * if that is so for all. */
int vfiohold_drain(VfioJob *j) _must_check_ _nonnull_all_;

/* As recorded, for a GPU that is with its driver again. */
int vfiohold_restore(VfioJob *j, const PciDevice *d) _must_check_ _nonnull_all_;
