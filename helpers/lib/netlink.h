/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netlink: questions to the kernel's network stack, the walk over what it answers, and single changes.
 *
 * Dumps are reads and need no privilege. What comes back is kept as the kernel sent it, so that a recorded
 * answer can stand in for a machine. A change needs CAP_NET_ADMIN. */

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "macro.h"

enum {
        NETLINK_DUMP_MAX = 64 * 1024 * 1024, /* bytes: a router with all routes of the Internet */
};

/* Sends a request with NLM_F_DUMP and appends all that is answered to *data, which grows. protocol:
 * NETLINK_ROUTE and the like; body: what follows the header. Returns 0, -ETIMEDOUT after five seconds without
 * an answer, -EAGAIN if the tables changed meanwhile (ask again), -EFBIG, or the kernel's own error. */
int netlink_dump(int protocol, uint16_t type, const void *body, size_t body_size, char **data,
                 size_t *size) _must_check_ _nonnull_all_;

/* Asks for one change, RTM_NEWROUTE and the like, and waits for the kernel's word. flags: NLM_F_CREATE and
 * the like. Returns 0, -ETIMEDOUT as above, or the kernel's own error. */
int netlink_change(int protocol, uint16_t type, uint16_t flags, const void *body,
                   size_t body_size) _must_check_ _nonnull_all_;

/* Called for each message; the payload is aligned. Below zero ends the walk. */
typedef int (*NetlinkMessage)(uint16_t type, const void *payload, size_t size, void *userdata);

/* Walks over messages. Pure. Returns 0, -EBADMSG for what are no whole messages, or what the callback
 * returned. */
int netlink_walk(const void *data, size_t size, NetlinkMessage callback, void *userdata) _must_check_;

/* Sets table[type] for each attribute up to type max; the last of a type counts. Returns 0 or -EBADMSG. */
int netlink_attributes(const void *data, size_t size, const struct rtattr **table,
                       size_t max) _must_check_ _nonnull_all_;

/* As netlink_attributes(), of those that follow a header of that size, the message's own, in a payload. */
int netlink_body(const void *payload, size_t size, size_t header, const struct rtattr **table,
                 size_t max) _must_check_ _nonnull_all_;

static inline size_t netlink_size(const struct rtattr *a) {
        return a->rta_len - RTA_LENGTH(0);
}

/* The attribute's number, or the fallback if there is none of that size. */
uint32_t netlink_u32(const struct rtattr *a, uint32_t fallback);
