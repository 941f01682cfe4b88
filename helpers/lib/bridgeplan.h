/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridgeplan: a look at the machine's network, what is to be made of it, and the files for that. Changes
 * nothing. */

#include "bridge.h"
#include "conf.h"
#include "netmode.h"

typedef struct BridgePlan {
        NetState state;
        NetOwnerFacts owner_facts;
        NetOwner owner;
        NetModeChoice choice; /* change: files is filled in */
        char *uplink;         /* NULL: there is none */
        char *bridge;
        NetWish wish;
        NetFiles files;
        char *address, *client_id; /* what wish borrows */
} BridgePlan;

/* kept: what is on disk, which may be nothing. Returns 0 or -errno. */
int bridgeplan_look(int root, const Conf *c, bool force, const BridgeState *kept,
                    BridgePlan *ret) _must_check_ _nonnull_all_;
void bridgeplan_done(BridgePlan *p);

/* The address of a routed bridge: the first of the subnet, "192.0.2.1/24", or, without one, the uplink's own
 * as a single address, so that guests have a gateway that costs none. -ENODATA if there is neither. Pure. */
int bridgeplan_address(const NetState *s, const char *uplink, const char *subnet, char **ret) _must_check_
                __attribute__((nonnull(1, 2, 4)));
