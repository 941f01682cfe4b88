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

/* In guestwait.c. Until it is ready, or the deadline: see vmctl(1). need_agent: false for a guest that cannot
 * have one yet. interrupted: asked again and again, or NULL. Tells what goes wrong. */
int guest_wait(Context *c, const char *name, bool need_agent, bool (*interrupted)(void)) _must_check_
                __attribute__((nonnull(1, 2)));
