/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netowner: whose an interface is, and in which files its owner has written what it shall be.
 *
 * Read from what the owners leave in /run and from their own files, so that a recorded machine tells it too
 * and nobody has to be asked:
 *   NetworkManager    /run/NetworkManager/devices/INDEX (nm_config_device_state_write() in its nm-config.c)
 *   systemd-networkd  /run/systemd/netif/links/INDEX (link_save() in its networkd-state-file.c)
 *   ifupdown          /run/network/ifstate and /etc/network/interfaces, interfaces(5) */

#include "netstate.h"

typedef enum NetOwner {
        NETOWNER_NONE,
        NETOWNER_NETWORKMANAGER,
        NETOWNER_NETWORKD,
        NETOWNER_NETPLAN, /* systemd-networkd, by files that netplan makes at each boot */
        NETOWNER_IFUPDOWN,
} NetOwner;

typedef struct NetOwnerFacts {
        bool nm;               /* NetworkManager manages it and has a connection up */
        char *nm_uuid;         /* of that connection */
        char *nm_file;         /* its keyfile; NULL: made up by NetworkManager, in no file */
        bool networkd;         /* systemd-networkd has configured it */
        char *networkd_file;   /* its .network file */
        bool ifupdown;         /* up by ifupdown */
        char **ifupdown_files; /* those with a stanza of it */
} NetOwnerFacts;

const char *netowner_to_string(NetOwner o);

/* index, name: of the link. Returns 0 or -ENOMEM; what cannot be read is not there. */
int netowner_look(int root, int index, const char *name, NetOwnerFacts *ret) _must_check_ _nonnull_all_;
void netowner_done(NetOwnerFacts *f);

/* Pure. NETOWNER_NONE: ret_reason says why, in words that go on after "because"; it is a literal. */
NetOwner netowner_decide(const NetOwnerFacts *f, const char **ret_reason) _must_check_ _nonnull_all_;

/* Pure. True if the text has a stanza "iface NAME ...". */
bool netowner_has_stanza(const char *text, const char *name) _must_check_ _nonnull_all_;
