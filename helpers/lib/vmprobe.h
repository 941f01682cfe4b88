/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmprobe: looks at a machine now and then, for the process that stays with it: is it ready, is it well? The
 * verdict is kept with the machine (virtverdict.h) each time that it changes. */

#include "metadata.h"
#include "virt.h"
#include "vmhealth.h"

/* /run/gpuvm/watchdog/NAME: when it was started again because it was not well, in seconds, one a line. */
#define VMPROBE_DIR "/run/gpuvm/watchdog"

typedef struct VmProbe {
        int root;
        const char *name;
        VmHealth health;
        uint64_t next_usec; /* of monotonic_usec() */
        bool stopped;       /* at the last look it was paused, or suspended: somebody's wish, perhaps */
        bool agent_left;    /* it is not well for want of its agent, which the guest has ended itself */
        char *text;         /* how it was at the last look, for a user */

        /* private: the program in the guest that asks its engines is started at one look, and heard at the
         * next: nobody waits for it */
        int64_t engines_pid;
        uint64_t engines_usec; /* since when; 0: it does not run */
        char *engines;         /* what it said last; NULL: nothing yet */
} VmProbe;

/* Reads what is declared of it. */
int vmprobe_init(VmProbe *p, int root, const char *name) _must_check_ _nonnull_all_;
void vmprobe_done(VmProbe *p);

/* Once it runs, and each time that it starts again inside. */
void vmprobe_begin(VmProbe *p) _nonnull_all_;

/* How long until it is time; UINT64_MAX: never. */
uint64_t vmprobe_wait_usec(const VmProbe *p) _nonnull_all_;

/* If it is time. Returns the news (VmHealthNews), or -errno; errors of libvirt as in virtvm.h. */
int vmprobe_look(VmProbe *p, Virt *v) _must_check_ _nonnull_all_;

/* Notes that it is going to be started again. Returns NULL, or for a user why it is not to be. */
const char *vmprobe_may_restart(const VmProbe *p) _must_check_ _nonnull_all_;
