/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmgpu: the GPUs of a machine, taken from the host before it starts and given back after its end, through
 * their units gpuvm-vfio@ADDRESS.service.
 *
 * What was on VFIO before stays there: only what was taken is given back. An empty file for each,
 * /run/gpuvm/vms/NAME/0000:01:00.0, is made before the GPU is taken. It outlives whoever took it, and goes
 * with the boot, as the hand-over does. */

#include "phase.h"

#define VMGPU_DIR "/run/gpuvm/vms"

/* Units are for the machine that runs, where systemd does. */
bool vmgpu_has_units(const Phase *p) _nonnull_all_;

/* gpus: addresses of first functions, or NULL. Each is on VFIO when this returns 0; a negative result has
 * been told. */
int vmgpu_take(Phase *p, const char *machine, char *const *gpus) _must_check_ __attribute__((nonnull(1, 2)));

/* Those that were taken for it, in order; none is an empty list. */
int vmgpu_taken(int root, const char *machine, char ***ret) _must_check_ _nonnull_all_;

/* Asks for each to be given back, and does not wait: for the machine's own ExecStopPost=, which those units
 * wait for. Returns 0; a negative result has been told. */
int vmgpu_give_back(Phase *p, const char *machine, char *const *gpus) _must_check_
                __attribute__((nonnull(1, 2)));
