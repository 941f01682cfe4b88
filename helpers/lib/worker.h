/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Worker: what may never come back, by a child that can be left behind: sysfs attributes of a device, calls
 * into a driver's library, loading a module, looking who has a device open.
 *
 * A write to unbind, drivers_probe or driver_override, and even reading driver_override, waits in the kernel
 * for the device's lock, which a driver's callback may hold for ever: not even SIGKILL ends that wait. So the
 * child does it, holds nothing of ours (no lock, no socket), and is given up at the deadline. One child does
 * all that is asked of it, one request after the other. */

#include <sys/types.h>

#include "macro.h"

enum { WORKER_REQUEST_MAX = 65536, WORKER_ANSWER_MAX = 8192 }; /* bytes */

typedef struct Worker Worker;

/* Run in the child: the request is n bytes, with a NUL behind them. Returns the result, 0 or more, or -errno;
 * a text may go into the answer. */
typedef int (*WorkerServe)(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]);

/* Starts the child; it dies with us, and signals that are meant to end us do not end it in the middle of
 * something. tick: called every second or so while waiting, or NULL. */
int worker_start(int root, void (*tick)(void *userdata), void *userdata, Worker **ret) _must_check_;

/* Returns the result of serve() in the child, -ETIMEDOUT at the deadline (from then on every call says so),
 * or -ECHILD if the child was killed by somebody. ret: the text of the answer, or NULL. */
int worker_call(Worker *w, WorkerServe serve, const void *request, size_t n, uint64_t timeout_usec,
                char **ret) _must_check_;

/* One write(2) of the value to the attribute. Result as worker_call(). */
int worker_write(Worker *w, const char *path, const char *value,
                 uint64_t timeout_usec) _must_check_ _nonnull_all_;

/* The first line of the attribute. Result as worker_call(). */
int worker_read(Worker *w, const char *path, uint64_t timeout_usec, char **ret) _must_check_ _nonnull_all_;

/* Lets the child go, and all that it has open. Returns 0, or the child if it is stuck and stays behind. */
pid_t worker_end(Worker *w) _nonnull_all_;
void worker_free(Worker *w);
DEFINE_POINTER_CLEANUP(Worker, worker_free)
