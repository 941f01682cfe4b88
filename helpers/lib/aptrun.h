/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Aptrun: one run of apt-get or dpkg as a child, with its progress shown, its complaints understood, and the
 * decision whether another try can help. */

#include <sys/types.h>

#include "aptline.h"
#include "dpkg.h"
#include "phase.h"

/* Start with { .phase = p, .status_fd = -EBADF }. Each run forgets the one before. */
typedef struct AptRun {
        Phase *phase;
        int status_fd; /* our end of APT::Status-Fd */
        AptTrouble trouble;
        char *cause;    /* the complaint that trouble was judged by, else the first one */
        AptStep *steps; /* of a simulation */
        size_t n_steps;
        int error;
        bool quiet;               /* it has said nothing yet about how far it is */
        uint64_t lock_since_usec; /* since when another program has been in the way, over several runs */
} AptRun;

void aptrun_done(AptRun *a);

typedef enum AptJob {
        APT_JOB_SIMULATE, /* its stdout is read for steps */
        APT_JOB_FETCH,    /* changes lists */
        APT_JOB_CHANGE,   /* changes packages: the machine is kept from shutting down meanwhile */
} AptJob;

/* Returns the exit status or an error, as child_run(). */
int aptrun_program(AptRun *a, char *const *argv, char *const *more_environment, unsigned timeout_sec,
                   AptJob job) _must_check_;

#define VERB(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* apt-get, never asking, changed configuration files kept, recommended packages left out. verb: its words,
 * NULL terminated; one that starts with "--simulate" changes nothing. packages (or NULL) come behind "--". */
int aptrun_apt(AptRun *a, const char *const *verb, char *const *packages, unsigned timeout_sec) _must_check_;

/* apt-get update, tried again while that can help. Returns 0 if all lists are fresh; else as aptrun_apt(),
 * also 0 with trouble set: apt-get does not count a list that it could not fetch. */
int aptrun_update(AptRun *a) _must_check_ _nonnull_all_;

/* Who has dpkg's lock. Returns 1, 0 if nobody has it or that cannot be told, or -ENOMEM. ret_pid 0, ret_name
 * NULL: somebody out of sight. */
int aptrun_lock_holder(int root, pid_t *ret_pid, char **ret_name) _must_check_ __attribute__((nonnull(2, 3)));

/* True if another try can help; waits before it says so. attempt: from 0. */
bool aptrun_again(AptRun *a, unsigned attempt, const char *what) _nonnull_all_;

/* Sleeps; not under --root: a recorded machine has no network to come back and nobody who holds its locks. */
void aptrun_pause(const Phase *p, unsigned sec);

/* dpkg_read(), with a failure told. */
int aptrun_status(Phase *p, DpkgStatus *ret) _must_check_ _nonnull_all_;
