/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfioidle: nobody uses what is to be changed, at once or within IdleWaitSec=. The child that looks has a
 * deadline: a GPU of which nobody can tell is marked (binding.h), and refused. Only for vfio. */

#include "vfiojob.h"

typedef enum VfioWait {
        VFIO_WAIT_LOOK, /* before anything is done: NVIDIA's persistence daemon is not counted, which lets go
                         * of one GPU when it is asked to (vfiohold.h) */
        VFIO_WAIT_LET_GO, /* after it was asked: gives it a moment */
        VFIO_WAIT_STRICT, /* everybody counts, as before the first change */
        VFIO_WAIT_BACK, /* on the way back to the host: a function that is there already is not asked about */
} VfioWait;

/* -EBUSY, told, if somebody does, or nobody knows; -EINTR if we are to stop. */
int vfioidle_wait(VfioJob *j, VfioWait what) _must_check_ _nonnull_all_;

/* The long wait, without the lock, so that nobody waits for us meanwhile; what was seen has to be seen again
 * with it. Without IdleWaitSec= there is none. */
int vfioidle_wait_unlocked(VfioJob *j, VfioWait what) _must_check_ _nonnull_all_;

/* As VFIO_WAIT_STRICT, for one function. */
int vfioidle_look(VfioJob *j, const PciDevice *d) _must_check_ _nonnull_all_;
