/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Early: what makes an exclusive GPU belong to VFIO from its first uevent on, so that no host driver ever
 * touches it.
 *
 * Four files, each through the undo ledger: a udev rule that sets driver_override of exactly these functions
 * (by address, checked against vendor and device id: a card that moved is left alone), modules-load.d, and
 * the initramfs configuration (initramfs-tools or dracut) that takes the rule's module along. */

#include "conf.h"
#include "pci.h"
#include "phase.h"
#include "undo.h"

#define EARLY_RULE    "/etc/udev/rules.d/70-gpuvm-vfio.rules"
#define EARLY_MODULES "/etc/modules-load.d/gpuvm.conf"
#define EARLY_DRACUT  "/etc/dracut.conf.d/gpuvm.conf"
#define EARLY_INITRD  "/etc/initramfs-tools/modules"

/* The text of the udev rule for this machine and configuration; "" if no GPU is exclusive. Pure. Without
 * IOMMU groups (before the reboot that turns them on) a GPU's companions are the functions of its slot. */
int early_rule(const Conf *c, const PciBus *bus, char **ret) _must_check_ _nonnull_all_;

/* Writes what is wanted, removes what is no longer wanted. Returns 1 if something that the initramfs holds
 * was changed (announced, in a dry run), 0 if not. A negative result has been told by phase_fail(). */
int early_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) _must_check_ _nonnull_all_;
