/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Route: the way to a machine on a routed bridge, while the machine is on.
 *
 * Such a bridge has no port. So that packets for the machine's single address come to it, the host has a
 * route to that address over the bridge, and answers for it on the uplink: by an entry for the one address
 * (`ip neigh show proxy`; arp_process() in net/ipv4/arp.c), where proxy_arp would answer for whatever the
 * host can reach. IPv4 alone. The route is of origin "static", which systemd-networkd keeps when it is
 * started again (KeepConfiguration=static in netnetworkd.c); any origin of our own it would take away.
 *
 * What was made for a tap is in /run/gpuvm/routes/TAP, so that it can be taken back when nobody can tell any
 * more whose the tap was. Whoever changes something holds bridge_lock(). */

#include <net/if.h>

#include "netstate.h"

#define ROUTE_DIR "/run/gpuvm/routes"

typedef struct Route {
        uint8_t address[4];
        char bridge[IF_NAMESIZE], uplink[IF_NAMESIZE];
} Route;

enum {
        ROUTE_UNKNOWN, /* the tap is not this machine's */
        ROUTE_NONE,    /* it is, and wants no route: a lease, another network, somebody else's machine */
        ROUTE_WANTED,
};

/* What the tap of that name is to a machine, by the XML of it as it is now. ret: its address, with
 * ROUTE_WANTED alone: the one that gpuvm has given it, for the interface that it was given for. Pure. Returns
 * one of those above, or as metadata_parse(). */
int route_find(const char *xml, const char *tap, const char *bridge, uint8_t ret[static 4]) _must_check_
                __attribute__((nonnull(1, 2, 3)));

/* The tap by which a machine that is on has its route, and its address: as route_find(), of whichever tap it
 * is. Pure. Returns ROUTE_WANTED, or ROUTE_NONE, or as metadata_parse(). */
int route_find_tap(const char *xml, const char *bridge, char ret_tap[static IF_NAMESIZE],
                   uint8_t ret[static 4]) _must_check_ _nonnull_all_;

/* The interface that the host answers on: this one, or where nobody names one that of the default route. NULL
 * if it is not there. Pure. */
const NetLink *route_uplink(const NetState *s, const char *named) _must_check_ __attribute__((nonnull(1)));

/* Why the host must not route this address and answer for it: words that go on after a colon; NULL: it may.
 * Pure. */
const char *route_obstacle(const NetState *s, const Route *r) _nonnull_all_;

/* The record, one line. Strict: anything that we do not write is -EBADMSG. Pure. */
int route_parse(const char *text, Route *ret) _must_check_ _nonnull_all_;
int route_format(const Route *r, char **ret) _must_check_ _nonnull_all_;

/* Keeps the record, then makes both and looks whether they are there. What is there already is left so.
 * Returns 1 if something was made, 0 if all was there; -ENOENT: made, and not there afterwards; -errno. Only
 * for the running machine. */
int route_add(int root, const char *tap, const Route *r) _must_check_ _nonnull_all_;

/* Whether the kernel has the route, and the proxy entry. */
int route_look(const Route *r, bool *ret_route, bool *ret_proxy) _must_check_ _nonnull_all_;

/* What the record of a tap says. Returns 1, 0 if there is none, or -errno. */
int route_load(int root, const char *tap, Route *ret) _must_check_ _nonnull_all_;

/* Takes both away, and the record; not what another tap has as well: a machine that was started again may
 * have its new one before its old one is gone. Returns 1, 0 if there is no such record, or -errno. */
int route_remove(int root, const char *tap) _must_check_ _nonnull_all_;
/* The same of all taps. Returns the first error after it has tried all, else as above. */
int route_remove_all(int root) _must_check_;
