/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmstart: what a machine has before it starts: its GPUs, those that it names, and those that are chosen now
 * because it wishes for some by number or model.
 *
 * A choice is in no file. What was taken is noted in /run (vmgpu.h); the machine starts from a description
 * that has the GPUs, and its definition never does (virtvm_start_as()). So nothing is left to be put right
 * after a power cut, or a process that was killed: the next start chooses again, what was taken before first.
 * A machine that is off has no GPU that was chosen for it. */

#include "metadata.h"
#include "phase.h"
#include "virt.h"

typedef struct VmStart {
        char *xml;   /* what it starts from; NULL: its definition */
        int *leases; /* of the GPUs that were chosen, until libvirt knows that it has them (gpulease.h) */
        size_t n_leases;
} VmStart;

void vmstart_done(VmStart *s);

/* Takes all GPUs from the host. m: what it says of itself. wait_usec: as long it waits for GPUs that are in
 * use. Returns 0; a negative result has been told. */
int vmstart_prepare(Phase *p, Virt *v, const char *name, const Metadata *m, uint64_t wait_usec,
                    VmStart *ret) _must_check_ _nonnull_all_;

/* WhenIdle= of its file. */
int vmstart_patience(int root, const char *name, uint64_t *ret_usec) _must_check_ _nonnull_all_;
