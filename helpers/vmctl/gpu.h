/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpu: of the commands about GPUs, what more than one file knows. */

#include "gpustate.h"
#include "vmctl.h"

/* In gputree.c: below the bridges that they hang on, with all that goes with them. */
int gpu_show_tree(const PciBus *bus, GpuState *const *shown, size_t n) _nonnull_all_;
