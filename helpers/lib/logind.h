/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Logind: a shutdown announced ahead, and who stands against one. What bus.h says of errors and of --root
 * holds here too. */

#include "bus.h"

/* type: "reboot"; when_usec: CLOCK_REALTIME. The wall message (or NULL) goes to everybody who is logged
 * in. */
int logind_schedule_shutdown(Bus *b, const char *type, uint64_t when_usec, const char *wall) _must_check_;

/* Returns 1 if one was scheduled, 0 if none. */
int logind_cancel_shutdown(Bus *b) _must_check_ _nonnull_all_;

/* Returns 1 and the kind and time of the scheduled shutdown, or 0 if none is. */
int logind_scheduled_shutdown(Bus *b, char **ret_type, uint64_t *ret_usec) _must_check_ _nonnull_all_;

/* Keeps the machine from shutting down and from sleeping ("block") as long as the descriptor is open; why is
 * shown to who asks for it. systemd before 257 heeds it only for who is not root. */
int logind_inhibit(Bus *b, const char *why, int *ret_fd) _must_check_ _nonnull_all_;

/* Who blocks a shutdown, as "WHO (pid N): WHY"; NULL if nobody does. */
int logind_shutdown_blockers(Bus *b, char ***ret) _must_check_ _nonnull_all_;
