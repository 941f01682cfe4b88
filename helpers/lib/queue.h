/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Queue: one at a time, or some, and the others wait, in no order. As long as it moves nobody loses patience,
 * however many there are; one who hangs holds nobody up for ever. */

#include "macro.h"

/* Waits for the lock on that file, or where there are more places on one of FILE.1, FILE.2 and so on; they
 * are made. interrupted: asked again and again, or NULL. Returns the lock, to be closed; -ETIMEDOUT if nobody
 * has come in for patience_usec, -EINTR if interrupted() came true. */
int queue_enter(int root, const char *path, unsigned places, uint64_t patience_usec,
                bool (*interrupted)(void)) _must_check_ __attribute__((nonnull(2)));
