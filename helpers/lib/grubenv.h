/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Grubenv: GRUB's environment block, the kilobyte that GRUB itself writes when it starts: "next_entry" is the
 * entry that it takes once.
 *
 * grub-editenv empties the file before it fills it; a power cut there loses what else is in it, the saved
 * default first of all. So it works on a copy, and the result goes over the old bytes in place, as GRUB does
 * it (grub-core/commands/loadenv.c): no block of the file moves. */

#include "phase.h"

#define GRUBENV_PATH "/boot/grub/grubenv"

/* Pure. The value of a name ("" for one without), or -ENOENT; -EBADMSG if it is no environment block. */
int grubenv_get(const char *data, size_t size, const char *name, char **ret) _must_check_ _nonnull_all_;

/* The same from the file. */
int grubenv_read(int root, const char *name, char **ret) _must_check_ _nonnull_all_;

/* Why GRUB cannot clear what it has taken, so that a start once would be one for ever; 1 and the reason, 0 if
 * it can, or -errno. An entry other than ours that is to be taken is one as well. Asks grub-probe. */
int grubenv_obstacle(Phase *p, const char *ours, char **ret) _must_check_ _nonnull_all_;

/* Sets a name (value NULL: takes it out) and reads it back by grub-editenv. Returns 0, -EIO if it is not
 * there afterwards, -EBADMSG if a tool failed, or -errno. */
int grubenv_set(Phase *p, const char *name, const char *value) _must_check_ __attribute__((nonnull(1, 2)));
