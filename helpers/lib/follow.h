/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Follow: shows a bootstrap while it runs: the phases' lines from the journal, and what systemd says of the
 * units. On a terminal the last line is live (phase, time, current step); elsewhere only whole lines are
 * written. */

#include "bus.h"
#include "conf.h"

typedef enum FollowResult {
        FOLLOW_DONE,
        FOLLOW_FAILED,
        FOLLOW_RESTARTING,  /* the machine is about to restart */
        FOLLOW_ASKED,       /* a restart is left to the administrator */
        FOLLOW_INTERRUPTED, /* SIGINT or SIGTERM: the bootstrap goes on without us */
        FOLLOW_IDLE,        /* nothing runs */
} FollowResult;

/* Signals that end following arrive as FOLLOW_INTERRUPTED from here on. Call it before the first phase may
 * begin. */
int follow_prepare(void) _must_check_;

/* job: the target's, from bus_queue_unit(), or NULL to join a bootstrap that somebody else has started.
 * live: out is a terminal. Returns 0 or -errno. */
int follow_run(Bus *bus, const Conf *c, const char *job, bool live, FILE *out,
               FollowResult *ret) _must_check_;
