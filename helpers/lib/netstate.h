/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netstate: links, addresses, routes and neighbours as the kernel has them now.
 *
 * netstate_parse() is pure: it reads the kernel's answers to RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE and
 * RTM_GETNEIGH, live ones or recorded ones. Only what decides about a bridge is kept: no routes of other
 * tables than main and no local ones. */

#include <net/if.h>
#include <netinet/in.h>

#include "macro.h"

typedef struct NetLink {
        int index, master, lower; /* of other links; 0: none */
        char name[IF_NAMESIZE];
        char kind[16];        /* "bridge", "bond", "vlan", "veth", ...; "" for a card */
        char port_kind[16];   /* of what it is a port: "bridge", "bond"; "" if of nothing */
        unsigned type;        /* ARPHRD_*: 1 is Ethernet */
        unsigned flags;       /* IFF_* */
        unsigned mtu;         /* bytes */
        uint8_t mac[6];       /* zero if it has none of that size */
        uint8_t permanent[6]; /* as the card came; zero if the kernel does not tell */
} NetLink;

typedef struct NetAddress {
        int link;
        int family; /* AF_INET or AF_INET6 */
        uint8_t bytes[16];
        unsigned prefix;
        bool link_local; /* of link scope */
        bool dynamic;    /* will end: by DHCP or router advertisement */
} NetAddress;

typedef struct NetRoute {
        int link, family;
        uint8_t target[16];
        unsigned prefix; /* 0: a default route */
        bool has_gateway;
        int gateway_family; /* AF_INET6 behind an IPv4 route: RFC 5549 */
        uint8_t gateway[16];
        uint32_t metric;
        bool onlink;    /* the gateway is taken for a neighbour, whatever the addresses say */
        bool many;      /* several gateways at once; link is the first one's */
        uint8_t origin; /* RTPROT_* */
} NetRoute;

typedef struct NetNeighbour {
        int link, family;
        uint8_t bytes[16];
        unsigned state; /* NUD_* */
        uint8_t mac[6]; /* zero if it is not known */
} NetNeighbour;

typedef struct NetState {
        NetLink *links;
        NetAddress *addresses;
        NetRoute *routes;
        NetNeighbour *neighbours;
        size_t n_links, n_addresses, n_routes, n_neighbours;
} NetState;

/* Adds what the messages say. Returns 0, -EBADMSG or -ENOMEM. */
int netstate_parse(NetState *s, const void *data, size_t size) _must_check_ __attribute__((nonnull(1)));

/* Asks the kernel for all of it; the caller's own network namespace. */
int netstate_read(NetState *ret) _must_check_ _nonnull_all_;
/* The messages themselves, for a record of the machine. */
int netstate_record(char **ret, size_t *ret_size) _must_check_ _nonnull_all_;
void netstate_done(NetState *s);

/* netstate_read(), or, below another root than the machine's own, what NETSTATE_RECORD there says. */
int netstate_load(int root, NetState *ret) _must_check_ _nonnull_all_;
#define NETSTATE_RECORD "/run/gpuvm/netstate"

/* NULL if there is none. */
const NetLink *netstate_link(const NetState *s, int index) _nonnull_all_;
const NetLink *netstate_named(const NetState *s, const char *name) _nonnull_all_;

/* The default route of the lowest metric, or NULL. */
const NetRoute *netstate_default(const NetState *s, int family) _nonnull_all_;

/* True if no address of the link shares a network with the gateway: the /32 of hosters. The route's flag
 * alone says nothing: ifupdown sets it on every default route. A gateway of IPv6's link scope is a neighbour
 * by nature. */
bool netstate_gateway_is_onlink(const NetState *s, const NetRoute *r) _nonnull_all_;

/* True if an interface has the index as its port. */
bool netstate_has_ports(const NetState *s, int index) _nonnull_all_;

/* State of the neighbour: NUD_*, 0 if it is not known. */
unsigned netstate_neighbour(const NetState *s, int link, int family, const uint8_t *bytes) _nonnull_all_;

static inline size_t net_address_size(int family) {
        return family == AF_INET6 ? 16 : 4;
}

/* "192.0.2.1", "fe80::1": borrowed, until the fourth call after. */
const char *net_address_to_string(int family, const uint8_t *bytes) _nonnull_all_;
/* "52:54:00:12:34:56": borrowed likewise. */
const char *net_mac_to_string(const uint8_t mac[static 6]) _nonnull_all_;

bool net_same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits) _nonnull_all_;
