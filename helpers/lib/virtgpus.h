/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtgpus: which functions of the host's the machines have. */

#include "gpustate.h"
#include "virtvm.h"

/* Of one: in its definition, as it is now, and by what it says of itself; whoever made it. Appended, without
 * doubles. One that has gone meanwhile has nothing. */
int virtgpus_collect(Virt *v, const VirtVm *vm, char ***l) _must_check_ _nonnull_all_;

/* For whom a GPU is that a 'vmctl create' has written down. */
#define VIRTGPUS_BEING_MADE "that is being made"

/* Marks the GPUs of all, also of those in the making. ret_culprit: the machine that an error is about, for a
 * message; NULL: none. */
int virtgpus_mark(Virt *v, int root, GpuStates *s, char **ret_culprit) _must_check_ _nonnull_all_;

/* The machine that is on and has it now, but for that one. Returns 1, or 0 if none has. */
int virtgpus_find_user(Virt *v, const char *gpu, const char *but,
                       char **ret_machine) _must_check_ _nonnull_all_;
