/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Computecheck: the part of verify that is about the GPUs that the host computes on itself. */

#include "conf.h"
#include "findings.h"
#include "pci.h"
#include "phase.h"

/* Adds a check "compute" for each GPU: one on NVIDIA's driver computes, one with VFIO is skipped, and so is
 * any other that the host is to have no driver for; where it is to have one that is a failure. And a check
 * "torch" where the system's python3 has PyTorch. Children do it, with deadlines. Returns 0 or -ENOMEM. */
int computecheck_add(Phase *p, const Conf *c, const PciBus *bus, Findings *ret) _must_check_ _nonnull_all_;
