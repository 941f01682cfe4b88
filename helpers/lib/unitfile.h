/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Unitfile: what systemd's directories say about a unit.
 *
 * Read from the files, which are there without a running systemd too, and asking for which starts nothing. */

#include "macro.h"

/* Returns 1 if one of systemd's directories has the unit, 0 if none, -errno if that cannot be known. A
 * dangling link, and so a unit whose package is gone, is none. */
int unitfile_exists(int root, const char *unit) _must_check_ _nonnull_all_;

/* Returns 1 if multi-user.target wants it by a link in /etc, 0 if not, -errno if that cannot be known. */
int unitfile_is_enabled(int root, const char *unit) _must_check_ _nonnull_all_;
