/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Check: of the command about the host's health, what more than one file knows. */

#include "checkup.h"
#include "vmctl.h"

/* In checkfix.c: starts the phases that put something right of what was found, after asking. Tells what it
 * does. Returns 1 if one was started, 0 if there is none, or -errno after a message. */
int check_fix(Context *c, int root, const Conf *conf, const Checkup *u) _must_check_ _nonnull_all_;
