/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmhealth: when a machine counts as ready, and when as not well any more, from one look at it after the
 * other. Pure.
 *
 * What a file asks for (Ready=) has to be there before the machine is ready, and from then on. An agent and
 * engines that have answered once, and a GPU that was seen inside once, are expected from then on as well.
 * What is missed for a minute (WatchdogSec=) makes the machine unhealthy: a guest that is busy for a moment
 * is not. A GPU or an engine that was there has to be seen to be missing: what cannot be looked at is no
 * reason.
 *
 * A guest whose first setup is at work (setupcheck_engines(): FINDING_SKIP), or was a minute ago, is not late
 * as long as that may take, unless its file says how long it has (ReadySec=). */

#include "findings.h"
#include "vmfile.h"

/* As Ready= and Watchdog= have them, in vmkey_rows. */
typedef enum VmReady {
        VMREADY_STARTED, /* QEMU runs */
        VMREADY_AGENT,   /* its agent answers */
        VMREADY_ADDRESS, /* it has an address that is known */
        VMREADY_GPU,     /* each of its GPUs is seen inside */
        VMREADY_ENGINES, /* those of a machine for language models answer, or wait to be asked */
        _VMREADY_MAX,
} VmReady;

typedef enum VmWatchdog {
        VMWATCHDOG_REPORT,
        VMWATCHDOG_RESTART,
        VMWATCHDOG_OFF,
        _VMWATCHDOG_MAX,
} VmWatchdog;

enum {
        VMHEALTH_READY_SEC = 5 * 60, /* ReadySec= unless it is said */
        VMHEALTH_PATIENCE_SEC = 60,  /* WatchdogSec= likewise */
        VMHEALTH_SOON_SEC = 2,       /* between two looks until it is ready */
        VMHEALTH_LOOKS = 3,          /* within the patience, after that */
};

typedef struct VmHealth {
        VmReady ready;
        VmWatchdog watchdog;
        uint64_t ready_usec;    /* how long it may take */
        uint64_t setup_usec;    /* likewise as long as it sets up its engines, if that is longer */
        uint64_t patience_usec; /* how long something may be missed */
        uint64_t begin_usec;    /* since when it runs */

        /* private */
        bool expect_agent, expect_gpu, expect_engines, was_ready, late, unhealthy;
        uint64_t bad_usec;        /* since when something is missed, 0: nothing is */
        uint64_t told_usec;       /* when it was last told that it is unhealthy */
        uint64_t setup_seen_usec; /* when it was last seen to set up its engines, 0: never */
} VmHealth;

/* As the file says, or its absence (NULL). Unless it says something else, a machine for language models that
 * is set up as we do it is ready with its engines. */
VmHealth vmhealth_from(const VmFile *f);

/* It has just started, or started again inside. */
void vmhealth_begin(VmHealth *h, uint64_t now_usec) _nonnull_all_;

/* When to look next; UINT64_MAX: never. */
uint64_t vmhealth_next_usec(const VmHealth *h) _nonnull_all_;

typedef enum VmHealthNews {
        VMHEALTH_SAME,
        VMHEALTH_READY,     /* for the first time since it started */
        VMHEALTH_LATE,      /* the time for that is over */
        VMHEALTH_UNHEALTHY, /* for longer than there is patience */
        VMHEALTH_STILL,     /* for as long again, and it runs */
        VMHEALTH_WELL,      /* again */
} VmHealthNews;

/* l: of guestcheck(), and "engines" of setupcheck_engines(). ret_lacks: what is missed, of l, or NULL. */
VmHealthNews vmhealth_look(VmHealth *h, const Findings *l, uint64_t now_usec,
                           const Finding **ret_lacks) _must_check_ _nonnull_all_;

/* How often a machine may be started again because it was not well. times: when it was so, in seconds, one a
 * line, the last ones. ret: the same with this one. Returns 1; 0 if it has been too often; -ENOMEM. */
enum { VMHEALTH_RESTARTS = 3, VMHEALTH_RESTARTS_SEC = 60 * 60 };
int vmhealth_may_restart(const char *times, uint64_t now_sec, char **ret) _must_check_ _nonnull_all_;
