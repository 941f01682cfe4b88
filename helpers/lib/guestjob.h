/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestjob: a machine that is started for one thing, says by its second disk what came of it, and turns
 * itself off: from an overlay on an image, without a GPU. libvirt has no definition of it, and ends it with
 * our connection: also where we are killed. */

#include "guestlog.h"
#include "rollback.h"
#include "virtvm.h"

typedef struct GuestJob {
        Rollback *made;            /* its name is the machine's; gets all files */
        const char *pool;          /* the directory for them */
        const char *base, *format; /* the image */
        uint64_t size;             /* bytes of the overlay */
        const char *user_data;
        const char *blank;   /* what stands on the second disk before */
        const char *network; /* of libvirt's */
        bool kvm, bios;
        unsigned cpus;
        uint64_t memory_kib, timeout_usec;
        GuestLine line; /* of its console */
        void *userdata; /* of line */
        bool (*stop)(void);
} GuestJob;

/* Paths of its files: to be freed. */
typedef struct GuestFiles {
        char *disk, *seed, *answer, *log, *variables; /* of its firmware, which libvirt makes */
} GuestFiles;
void guestfiles_done(GuestFiles *f);

/* Runs it. It is off when this returns; its files stay, for whoever takes made back. Returns 0 and what is on
 * the second disk now (at most max bytes; a NUL behind them); -ETIMEDOUT: it was not off in time; -EINTR: to
 * stop; or -errno and whose fault it was: a part of a sentence, "libvirt does not start it: ...". */
int guestjob_run(Virt *v, const GuestJob *j, size_t max, GuestFiles *ret_files, char **ret_answer,
                 size_t *ret_size, char **reterr) _must_check_ _nonnull_all_;
