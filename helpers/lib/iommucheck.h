/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Iommucheck: what stands against turning the IOMMU on by the kernel command line is a failure of the phase,
 * with its remedy. Each returns 0 if nothing does, or the error, which has been told. */

#include "phase.h"

/* The firmware's IOMMU, by its ACPI table: "intel" or "amd". */
int iommucheck_firmware(Phase *p, const char **ret) _must_check_ _nonnull_all_;

/* Fails if another command line cannot help. override: consent to take out the words that keep it off; words:
 * the running command line. */
int iommucheck_useful(Phase *p, bool override, const char *firmware, char *const *words) _must_check_
                __attribute__((nonnull(1, 3)));
