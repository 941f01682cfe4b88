/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rebootcheck: whatever stands against restarting the machine is a failure of the phase that names it and its
 * remedy. Each returns 0 if nothing does, or the error, which has been told. */

#include "bus.h"
#include "conf.h"
#include "phase.h"
#include "reboot.h"

/* Fails if a restart now would hurt somebody. The lock of dpkg is waited for: that passes. */
int rebootcheck_busy(Phase *p, uint64_t wait_usec) _must_check_ _nonnull_all_;

/* Fails if somebody has told logind to block a shutdown. */
int rebootcheck_blockers(Phase *p, Bus *bus) _must_check_ _nonnull_all_;

/* Who asks for a restart and why, in the same order. A request of a phase that the configuration leaves out
 * by now is withdrawn (see reboot_causes(), reboot_requests()). */
int rebootcheck_requests(Phase *p, const Conf *conf, char ***ret_causes, char ***ret_useless,
                         char ***ret_reasons) _must_check_ _nonnull_all_;

/* A restart that logind has been told of. */
typedef struct RebootDate {
        uint64_t when_usec;   /* CLOCK_REALTIME, as logind was told */
        uint64_t latest_usec; /* CLOCK_BOOTTIME, which nobody sets: longer is not waited */
} RebootDate;

typedef enum RebootWatch {
        REBOOT_WAITING,
        REBOOT_DUE,
        REBOOT_OVERDUE,
        REBOOT_CALLED_OFF, /* nothing is scheduled any more, or what is there is not ours */
} RebootWatch;

/* type, at_usec: what is scheduled with logind; type is NULL for nothing. Pure. */
bool rebootcheck_is_ours(const RebootDate *d, const char *type, uint64_t at_usec) _must_check_
                __attribute__((nonnull(1)));
RebootWatch rebootcheck_watch(const RebootDate *d, uint64_t realtime_usec, uint64_t boottime_usec,
                              const char *type, uint64_t at_usec) _must_check_ __attribute__((nonnull(1)));

/* The restart that logind is about to be told of, on record until the boot ends: a run that is killed leaves
 * it scheduled. Returns 0. */
int rebootcheck_remember(int root, const RebootDate *d) _must_check_ _nonnull_all_;
/* Returns 1 and what was remembered in this boot (of latest_usec nothing is known), or 0. */
int rebootcheck_recall(int root, RebootDate *ret) _must_check_ _nonnull_all_;

/* Calls off what an earlier run scheduled and could not take back. What is scheduled and not ours stays. */
int rebootcheck_call_off_earlier(Phase *p) _must_check_ _nonnull_all_;

/* Cancels the restart if it is still what is scheduled: an administrator's that replaced it stays. Returns 1
 * if it was cancelled, else 0. */
int rebootcheck_call_off(Bus *bus, const RebootDate *d) _must_check_ _nonnull_all_;

/* Fails if a shutdown is scheduled already: it is somebody else's, and to schedule ours would replace it. */
int rebootcheck_scheduled(Phase *p, Bus *bus) _must_check_ _nonnull_all_;

/* Opens the bus where there is a logind to be asked, and asks it first. Elsewhere *ret stays as it is. */
int rebootcheck_logind(Phase *p, Bus **ret) _must_check_ _nonnull_all_;

/* Fails if it cannot help. useless: the phases that ask for what the kernel has already, or NULL. */
int rebootcheck_useful(Phase *p, char *const *useless) _must_check_;

/* Fails if the machine was restarted too often already: see reboot_decide(). The story is what must be saved
 * before asking. */
int rebootcheck_story(Phase *p, char *const *causes, bool by_us,
                      RebootStory *story) _must_check_ _nonnull_all_;
