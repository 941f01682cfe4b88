/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pcigroup: the functions of one IOMMU group, looked at with few system calls and looked at again: a
 * hand-over concerns no other function, and a host has a hundred. */

#include "pci.h"

/* The function and all others of its group, and nothing else of the bus; without a group, the function alone;
 * empty if there is no such function. What pci_read_brief() leaves out is not known. */
int pcigroup_read(int root, Bdf bdf, PciBus *ret) _must_check_ _nonnull_all_;

/* As it is now. Where the same functions are there, only their drivers are looked at: nothing else changes.
 * What was a device of the bus may not be one any more. */
int pcigroup_read_again(int root, Bdf bdf, PciBus *bus) _must_check_ _nonnull_all_;

/* What is in the directory of the function now: its names. It is a device of the bus. */
int pcigroup_list(PciBus *bus, const PciDevice *d) _must_check_ _nonnull_all_;
