/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestlook: how a machine and the guest in it are doing: looked at once, and waited for. */

#include "guestcheck.h"
#include "vmctl.h"

/* Finds out what guestcheck.h judges. whole: also what readiness does not depend on; else that stays
 * unknown. Tells what goes wrong; that a guest does not answer is none of that. */
int guest_look(Context *c, const char *name, bool whole, GuestFacts *ret) _must_check_ _nonnull_all_;

/* Keeps the verdict for 'vmctl info', as well as it can. */
void guest_keep_verdict(Context *c, const char *name, FindingLevel level, const char *text) _nonnull_all_;

/* Writes it to standard output, but once, and nothing where nobody asked for words. told: what was, so far.
 */
int guest_tell_once(Context *c, const Finding *x, char ***told) _must_check_ _nonnull_all_;

/* In guestwait.c. Asks once a second until the answer is not 0, and returns that, 0 at most; -EINTR after a
 * message. interrupted: or NULL. */
int guest_poll(const char *name, int (*ask)(void *userdata), void *userdata,
               bool (*interrupted)(void)) _must_check_ __attribute__((nonnull(1, 2)));

/* In guestwait.c. What --timeout says; *usec stays as it is without one. -EINVAL after a message. */
int guest_timeout(const Context *c, uint64_t *usec) _must_check_ _nonnull_all_;

/* In guestwait.c. Until it is ready, or the deadline: see vmctl(1). need_agent: false for a guest that cannot
 * have one yet. interrupted: asked again and again, or NULL. Tells what goes wrong. */
int guest_wait(Context *c, const char *name, bool need_agent, bool (*interrupted)(void)) _must_check_
                __attribute__((nonnull(1, 2)));

/* In setupwait.c. Of a guest that sets itself up: until each of the steps (gueststeps_list()) is done; which
 * it is at and how long each took is told meanwhile. Returns 0, -EIO if one failed, -ETIMEDOUT, -ESRCH or
 * -EINTR, after a message. */
int setup_wait(Context *c, const char *name, const char *const *wanted,
               bool (*interrupted)(void)) _must_check_ _nonnull_all_;
