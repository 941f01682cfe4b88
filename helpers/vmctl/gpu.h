/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpu: of the commands about GPUs, what more than one file knows. */

#include "gpustate.h"
#include "vmctl.h"

/* In gputree.c: below the bridges that they hang on, with all that goes with them. */
int gpu_show_tree(const PciBus *bus, GpuState *const *shown, size_t n) _nonnull_all_;

/* In gpusvg.c: a picture of all of them; "-" is standard output. Tells what goes wrong. */
int gpu_write_svg(const GpuStates *states, const char *file) _must_check_ _nonnull_all_;

/* What is done to a single GPU, on the machine below root. */
typedef int (*GpuDo)(Context *c, int root, const Conf *conf, const GpuState *g, void *userdata);

/* Calls f for the GPU that a user means, with who has it. Tells what goes wrong before. */
int gpu_of(Context *c, const char *word, GpuDo f, void *userdata) _must_check_
                __attribute__((nonnull(1, 2, 3)));

/* Which machine has which. Connected. Tells what goes wrong. */
int gpu_mark_machines(Context *c, GpuStates *s) _must_check_ _nonnull_all_;

/* The GPU that a user means. Tells if there is none, or more than one. */
int gpu_find(const GpuStates *s, const char *word, GpuState **ret) _must_check_ _nonnull_all_;
/* Returns the error: GPUs are this machine's. */
int gpu_tell_elsewhere(const char *uri) _nonnull_all_;
