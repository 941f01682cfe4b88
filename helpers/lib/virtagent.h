/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtagent: what the agent in a guest (qemu-guest-agent) can tell, asked through libvirt. It belongs to the
 * guest, which may answer anything or never: see agentanswer.h for what comes out of it, and each call has
 * its deadline.
 *
 * Errors of libvirt as in virt.h, its words and the agent's in virt_message(): -EOPNOTSUPP the machine has no
 * channel to an agent, -ENOTCONN none answers, -EIO the agent refuses, -EBADMSG its answer makes no sense. */

#include "virt.h"

int virtagent_ping(Virt *v, const char *name) _must_check_ _nonnull_all_;

/* Of one that does not answer: has the guest itself closed its channel? A guest that goes down ends its agent
 * early, one that hangs leaves it open. Returns 1 if so, 0 if not or there is none. */
int virtagent_has_left(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* Pure: the same of the description of a machine that runs; -EBADMSG, -ENOPKG, -ENOMEM. */
int virtagent_has_left_in(const char *xml) _must_check_ _nonnull_all_;

/* Its addresses, of all interfaces but the loopback (agentanswer.h). */
int virtagent_addresses(Virt *v, const char *name, unsigned timeout_sec,
                        char ***ret) _must_check_ _nonnull_all_;

/* The beginning of a file of the guest's, AGENT_TEXT_MAX bytes at most. Starts nothing in the guest. */
int virtagent_read(Virt *v, const char *name, const char *path, char **ret) _must_check_ _nonnull_all_;

/* Starts a program in the guest: argv[0] is a path, or a name for its search path; no shell is between. */
int virtagent_start(Virt *v, const char *name, const char *const *argv,
                    int64_t *ret_pid) _must_check_ _nonnull_all_;

/* How it is doing. Returns 1 with its exit status, 128 + N if signal N ended it, and what it wrote to
 * standard output, AGENT_TEXT_MAX bytes at most, once: the agent forgets it; 0 if it still runs. */
int virtagent_poll(Virt *v, const char *name, int64_t pid, int *ret_status,
                   char **ret) _must_check_ _nonnull_all_;

/* Both, and waits. Returns the exit status; -ETIMEDOUT if it still runs at the deadline: then it goes on. */
int virtagent_run(Virt *v, const char *name, const char *const *argv, uint64_t timeout_usec,
                  char **ret) _must_check_ _nonnull_all_;
