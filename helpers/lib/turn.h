/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Turn: the phases of the bootstrap and undo do not work at the same time: what one of them has looked at,
 * recorded or asked for, the other would take away under its hands. Phases take their turn together, undo
 * takes its own alone. */

#include <sys/types.h>

#include "macro.h"

#define TURN_PATH "/run/gpuvm/turn"

/* Until the process ends. Waits that long for the others. Returns 0; or -EBUSY and one of them, as long as
 * that can be told (0: it has just ended). */
int turn_take(int root, bool alone, uint64_t wait_usec, pid_t *ret_other) _must_check_ _nonnull_all_;
