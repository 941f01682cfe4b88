/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfiocheck: the part of verify that is about the GPUs that VMs get: is each of them where its mode wants it,
 * and may its IOMMU group go? */

#include "conf.h"
#include "findings.h"
#include "keep.h"

/* The finding "vfio" of one GPU, which is its object; with FINDING_FAIL the vfio phase may help. Returns 1 if
 * it can be given to a VM, 0 if not, or -errno. */
int vfiocheck_gpu(const Conf *c, const PciBus *bus, const KeepList *keep, const PciDevice *gpu,
                  Findings *ret) _must_check_ _nonnull_all_;

/* That of each GPU, or that there is none. Returns 0 or -errno. */
int vfiocheck_add(int root, const Conf *c, const PciBus *bus, Findings *ret) _must_check_
                __attribute__((nonnull(2, 3, 4)));
