/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Below: the block devices and network interfaces that hang on a PCI function, and what the kernel itself
 * does with them: a mounted disk and an interface that is up are in use, though no process has them open.
 * Nothing is looked for below graphics, audio, and what is with VFIO. */

#include "pci.h"

/* Kernel names of disks and partitions: "nvme1n1", "nvme1n1p1". */
int below_disks(int root, const PciDevice *d, char ***ret) _must_check_ _nonnull_all_;

/* For a user, one line for each: "nvme1n1p1 is mounted on /srv", "nvme1n1p2 is swap space", "sda is part of
 * md0", "the interface eth1 is up". NULL for none. */
int below_users(int root, const PciDevice *d, char ***ret) _must_check_ _nonnull_all_;
