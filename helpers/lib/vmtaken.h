/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmtaken: which GPUs were taken from the host, for which machine. What was on VFIO before is none of them.
 *
 * A file for each, /run/gpuvm/vms/NAME/0000:01:00.0, is made before the GPU is taken. It outlives whoever
 * took it, and goes with the boot, as the hand-over does. In it are the units that were stopped for the GPU,
 * one a line: they are started again once the host has it. */

#include "macro.h"
#include "strv.h"

#define VMTAKEN_DIR "/run/gpuvm/vms"

/* What is noted already stays noted. */
int vmtaken_note(int root, const char *machine, const char *gpu) _must_check_ _nonnull_all_;
/* Returns 1, or 0 if nothing was noted. */
int vmtaken_forget(int root, const char *machine, const char *gpu) _must_check_ _nonnull_all_;
/* Returns 1 or 0. */
int vmtaken_is(int root, const char *machine, const char *gpu) _must_check_ _nonnull_all_;

/* Those that were taken for it, in order; none is an empty list. */
int vmtaken_list(int root, const char *machine, char ***ret) _must_check_ _nonnull_all_;
/* The other way round. Returns 1, or 0 if it was taken for nobody. */
int vmtaken_for(int root, const char *gpu, char **ret_machine) _must_check_ _nonnull_all_;

/* What was taken for another machine, which does not have it any more, is this one's from now on. Returns 1
 * if it was so. */
int vmtaken_hand_on(int root, const char *machine, const char *gpu) _must_check_ _nonnull_all_;

/* To be called before units are stopped so that the GPU can be taken. Appends. */
int vmtaken_note_stopped(int root, const char *machine, const char *gpu,
                         char *const *units) _must_check_ _nonnull_all_;
/* Those units. -ENOENT: it was not taken for that machine. */
int vmtaken_stopped(int root, const char *machine, const char *gpu, char ***ret) _must_check_ _nonnull_all_;
