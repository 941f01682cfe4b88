/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ping: whether a host answers an echo request. */

#include "macro.h"

/* address: numeric. One request. Returns 1 if it answers in time, 0 if not, -EACCES who may not ask, -EINVAL
 * for what is no address, or another -errno. */
int ping_once(const char *address, uint64_t timeout_usec) _must_check_ _nonnull_all_;
