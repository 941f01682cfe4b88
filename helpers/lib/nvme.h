/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvme: which controllers a namespace hangs on. Under native multipath that is a virtual subsystem, which
 * links to each of them. */

#include "macro.h"

/* target: what the link of a block device in /sys/class/block says. ret: the links of the controllers of its
 * subsystem (and what else there is named nvme*), NULL if it is in none. Returns 0 or -ENOMEM. */
int nvme_list_controllers(int root, const char *target, char ***ret) _must_check_ _nonnull_all_;
