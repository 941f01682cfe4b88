/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmkind: what a machine of some kind may be asked for, by options of 'vmctl create' or in a file: which keys
 * are for which kinds, which ones do not go together, and what their values have to look like. What vmplan.h
 * makes of sizes and addresses is told there. Pure. */

#include "guestwish.h"
#include "vmfile.h"

/* f: what is asked for, its kind among it. Returns 0, -EINVAL with a sentence that names the option, or
 * -ENOMEM. */
int vmkind_check(const VmFile *f, char **reterr) _must_check_ _nonnull_all_;

/* What is asked for inside its guest; borrows from f. */
GuestWish vmkind_guest(const VmFile *f) _nonnull_all_;
