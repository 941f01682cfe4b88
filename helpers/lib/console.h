/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Console: whether the kernel draws a text console with a GPU. It is no process and has nothing open. */

#include "pci.h"

/* Returns 1 if it does, 0 if not. That is the GPU that the firmware started with, as long as no driver has a
 * frame buffer there in place of the firmware's, or the one with the first frame buffer. */
int console_is_on(int root, const PciDevice *gpu) _must_check_ _nonnull_all_;
