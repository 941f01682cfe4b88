/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmgpu: the GPUs of a machine, taken from the host before it has them and given back after that, through
 * their units gpuvm-vfio@ADDRESS.service.
 *
 * What was on VFIO before stays there: only what was taken is given back, which is noted before (vmtaken.h).
 * The GPU's own unit sees to that note, and to what was stopped for the GPU, when it stops, whoever stops it
 * (vmgpu_settle()). */

#include "phase.h"

/* Units are for the machine that runs, where systemd does. */
bool vmgpu_has_units(const Phase *p) _nonnull_all_;

/* gpus: addresses of first functions, or NULL. wait_usec: for those that the host uses to become idle. Each
 * is on VFIO when this returns 0; a negative result has been told: -EINTR if stop_asked() came true
 * meanwhile. */
int vmgpu_take(Phase *p, const char *machine, char *const *gpus, uint64_t wait_usec) _must_check_
                __attribute__((nonnull(1, 2)));

/* One that may be refused. Returns 1; 0 and what its unit said, after which all is as before; a negative
 * result has been told, as above. */
int vmgpu_try(Phase *p, const char *machine, const char *gpu, char **ret_why) _must_check_ _nonnull_all_;
/* What a unit said is that the host uses the GPU (vfioidle.c). */
bool vmgpu_may_pass(const char *why) _nonnull_all_;
/* Between two tries, the longer the more there were. Returns 0; a negative result has been told. */
int vmgpu_nap(Phase *p, unsigned round) _must_check_ _nonnull_all_;

/* Before the owner of a group is started for the sake of another GPU in it: that was taken for a machine, so
 * the owner is as well, unless it was on VFIO before. Returns 0 or -errno. */
int vmgpu_note_owner(Phase *p, const char *owner, const char *gpu) _must_check_ _nonnull_all_;

/* Asks for each to be given back that no other machine is about to have (vmnext.h), and does not wait: for
 * the machine's own ExecStopPost=, which those units wait for. Returns 0; a negative result has been told. */
int vmgpu_give_back(Phase *p, const char *machine, char *const *gpus) _must_check_
                __attribute__((nonnull(1, 2)));

/* Waits until the host has it. Returns 1, or 0 if it was not taken for this machine and stays where it is; a
 * negative result has been told. */
int vmgpu_return(Phase *p, const char *machine, const char *gpu) _must_check_ _nonnull_all_;

/* For the GPU's own unit, when the host has it again: starts what was stopped for it, without waiting, and
 * forgets for whom it was taken. */
int vmgpu_settle(Phase *p, const char *gpu) _must_check_ _nonnull_all_;
