/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Scrub: a text without what tells one machine from another, or who its neighbours are: UUIDs, MAC and IP
 * addresses, the host's name, users' names, disks' names by their serial numbers, servers that are not
 * everybody's with what is behind them, and what is in front of the @ of a URL. The same word becomes the
 * same word everywhere, so that what belongs together still does. */

#include "macro.h"

typedef struct Scrub Scrub;

/* hostname: as gethostname(2), or NULL. A name that any machine may have ("debian") is left alone. */
int scrub_new(const char *hostname, Scrub **ret) _must_check_ __attribute__((nonnull(2)));
void scrub_free(Scrub *s);
/* A user's name, where it stands as a word. Those that any machine may have are left alone as well. */
int scrub_hide_user(Scrub *s, const char *name) _must_check_ _nonnull_all_;
DEFINE_POINTER_CLEANUP(Scrub, scrub_free)

/* Pure, but for the words that it remembers. NULs end it. Returns 0 or -ENOMEM. */
int scrub_text(Scrub *s, const char *text, char **ret) _must_check_ _nonnull_all_;
