/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmgpu: the GPUs of a machine, taken from the host before it has them and given back after that, through
 * their units gpuvm-vfio@ADDRESS.service.
 *
 * What was on VFIO before stays there: only what was taken is given back. A file for each,
 * /run/gpuvm/vms/NAME/0000:01:00.0, is made before the GPU is taken. It outlives whoever took it, and goes
 * with the boot, as the hand-over does. In it are the units that were stopped for the GPU, one a line: they
 * are started again once the host has it. The GPU's own unit sees to both when it stops, whoever stops it
 * (vmgpu_settle()). */

#include "phase.h"

#define VMGPU_DIR "/run/gpuvm/vms"

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

/* Those that were taken for it, in order; none is an empty list. */
int vmgpu_taken(int root, const char *machine, char ***ret) _must_check_ _nonnull_all_;
/* The other way round. Returns 1, or 0 if it was taken for nobody. */
int vmgpu_taken_for(int root, const char *gpu, char **ret_machine) _must_check_ _nonnull_all_;

/* What was taken for another machine, which does not have it any more, is this one's from now on. Returns 1
 * if it was so. */
int vmgpu_hand_on(int root, const char *machine, const char *gpu) _must_check_ _nonnull_all_;

/* To be called before units are stopped so that the GPU can be taken. Appends. */
int vmgpu_note_stopped(int root, const char *machine, const char *gpu,
                       char *const *units) _must_check_ _nonnull_all_;

/* Asks for each to be given back, and does not wait: for the machine's own ExecStopPost=, which those units
 * wait for. Returns 0; a negative result has been told. */
int vmgpu_give_back(Phase *p, const char *machine, char *const *gpus) _must_check_
                __attribute__((nonnull(1, 2)));

/* Waits until the host has it. Returns 1, or 0 if it was not taken for this machine and stays where it is; a
 * negative result has been told. */
int vmgpu_return(Phase *p, const char *machine, const char *gpu) _must_check_ _nonnull_all_;

/* For the GPU's own unit, when the host has it again: starts what was stopped for it, without waiting, and
 * forgets for whom it was taken. */
int vmgpu_settle(Phase *p, const char *gpu) _must_check_ _nonnull_all_;
