/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Arp: the question who has an address, and what others on the link say about theirs. Pure: probe.h asks.
 *
 * IPv4 by ARP probes (RFC 5227): they name no sender, so that nobody learns a wrong neighbour from them. IPv6
 * by neighbour solicitations (RFC 4861) from the link's own address, because one without a sender would make
 * a host that is just about to take that address give it up (RFC 4862, 5.4.3). */

#include <netinet/in.h>

#include "macro.h"

enum { ARP_FRAME_MAX = 72 }; /* bytes: an IPv6 header, a solicitation and its option */

/* What comes behind the Ethernet header. */
typedef struct ArpFrame {
        uint16_t protocol; /* ETH_P_ARP or ETH_P_IPV6 */
        uint8_t to[6];
        uint8_t data[ARP_FRAME_MAX];
        size_t size;
} ArpFrame;

/* mac: the asking link's. source: its link-local IPv6 address; NULL: it has none, and names no sender then.
 */
void arp_ask(int family, const uint8_t *address, const uint8_t mac[static 6], const uint8_t *source,
             ArpFrame *ret) __attribute__((nonnull(2, 3, 5)));

typedef struct ArpWord {
        uint8_t address[16];
        uint8_t mac[6];
        bool wants; /* the address is not in use by that host yet: it asks, as we do, whether it is free */
} ArpWord;

/* data: what came behind the Ethernet header, from the station with that MAC. Returns 1; 0 for what says
 * nothing about an address; -EBADMSG for what is no such frame, or a broken one. */
int arp_read(int family, const void *data, size_t n, const uint8_t from[static 6],
             ArpWord *ret) _must_check_ _nonnull_all_;
