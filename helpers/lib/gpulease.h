/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpulease: who is giving a GPU to a machine just now, so that two never give the same one away. What a
 * machine has is in its definition, on or off; a lease covers the time from looking there to writing it
 * there.
 *
 * /run/gpuvm/leases/WHAT is locked by its holder and says for which machine. The kernel takes the lock away
 * when the holder dies, so none is ever left; the file stays. */

#include "macro.h"

#define GPULEASE_DIR "/run/gpuvm/leases"

/* what: a GPU's address, or the name of a machine whose definition is going to change. Returns the lease, to
 * be closed; -EBUSY: another one holds it, for the machine in reterr_machine ("" if that is not known). */
int gpulease_take(int root, const char *what, const char *machine,
                  char **reterr_machine) _must_check_ _nonnull_all_;

/* Returns 1 and the machine if another process holds it, 0 if nobody does. */
int gpulease_find(int root, const char *what, char **ret_machine) _must_check_ _nonnull_all_;
