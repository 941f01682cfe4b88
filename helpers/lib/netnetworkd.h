/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netnetworkd: a bridge in the language of systemd-networkd, also where netplan writes for it.
 *
 * The files are ours and sort before all others, so that nobody else's is touched: the first .network file
 * that matches a link is the one that counts, systemd.network(5). netplan has no such word: its files are
 * merged, and a merged list of addresses only grows (netplan-yaml documentation, "file merging"), so an
 * address could be taken off the uplink only by rewriting an administrator's YAML. Its output in /run is
 * overridden instead, the way that systemd has for it. */

#include "netfile.h"

#define NETNETWORKD_DIR "/etc/systemd/network/"

/* current: the uplink's .network file with its drop-ins behind it; name: that file's name. Returns 0,
 * NETFILE_REFUSED or -errno. Pure. */
int netnetworkd_make(const NetWish *w, const char *name, const char *current, NetFiles *ret,
                     char **ret_reason) _must_check_ _nonnull_all_;

/* The files of a routed bridge; nothing is known of the uplink. */
int netnetworkd_make_routed(const NetWish *w, NetFiles *ret) _must_check_ _nonnull_all_;

/* Reads the .network file and its drop-ins as systemd-networkd does: by name, /etc before /run before
 * /usr/lib. */
int netnetworkd_read(int root, const char *path, char **ret) _must_check_ _nonnull_all_;

/* CLIENTID= of the link's lease, in hex; NULL if there is no lease. sd_dhcp_lease's state file. */
int netnetworkd_client_id(int root, int index, char **ret) _must_check_ _nonnull_all_;
