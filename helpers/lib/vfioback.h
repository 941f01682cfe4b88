/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfioback: what each function had before is given back to it, at the end of a hand-over or in the middle of
 * one that cannot go on. Only for vfio. */

#include "vfiojob.h"

/* An error on the way, which has been told: all is put back, or the user knows what is not. Returns error. */
int vfioback_give_up(VfioJob *j, int error) _nonnull_all_;

/* The drivers of the host that what is to be given back needs are there, or loaded now. -EPERM, told, if one
 * cannot be had, -EBUSY if loading it hangs: nothing has been written then. */
int vfioback_prepare(VfioJob *j) _must_check_ _nonnull_all_;

/* Gives back all that is to be changed; one that does not go does not keep the others. */
int vfioback_release(VfioJob *j) _must_check_ _nonnull_all_;
