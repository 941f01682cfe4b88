/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpucheck: the part of preflight that is about passing GPUs on: the IOMMU, VFIO in the kernel, each GPU with
 * its group, and others' claims. Pure, as preflight.h says. */

#include "conf.h"
#include "facts.h"
#include "findings.h"

/* What makes trouble with a card although its group is fine: no room for its memory, no reset, the console.
 * Adds "gpu" findings. */
int gpucheck_card(const Facts *f, const Conf *c, const PciDevice *d,
                  Findings *ret) _must_check_ _nonnull_all_;

/* Bytes. */
uint64_t gpucheck_largest_bar(const PciDevice *d) _nonnull_all_;

/* Adds to ret. Returns 0 or -ENOMEM. */
int gpucheck_judge(const Facts *f, const Conf *c, Findings *ret) _must_check_ _nonnull_all_;
