/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Early: what makes an exclusive GPU belong to VFIO from its first uevent on, so that no host driver ever
 * touches it.
 *
 * Four files, each through the undo ledger: a udev rule that sets driver_override of exactly these functions
 * (earlyrule.h), modules-load.d, and the initramfs configuration that takes the rule's modules along (with
 * dracut vfio-pci alone). Where the kernel came up without IOMMU groups the rule does nothing: the host keeps
 * its drivers. */

#include "earlyrule.h"
#include "phase.h"
#include "undo.h"

#define EARLY_RULE    "/etc/udev/rules.d/70-gpuvm-vfio.rules"
#define EARLY_MODULES "/etc/modules-load.d/gpuvm.conf"
#define EARLY_DRACUT  "/etc/dracut.conf.d/gpuvm.conf"
#define EARLY_INITRD  "/etc/initramfs-tools/modules"

/* Writes what is wanted, removes what is no longer wanted; with Vfio=no, nothing. Returns 1 if something that
 * the initramfs holds was changed (announced, in a dry run), 0 if not. A negative result has been told by
 * phase_fail(). */
int early_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) _must_check_ _nonnull_all_;
