/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmchoice: the GPUs that a machine gets that wishes for some by number or model, chosen as it starts.
 *
 * A choice is in no file. What was taken is noted in /run (vmtaken.h); the machine starts from a description
 * that has the GPUs, and its definition never does (virtvm_start_as()). So nothing is left to be put right
 * after a power cut, or a process that was killed: the next start chooses again, what was taken before first.
 * A machine that is off has no GPU that was chosen for it. */

#include "metadata.h"
#include "phase.h"
#include "virt.h"

typedef struct VmChoice {
        char *xml;   /* what it starts from; NULL: nothing was chosen */
        int *leases; /* of the GPUs that were chosen, until libvirt knows that it has them (gpulease.h) */
        size_t n_leases;
} VmChoice;

void vmchoice_done(VmChoice *s);

/* Chooses, and takes them from the host. m: what it says of itself, with a wish. until_usec: of
 * monotonic_usec(), as long it waits for GPUs that are in use. Returns 0; a negative result has been told. */
int vmchoice_make(Phase *p, Virt *v, const char *machine, const Metadata *m, uint64_t until_usec,
                  VmChoice *ret) _must_check_ _nonnull_all_;
