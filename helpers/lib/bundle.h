/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bundle: the files that checkup.h reads of a host, for somebody else to look at.
 *
 * A list says which they are, and how much of each: what is not in the list is not looked at. Of many only
 * that they are there counts; all text goes through scrub.h. What the list forgets shows as another verdict.
 */

#include "evidence.h"
#include "tar.h"

/* hostname: of the machine below root, or NULL. Files that cannot be read are left out. Returns 0 or -errno.
 */
int bundle_collect(int root, const char *hostname, const Evidence *e, Tar *ret) _must_check_
                __attribute__((nonnull(3, 4)));
