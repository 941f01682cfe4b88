/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Worker: sysfs attributes of a device through a child that can be left behind.
 *
 * A write to unbind, drivers_probe or driver_override, and even reading driver_override, waits in the kernel
 * for the device's lock, which a driver's callback may hold for ever: not even SIGKILL ends that wait. So the
 * child does it, holds nothing of ours (no lock, no socket), and is given up at the deadline. */

#include "macro.h"

typedef struct Worker Worker;

/* Starts the child; it dies with us. tick: called every second or so while waiting, or NULL. */
int worker_start(int root, void (*tick)(void *userdata), void *userdata, Worker **ret) _must_check_;

/* One write(2) of the value to the attribute. Returns 0, the -errno of the write, -ETIMEDOUT at the deadline
 * (from then on every call says so), or -ECHILD if the child was killed by somebody. */
int worker_write(Worker *w, const char *path, const char *value,
                 uint64_t timeout_usec) _must_check_ _nonnull_all_;

/* The first line of the attribute. Result as worker_write(). */
int worker_read(Worker *w, const char *path, uint64_t timeout_usec, char **ret) _must_check_ _nonnull_all_;

/* Lets the child go; one that is stuck stays behind. */
void worker_free(Worker *w);
DEFINE_POINTER_CLEANUP(Worker, worker_free)
