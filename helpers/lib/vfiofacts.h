/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfiofacts: what a VM's owner may want to know of a GPU before he gives it away: how it is reset between two
 * VMs, whether it sleeps without power, virtual functions, and how big its memory could be made. Only for
 * vfio. */

#include "vfiojob.h"

/* As a note for each GPU that is to be changed and, for --json, as the result "functions". Returns 0 or
 * -ENOMEM: what cannot be read is left out. */
int vfiofacts_tell(VfioJob *j) _must_check_ _nonnull_all_;
