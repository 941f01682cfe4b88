/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Early: what makes an exclusive GPU belong to VFIO from its first uevent on, so that no host driver ever
 * touches it.
 *
 * Four files, each through the undo ledger: a udev rule that sets driver_override of exactly these functions
 * (by address, checked against vendor, device and subsystem ids: a card that moved is left alone),
 * modules-load.d, and the initramfs configuration (initramfs-tools or dracut) that takes the rule's module
 * along. Where the kernel came up without IOMMU groups the rule does nothing: the host keeps its drivers. */

#include "conf.h"
#include "iommu.h"
#include "phase.h"
#include "undo.h"

#define EARLY_RULE    "/etc/udev/rules.d/70-gpuvm-vfio.rules"
#define EARLY_MODULES "/etc/modules-load.d/gpuvm.conf"
#define EARLY_DRACUT  "/etc/dracut.conf.d/gpuvm.conf"
#define EARLY_INITRD  "/etc/initramfs-tools/modules"

/* True if the configuration gives this device to VMs alone: an NVIDIA GPU by the mode that holds for it,
 * another vendor's display only if the Mode= of its own [Gpu PATH] section says so. */
bool early_exclusive(const Conf *c, const PciDevice *d) _nonnull_all_;

/* The text of the udev rule for this machine and configuration; "" if no GPU is exclusive. Pure. Without
 * IOMMU groups (before the reboot that turns them on) a GPU's companions are the functions of its slot. A GPU
 * whose group holds what the host needs is left out; ret_left_out says which and why, NULL for none. */
int early_rule(const Conf *c, const PciBus *bus, const IommuKeep *keep, size_t n_keep, char **ret,
               char ***ret_left_out) _must_check_;

/* Writes what is wanted, removes what is no longer wanted; with Vfio=no, nothing. Returns 1 if something that
 * the initramfs holds was changed (announced, in a dry run), 0 if not. A negative result has been told by
 * phase_fail(). */
int early_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) _must_check_ _nonnull_all_;
