/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Earlyrule: the text of the udev rule that gives exclusive GPUs to vfio-pci before another driver sees them.
 *
 * Pure. The rule is a table of cards, which says for each function of the bus where to jump to, and behind it
 * the few lines that do something. A card is known by where it is, whatever the numbers of the buses on the
 * way, and by its ids: another card in the slot, and the same card in another slot, are not meant. */

#include "conf.h"
#include "iommu.h"

/* True if the configuration gives this device to VMs alone: an NVIDIA GPU by the mode that holds for it,
 * another vendor's display only if the Mode= of its own [Gpu PATH] section says so. */
bool early_exclusive(const Conf *c, const PciDevice *d) _nonnull_all_;

/* What udev has to match for the function, as 'DEVPATH=="..."': the place on the root bus and slot and
 * function of each hop are fixed, bus numbers, and domains that a device on the way opens (Intel VMD), are
 * free. whole_slot: all functions of its slot. 'KERNEL=="..."' if the path is not known. */
int earlyrule_match(const PciDevice *d, bool whole_slot, char **ret) _must_check_ _nonnull_all_;

/* The text for this machine and configuration; "" if no GPU is exclusive. Without IOMMU groups (before the
 * reboot that turns them on) a GPU's companions are the functions of its slot. A GPU whose group holds what
 * the host needs is left out; ret_left_out says which and why, NULL for none. Where the whole host is
 * exclusive, so are NVIDIA's cards that are put in later, and so is a card that is not there and has a
 * section that says so; but never the one with the console. */
int early_rule(const Conf *c, const PciBus *bus, const IommuKeep *keep, size_t n_keep, char **ret,
               char ***ret_left_out) _must_check_;
