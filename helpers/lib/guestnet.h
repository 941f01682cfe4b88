/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestnet: the network of a guest as NoCloud's network-config, version 2, which cloud-init and Talos read.
 * Pure.
 *
 * Emitted as JSON, which is YAML. A gateway that is in no subnet of the guest's gets "on-link": hosters that
 * give single addresses (/32) want that, and Talos knows it since 1.9. Routes are written as 0.0.0.0/0 and
 * ::/0, because older Talos takes no "default" for a destination. */

#include "macro.h"

typedef struct GuestNet {
        const char *mac;              /* the interface is found by it, whatever the guest calls it */
        const char *const *addresses; /* with prefix length, up to NULL; none: by DHCP */
        const char *const *gateways;  /* at most one of each family, up to NULL */
        const char *const *dns;       /* addresses, up to NULL */
        unsigned mtu;                 /* 0: as the guest likes */
} GuestNet;

/* "192.0.2.7/24", "2001:db8::7/64": 0 or -EINVAL. The prefix length must be there, and be no shorter than 1.
 */
int guestnet_check_address(const char *s) _must_check_ _nonnull_all_;

/* An address without prefix length, with that of the network it is in: of the first of these addresses, which
 * have one. Returns 1, 0 if it is in none of them, -EINVAL for what is no address, or -ENOMEM. */
int guestnet_complete(const char *s, const char *const *networks, char **ret) _must_check_
                __attribute__((nonnull(1, 3)));

/* "52:54:00:1a:2b:3c" of a single station: 0 or -EINVAL. */
int guestnet_check_mac(const char *s) _must_check_ _nonnull_all_;

/* Whether a gateway is in the subnet of one of the addresses: 1, 0, or -EINVAL for what are none. */
int guestnet_is_near(const char *gateway, const char *const *addresses) _must_check_
                __attribute__((nonnull(1)));

/* Returns 0, -EINVAL if something in it is no address, or a gateway has no address of its family, or -ENOMEM.
 */
int guestnet_config(const GuestNet *n, char **ret) _must_check_ _nonnull_all_;

/* A MAC for a machine: QEMU's prefix 52:54:00 and three bytes of the UUID's hash, the same each time.
 * attempt: 0, and one more each time that the last one was taken. Returns 0 or -EINVAL for what is no UUID.
 */
int guestnet_mac(const char *uuid, unsigned attempt,
                 char ret[static sizeof("52:54:00:00:00:00")]) _must_check_ __attribute__((nonnull(1)));
