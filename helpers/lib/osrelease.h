/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Osrelease: os-release(5), of the machine below root. */

#include "macro.h"

/* The value of a field ("VERSION_CODENAME"), quotes taken off. -ENODATA if it is not there, -ENOENT if the
 * file is not. */
int osrelease_get(int root, const char *field, char **ret) _must_check_ _nonnull_all_;

/* What uname(2) calls the machine: "x86_64", "aarch64". Of a recorded one that does not say, this one's. */
int osrelease_machine(int root, char **ret) _must_check_ _nonnull_all_;
