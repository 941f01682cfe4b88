/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmstop: stopping a machine, a step at a time, by who has other things to do meanwhile: its guest is asked
 * to shut down, again and again, for one that is still starting has not heard it; when the time is up its
 * plug is pulled. */

#include "phase.h"
#include "virt.h"

/* What is kept back of the time, for pulling the plug: of that of the machine's unit, before systemd kills
 * who does it. */
#define VMSTOP_MARGIN_USEC (20 * USEC_PER_SEC)

typedef struct VmStop {
        bool begun;
        uint64_t plug_usec, ask_usec; /* when it is pulled, when the guest is asked again: monotonic_usec() */
        unsigned pulls;
} VmStop;

typedef enum VmStopStep {
        VMSTOP_NOTHING, /* was due, or libvirt is away and there is time left */
        VMSTOP_ASKED,
        VMSTOP_NOT_ASKED,  /* libvirt could not; virt_message() tells why */
        VMSTOP_PULLED,     /* the machine is going to be off */
        VMSTOP_NOT_PULLED, /* likewise; it is tried again */
} VmStopStep;

/* How long the machine's unit may take to stop; three minutes where there is none. */
uint64_t vmstop_patience(const Phase *p, const char *name) _nonnull_all_;

/* patience_usec: how long whoever waits for it does; UINT64_MAX: for ever. The first word stands. */
void vmstop_begin(VmStop *s, uint64_t patience_usec) _nonnull_all_;

/* Does what is due. v: NULL while libvirt is away. Returns what it did (VmStopStep); -EBUSY if the plug was
 * pulled three times, and QEMU does not end; -EHOSTDOWN if the time is up and libvirt does not answer. */
int vmstop_go_on(VmStop *s, Virt *v, const char *name) _must_check_ __attribute__((nonnull(1, 3)));
