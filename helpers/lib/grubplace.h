/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Grubplace: where in the boot menu a kernel is, and what the menu starts by default. Pure: no file is
 * touched.
 *
 * A place is what GRUB_DEFAULT= takes for an entry that is not the first: the ids of the submenu and of the
 * entry in it, "gnulinux-advanced-UUID>gnulinux-6.1.0-40-amd64-advanced-UUID", as 10_linux writes them. It
 * holds whatever language the titles are in. */

#include "macro.h"

/* The place of the kernel of this release, of the entries for this system and for every day. Returns 0,
 * -ENOENT if the menu has no such entry, or -ENOMEM. */
int grubplace_find(const char *text, const char *kernel, char **ret) _must_check_ _nonnull_all_;

/* What the menu starts if nobody tells it another: "0", "saved", a place. Returns 0, -ENOENT if it does not
 * say, or -ENOMEM. */
int grubplace_default(const char *text, char **ret) _must_check_ _nonnull_all_;

/* The release of the kernel at this place. Returns 0, -ENOENT if the menu has no such place, or -ENOMEM. */
int grubplace_kernel(const char *text, const char *place, char **ret) _must_check_ _nonnull_all_;
