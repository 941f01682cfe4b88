/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kvmcheck: what VMs need of the kernel, and of the distribution. The former is what virt-host-validate(1)
 * looks at, but for the IOMMU, which has a check of its own. */

#include "findings.h"

/* Adds a warning "kvm" for each thing that is not there, or that all are. Returns 0 or -ENOMEM. */
int kvmcheck_add(int root, Findings *ret) _must_check_ _nonnull_all_;

/* What has to be installed for VMs. machine: as uname -m; codename: of the release, or NULL. Returns 0,
 * -EOPNOTSUPP for a machine that gpuvm runs none on, or -ENOMEM. */
int kvmcheck_packages(const char *machine, const char *codename, char ***ret) _must_check_
                __attribute__((nonnull(1, 3)));
