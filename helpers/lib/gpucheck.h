/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpucheck: the part of preflight that is about passing GPUs on: the IOMMU, VFIO in the kernel, each GPU with
 * its group, and others' claims. Pure, as preflight.h says. */

#include "conf.h"
#include "facts.h"
#include "findings.h"

/* Adds to ret. Returns 0 or -ENOMEM. */
int gpucheck_judge(const Facts *f, const Conf *c, Findings *ret) _must_check_ _nonnull_all_;
