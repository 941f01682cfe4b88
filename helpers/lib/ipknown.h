/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ipknown: addresses that somebody has, or may be given, without asking on the link: a list that whoever
 * knows some adds to. */

#include "iprange.h"

typedef enum IpState {
        IP_FREE,
        IP_RESERVED,  /* for a machine, on or off */
        IP_CLAIMED,   /* for a machine that is being made */
        IP_HOST,      /* this host's */
        IP_SPECIAL,   /* of the network as such: its first, and the broadcast address */
        IP_GATEWAY,   /* a router's */
        IP_LEASED,    /* what a DHCP server gives out */
        IP_NEIGHBOUR, /* the kernel spoke with it just now */
        IP_ANSWERS,   /* somebody says that it is his */
        IP_CONFLICT,  /* two do */
        IP_WANTED,    /* somebody is about to take it */
        _IP_STATE_MAX,
} IpState;

const char *ip_state_to_string(IpState s);

typedef struct IpKnownItem {
        IpRange range;
        IpState state;
        char *whose; /* a machine, a network of libvirt; or NULL */
} IpKnownItem;

typedef struct IpKnown {
        IpKnownItem *items;
        size_t n;
} IpKnown;

/* addresses: one, with or without prefix length, or FIRST-LAST; what is none is left out. Returns 0 or
 * -ENOMEM. */
int ipknown_add(IpKnown *k, IpState state, const char *addresses, const char *whose) _must_check_
                __attribute__((nonnull(1, 3)));
void ipknown_done(IpKnown *k);

/* What libvirt leases in a network, by its XML: the ranges, and single hosts with addresses of their own.
 * Pure but for the library. Returns 0, -EBADMSG, -ENOPKG or -ENOMEM. */
int ipknown_add_network(IpKnown *k, const char *xml) _must_check_ _nonnull_all_;

/* The bridge of the network of that name; NULL if it is not among them. As above. */
int ipknown_network_bridge(char *const *networks, const char *name, char **ret) _must_check_
                __attribute__((nonnull(2, 3)));

/* What systemd-networkd's own DHCP server gives out on a link with that address: [DHCPServer] of
 * systemd.network(5), by its files' text. Pure. */
int ipknown_add_networkd(IpKnown *k, const char *text, const uint8_t address[static 4],
                         unsigned prefix) _must_check_ _nonnull_all_;
