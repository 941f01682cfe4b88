/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Module: loading kernel modules through libkmod, honouring blacklists. */

#include "macro.h"

/* Loads NAME and what it needs. Returns 1 if loaded now, 0 if it was there or is built in, -ENOENT if this
 * kernel has no such module, -EPERM if an administrator blacklisted it or it may not be loaded (lockdown).
 * Under --root a recorded machine is never touched: 0 if DIR/proc/modules or modules.builtin names it, else
 * -ENOENT. */
int module_load(int root, const char *name) _must_check_ _nonnull_all_;

/* Returns 1 if the running kernel could load it or has it, 0 if not. */
int module_available(int root, const char *name) _must_check_ _nonnull_all_;
