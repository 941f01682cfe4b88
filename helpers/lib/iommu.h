/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Iommu: groups, and whether one may be handed to a VM. Pure over pci.h, but for the reader of the groups. */

#include "pcigroup.h"

/* Number of groups in /sys/kernel/iommu_groups; 0 if the IOMMU is off or absent. */
int iommu_count_groups(int root, size_t *ret) _must_check_ _nonnull_all_;

/* "intel" (ACPI DMAR), "amd" (IVRS), "arm-smmu" (IORT) or NULL: what the firmware offers. */
int iommu_firmware(int root, const char **ret) _must_check_ _nonnull_all_;

/* What may not be given away, found by the caller: the root disk's controller, the uplink, a BMC, a console.
 */
typedef struct IommuKeep {
        Bdf bdf;
        const char *why; /* "the disk under /" */
        bool consent;    /* may go where an administrator names it in AcceptSiblings= */
} IommuKeep;

typedef struct IommuVerdict {
        bool viable;
        const PciDevice **members; /* all that changes hands together, or stays: of the GPU's group, and of
                                    * the groups of other functions of its card; sorted */
        size_t n_members;
        const PciDevice **endpoints; /* those of them that must be on a VFIO driver, sorted */
        size_t n_endpoints;
        const PciDevice *owner; /* the lowest GPU of them: whose unit the others follow */
        char *blocker;          /* if not viable: all who are in the way, and why, for a user */
        bool consent;           /* if not viable: one of them may go with consent */
} IommuVerdict;

/* What the device is kept for, or NULL, also if that is something which accept_siblings gives away. */
const IommuKeep *iommu_keep_find(const IommuKeep *keep, size_t n_keep, const PciDevice *d,
                                 char *const *accept_siblings) _must_check_ __attribute__((nonnull(3)));

/* For a user: "the only console of this machine, which the host needs itself (AcceptSiblings=0000:01:00.0
 * gives it away)". */
int iommu_keep_describe(const IommuKeep *k, char **ret) _must_check_ _nonnull_all_;

/* What helps: names the setting where consent would do, else the slot. */
const char *iommu_remedy(const IommuVerdict *v) _nonnull_all_;

/* The group of the device, whole, and where functions of its card have others (pcigroup_belongs()), those as
 * well: each has to be one that may go. gpu: a device of the bus. accept_siblings: names ("0000:03:00.0")
 * that the administrator allows to go along although they are not companions of the GPU. Without a group:
 * -ENODEV. */
int iommu_group_check(const PciBus *bus, const PciDevice *gpu, const IommuKeep *keep, size_t n_keep,
                      char *const *accept_siblings, IommuVerdict *ret) _must_check_;
void iommu_verdict_done(IommuVerdict *v);
