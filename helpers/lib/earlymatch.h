/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Earlymatch: how the early rule (earlyrule.h) knows a place on the bus, whatever the numbers of the buses on
 * the way. Pure. */

#include "pci.h"

/* What udev has to match for the function, as 'DEVPATH=="..."': the place on the root bus and slot and
 * function of each hop are fixed, bus numbers, and domains that a device on the way opens (Intel VMD), are
 * free. whole_slot: all functions of its slot. 'KERNEL=="..."' if the path is not known. */
int earlymatch_function(const PciDevice *d, bool whole_slot, char **ret) _must_check_ _nonnull_all_;

/* All of the slot that the name of a section [Gpu PATH] means, by address or by path, as if a card was there.
 * NULL if it means none. */
int earlymatch_section(const char *name, char **ret) _must_check_ _nonnull_all_;
