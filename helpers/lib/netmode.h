/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netmode: whether VMs get a bridge on the uplink, a routed one beside it, or NAT, and why.
 *
 * Where the network behind the uplink takes frames of one MAC address only, a bridge on it gives VMs nothing:
 * Wi-Fi stations (802.11 frames to an access point have room for one), cloud VMs, and hosters that lock the
 * port. Where the answer is not certain the host's own network is left as it is. */

#include "conf.h"
#include "netstate.h"

typedef struct NetModeFacts {
        NetworkMode wish;        /* Mode= */
        bool force;              /* the uplink may become a port though its gateway is no neighbour */
        const char *bridge;      /* Bridge= */
        bool ours;               /* a bridge of that name is there, and we made it */
        const char *taken;       /* kind of the link that has the bridge's name, "" for a card; NULL: none */
        const char *uplink;      /* what the default route leaves by; NULL: there is no such route */
        const char *uplink_kind; /* "" for a card, "bond", "vlan", "bridge", ... */
        unsigned uplink_type;    /* ARPHRD_* */
        bool has_ports;          /* of an uplink that is a bridge */
        const char *master;      /* whose port the uplink is; NULL: nobody's */
        bool wifi;
        bool onlink;          /* see netstate_gateway_is_onlink() */
        bool many;            /* several gateways at once */
        bool split;           /* IPv6 leaves by another link than IPv4 */
        bool network_root;    /* the root file system comes by the network */
        const char *cloud;    /* whose virtual machine this is, or NULL */
        const char *hoster;   /* whose port security is known, or NULL */
        const char *no_owner; /* why nobody is known who runs the uplink; NULL: somebody is */
} NetModeFacts;

typedef struct NetModeChoice {
        NetworkMode mode;   /* never NETWORK_AUTO */
        bool change;        /* something is to be made */
        bool refused;       /* what was asked for cannot be; mode says what would be instead */
        const char *bridge; /* the bridge that VMs are put on; borrowed from the facts; NULL for NAT */
        char *reason;       /* a sentence without its full stop */
} NetModeChoice;

/* Pure. Returns 0 or -ENOMEM. */
int netmode_choose(const NetModeFacts *f, NetModeChoice *ret) _must_check_ _nonnull_all_;
void netmode_done(NetModeChoice *c);

/* Pure. Fills in what the links and routes say. uplink: Uplink=, or NULL to go by the default route, IPv4's
 * first. Borrows from the state. */
void netmode_from_state(const NetState *s, const char *bridge, const char *uplink, NetModeFacts *f)
                __attribute__((nonnull(1, 2, 4)));

/* Whose virtual machine this is: by DMI and by what cloud-init found. A literal, or NULL. */
const char *netmode_cloud(int root);
/* Whose port security is known to lock the uplink to one MAC address: by the name servers that only its
 * customers use. A literal, or NULL. */
const char *netmode_hoster(int root);
bool netmode_is_wifi(int root, const char *interface) _nonnull_all_;
/* NFS, iSCSI and the like, as the kernel command line and the mount table have it. */
bool netmode_has_network_root(int root);
