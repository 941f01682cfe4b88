/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Planvm: declared machines as links and drop-ins of their units, gpuvm-vm@NAME.service.
 *
 * Which targets want them, the order behind their GPUs' units, the mount that what they share is on, and
 * which of them exclude each other because they share a GPU or its IOMMU group. GPUs that are declared by
 * model or number have no place here: who gets which is known when the machine starts. */

#include "catalog.h"
#include "pci.h"
#include "plan.h"

/* Adds what belongs to the machines without problems. A GPU that the bus does not have is still the same one
 * for two machines that name it alike. problem: of two that exclude each other and both start with the host.
 * Returns 0 or -ENOMEM. */
int planvm_add(Plan *p, const Catalog *c, const PciBus *bus, ConfProblem problem, void *userdata) _must_check_
                __attribute__((nonnull(1, 2, 3)));

/* Names of those that are never on together with that one, appended. Returns 0 or -ENOMEM. */
int planvm_apart(const Catalog *c, const PciBus *bus, const char *name, char ***l) _must_check_ _nonnull_all_;

/* True if a machine names its GPUs: the bus is needed then. */
bool planvm_needs_bus(const Catalog *c) _nonnull_all_;
