/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Etcfile: a file of ours below /etc. */

#include "phase.h"
#include "undo.h"

/* Makes the file so, announced and recorded. why: what will be different. Returns 1 if it was written (in a
 * dry run: would be), 0 if it was so already, or an error that has been told. */
int etcfile_put(Phase *p, Undo *u, const char *path, const char *text, const char *why) _must_check_
                __attribute__((nonnull(1, 3, 4, 5)));
