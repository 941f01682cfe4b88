/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kvmcheck: the part of verify that is about what the kernel has for VMs: what virt-host-validate(1) looks
 * at, but for the IOMMU, which has a check of its own. */

#include "json.h"

/* Adds a warning "kvm" for each thing that is not there, or that all are. Returns 0 or -ENOMEM. */
int kvmcheck_add(int root, json_object *report) _must_check_ _nonnull_all_;
