/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keepsearch: what the parts of keep.h share. For them alone. */

#include "keep.h"

typedef struct KeepSearch {
        int root;
        const PciBus *bus;
        KeepList list;
} KeepSearch;

/* Adds the function, unless it is there for another reason already. */
int keep_add(KeepSearch *s, const PciDevice *d, const char *why) _must_check_ _nonnull_all_;

/* Adds what a link in sysfs leads over. Returns how many functions that are, those included that the bus here
 * does not have. */
int keep_add_link(KeepSearch *s, const char *path, const char *why) _must_check_ _nonnull_all_;

/* Adds BMCs, displays of the console, and what serial consoles are on. */
int keep_consoles(KeepSearch *s) _must_check_ _nonnull_all_;
