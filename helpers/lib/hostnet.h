/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hostnet: where VMs find the network of this host, as gpuvm-bridge has found or made it. */

#include "conf.h"

typedef struct HostNet {
        NetworkMode mode; /* never NETWORK_AUTO */
        char *bridge;     /* that VMs are put on; NULL for NAT */
        char *uplink;     /* of the host; NULL for NAT, or not known */
} HostNet;

/* By the record of gpuvm-bridge in this boot, else by the change that it keeps. Returns 1, or 0 where neither
 * tells: it has not run since the machine started. -ENOMEM. */
int hostnet_read(int root, const Conf *c, HostNet *ret) _must_check_ _nonnull_all_;
void hostnet_done(HostNet *n);

typedef enum HostNetHealth {
        HOSTNET_WELL,
        HOSTNET_MISSING, /* there is no such bridge */
        HOSTNET_NO_PORT, /* of a bridge that is to have one */
} HostNetHealth;

/* What /sys says of the bridge: Documentation/ABI/testing/sysfs-class-net, "bridge" and "brif". NAT is well.
 */
HostNetHealth hostnet_look(int root, const HostNet *n) _nonnull_all_;
