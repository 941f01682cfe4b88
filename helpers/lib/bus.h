/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bus: the few calls to systemd that gpuvm needs, over the system bus.
 *
 * No call starts a child and none waits for ever. Errors of the bus arrive as -errno: -ENOENT no such unit,
 * -ERFKILL masked, -EACCES not allowed, -ENOTCONN and the like when there is no bus at all (a chroot, a
 * container without systemd). Only for the running machine: under --root there is nobody to talk to, and the
 * caller must not try. */

#include <sys/types.h>

#include "macro.h"

typedef struct Bus Bus;

/* Opens the system bus. Returns 0, or -errno if there is none. */
int bus_open(Bus **ret) _must_check_ _nonnull_all_;
void bus_free(Bus *b);
DEFINE_POINTER_CLEANUP(Bus, bus_free)
#define _cleanup_bus_ _cleanup_(bus_freep)

/* What the last failed call was told by the other side; "" if nothing. Valid until the next call. */
const char *bus_message(const Bus *b) _nonnull_all_;

/* Called every second or so while a call waits; may be NULL (see phase_alive()). */
typedef void (*BusTick)(void *userdata);

/* Queues a start or stop job (mode "replace") and waits until it is over.
 * Returns 0 when the job's result is "done", 1 when it is "skipped", -ETIMEDOUT at the deadline (the job goes
 * on), -ECANCELED when it was cancelled, -EPROTO when it failed or something it requires did. */
int bus_start_unit(Bus *b, const char *unit, uint64_t timeout_usec, BusTick tick,
                   void *userdata) _must_check_;
int bus_stop_unit(Bus *b, const char *unit, uint64_t timeout_usec, BusTick tick, void *userdata) _must_check_;
/* Starts it, and nothing that it requires (mode "ignore-requirements"): a phase of the bootstrap requires all
 * phases before it, and the restart of the machine among them. */
int bus_start_alone(Bus *b, const char *unit, uint64_t timeout_usec) _must_check_ _nonnull_all_;

/* Queues the start job and does not wait: systemctl start --no-block. ret_job (or NULL): its path. */
int bus_queue_unit(Bus *b, const char *unit, char **ret_job) _must_check_;

/* The same for a stop job: systemctl stop --no-block. */
int bus_queue_stop(Bus *b, const char *unit) _must_check_ _nonnull_all_;

/* systemctl restart --no-block, and reload --no-block: the unit itself reads its configuration again. */
int bus_queue_restart(Bus *b, const char *unit) _must_check_ _nonnull_all_;
int bus_queue_reload(Bus *b, const char *unit) _must_check_ _nonnull_all_;

/* Waits up to timeout_usec for the end of a job that bus_queue_unit() gave. Returns 1 and its result ("done",
 * "failed", "dependency", "canceled", "timeout", ...), or 0 if it is not over yet. */
int bus_job_wait(Bus *b, const char *job, uint64_t timeout_usec,
                 char **ret_result) _must_check_ _nonnull_all_;

/* systemctl reset-failed: one that has failed is forgotten. */
int bus_reset_failed(Bus *b, const char *unit) _must_check_ _nonnull_all_;

/* systemctl daemon-reload. */
int bus_reload(Bus *b) _must_check_ _nonnull_all_;

/* Returns 1 if systemd is taking the machine down, 0 if not. */
int bus_is_stopping(Bus *b) _must_check_ _nonnull_all_;

typedef struct BusUnit {
        char *load_state;    /* "loaded", "not-found", "masked", ... */
        char *active_state;  /* "active", "activating", "inactive", "failed", "deactivating", ... */
        char *status_text;   /* STATUS= of sd_notify(3), "" if none; services only */
        char *result;        /* "success", "exit-code", "timeout", ...; "" for what is no service */
        char *invocation;    /* 32 hex digits, "" if it never ran */
        uint64_t since_usec; /* CLOCK_REALTIME of the last change of the active state, 0: never */
        int32_t exit_status; /* of the main process; 0 if it has not ended */
        bool has_job;        /* a job is queued or running for it */
} BusUnit;

/* A unit that does not exist is no error: load_state says so. */
int bus_unit_state(Bus *b, const char *unit, BusUnit *ret) _must_check_ _nonnull_all_;
void bus_unit_done(BusUnit *u);
/* It has ended, or never ran, and nobody starts it. */
bool bus_unit_is_off(const BusUnit *u) _nonnull_all_;

/* In busfollow.c: each change of the active state of gpuvm's units from now on, while somebody calls
 * bus_process(). One that is told again as it was is no change, nor is one that systemd first hears of and
 * that is not on. */
typedef void (*BusUnitChanged)(const char *unit, const char *active_state, void *userdata);
int bus_follow_units(Bus *b, BusUnitChanged changed, void *userdata) _must_check_
                __attribute__((nonnull(1, 2)));
/* To be waited for; when it can be read, and once before the first wait, bus_process() does what there is. */
int bus_fd(Bus *b) _nonnull_all_;
int bus_process(Bus *b) _must_check_ _nonnull_all_;

/* The unit that a process belongs to; of a user's own service manager that manager. -ENOENT: to none. */
int bus_unit_of(Bus *b, pid_t pid, char **ret) _must_check_ _nonnull_all_;

/* TimeoutStopSec= of a service; UINT64_MAX: none. */
int bus_unit_stop_timeout(Bus *b, const char *unit, uint64_t *ret_usec) _must_check_ _nonnull_all_;
