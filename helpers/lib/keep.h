/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keep: the PCI functions that the host cannot do without, whatever anybody configured.
 *
 * That is what carries a mounted file system or swap (through partitions, LVM, LUKS, md, NVMe multipath,
 * btrfs of several devices; for ZFS each disk controller with a driver), the default route (through bridges,
 * bonds and VLANs), a serial console, and the display of the console or of a BMC. Where no default route can
 * be traced to a card, each network card that is up counts: better one card too many than a server that
 * nobody reaches.
 *
 * Looks at the mount table and routes of PID 1 where it may, else at its own: a unit that uses this must have
 * a /proc with PID 1, and with PrivateNetwork= the host's /sys as well (BindPaths= or BindReadOnlyPaths=):
 * systemd mounts another, which has none of the host's network cards (mount_private_sysfs() in its
 * src/core/namespace.c). */

#include "iommu.h"

typedef struct KeepList {
        IommuKeep *items; /* no address twice; what holds "/" first */
        size_t n;
        char **reasons; /* owns the texts of the items */
} KeepList;

/* Returns 0 or -errno: on the machine itself an unreadable mount table is an error, because "nothing to keep"
 * would be a guess. */
int keep_find(int root, const PciBus *bus, KeepList *ret) _must_check_ _nonnull_all_;
void keep_done(KeepList *k);
