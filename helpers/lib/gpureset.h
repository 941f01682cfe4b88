/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpureset: a GPU brought back to a state that is known: reset, while nobody has it, and what can be done
 * without a restart of the machine for one whose driver hangs or that fell off the bus. What is written to
 * sysfs is written by a child that can be left behind (worker.h), under the lock of its hand-overs. */

#include "gpuswitch.h"

/* Removed functions that have not come back: the file names where to look for them. */
#define REMOVED_DIR RUN_DIR "/removed"

/* Resets it by what reset_method names, and proves that it answers. Returns 0; a negative result has been
 * told. */
int gpureset_reset(const GpuSwitch *s, Bdf gpu, const char *name) _must_check_ _nonnull_all_;

/* Takes away the marks of what has passed, gives back what a hand-over has left between, and has a card that
 * does not answer any more found anew below its port. Returns 0; a negative result has been told, also where
 * nothing helps but a restart. */
int gpureset_recover(const GpuSwitch *s, Bdf gpu, const char *name) _must_check_ _nonnull_all_;
