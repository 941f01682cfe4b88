/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Iprange: addresses that follow each other, of IPv4 or IPv6. Pure. */

#include <netinet/in.h>

#include "macro.h"

typedef struct IpRange {
        int family; /* AF_INET or AF_INET6 */
        uint8_t first[16], last[16];
} IpRange;

/* "192.0.2.7", "192.0.2.7-192.0.2.99", or "192.0.2.0/24", which is iprange_network(); the same of IPv6.
 * Returns 0 or -EINVAL. */
int iprange_parse(const char *s, IpRange *ret) _must_check_ _nonnull_all_;

/* What hosts may have in the network of an address: not the first, which is the network's own (IPv4), or any
 * router's (RFC 4291, 2.6.1), and not IPv4's last, which is everybody's; all of it where there are one or
 * two. prefix: bits, not more than the family has. */
void iprange_network(int family, const uint8_t *address, unsigned prefix, IpRange *ret) _nonnull_all_;

/* How many; UINT64_MAX: that or more. */
uint64_t iprange_count(const IpRange *r) _nonnull_all_;
bool iprange_has(const IpRange *r, int family, const uint8_t *address) _nonnull_all_;

/* The place of one that is in it, the first one's is 0; and back. */
uint64_t iprange_place(const IpRange *r, const uint8_t *address) _nonnull_all_;
void iprange_at(const IpRange *r, uint64_t place, uint8_t ret[static 16]) __attribute__((nonnull(1)));

/* What is in both. Returns 1, or 0 for nothing. */
int iprange_cut(const IpRange *a, const IpRange *b, IpRange *ret) _must_check_ _nonnull_all_;

/* "192.0.2.7" or "192.0.2.7-192.0.2.99". */
typedef struct IpRangeText {
        char text[2 * INET6_ADDRSTRLEN];
} IpRangeText;
IpRangeText iprange_text(const IpRange *r) _nonnull_all_;
