/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netifupdown: a bridge in the language of ifupdown, interfaces(5).
 *
 * The uplink's stanzas become the bridge's, where they stand; ifupdown has no word to override a file by
 * another. ip(8), which ifupdown needs anyway, makes the bridge: the package bridge-utils is not asked for.
 */

#include "netfile.h"

/* path, mode, current: the one file that has the uplink's stanzas. Returns 0, NETFILE_REFUSED or -errno.
 * Pure. */
int netifupdown_make(const NetWish *w, const char *path, mode_t mode, const char *current, NetFiles *ret,
                     char **ret_reason) _must_check_ _nonnull_all_;

/* A file of its own, below a directory that current (the text of /etc/network/interfaces) reads. */
int netifupdown_make_routed(const NetWish *w, const char *current, NetFiles *ret,
                            char **ret_reason) _must_check_ _nonnull_all_;
