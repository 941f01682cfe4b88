/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pcigroup: the functions that change hands together, looked at with few system calls and looked at again: a
 * hand-over concerns no other function, and a host has a hundred. Mostly they are those of one IOMMU group.
 * Where the functions of a card have groups of their own (pcie_acs_override=, graphics in a processor), they
 * are those of all these groups. */

#include "pci.h"

/* Whether one of a and b is a GPU (gpu itself, or any of NVIDIA's), and the other its audio, USB or UCSI:
 * they change hands together, also where each has an IOMMU group of its own. */
bool pcigroup_belongs(const PciDevice *gpu, const PciDevice *a, const PciDevice *b) _nonnull_all_;

/* The function and all others that go with it, and nothing else of the bus; without a group, the function
 * alone; empty if there is no such function. What pci_read_brief() leaves out is not known. */
int pcigroup_read(int root, Bdf bdf, PciBus *ret) _must_check_ _nonnull_all_;

/* Anew. What was a device of the bus is none any more. */
int pcigroup_read_again(int root, Bdf bdf, PciBus *bus) _must_check_ _nonnull_all_;

/* The same for one that was read just now: as long as no function has gone, only their drivers are looked at,
 * and what was a device of the bus still is. */
int pcigroup_look_again(int root, Bdf bdf, PciBus *bus) _must_check_ _nonnull_all_;

/* What is in the directory of the function now: its names. It is a device of the bus. */
int pcigroup_list(PciBus *bus, const PciDevice *d) _must_check_ _nonnull_all_;
