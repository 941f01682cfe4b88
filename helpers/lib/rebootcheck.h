/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rebootcheck: whatever stands against restarting the machine is a failure of the phase that names it and its
 * remedy. Each returns 0 if nothing does, or the error, which has been told. */

#include "bus.h"
#include "phase.h"
#include "reboot.h"

/* Fails if a restart now would hurt somebody. The lock of dpkg is waited for: that passes. */
int rebootcheck_busy(Phase *p, uint64_t wait_usec) _must_check_ _nonnull_all_;

/* Fails if somebody has told logind to block a shutdown. */
int rebootcheck_blockers(Phase *p, Bus *bus) _must_check_ _nonnull_all_;

/* Opens the bus where there is a logind to be asked, and asks it first. Elsewhere *ret stays as it is. */
int rebootcheck_logind(Phase *p, Bus **ret) _must_check_ _nonnull_all_;

/* Fails if it cannot help. useless: the phases that ask for what the kernel has already, or NULL. */
int rebootcheck_useful(Phase *p, char *const *useless) _must_check_;

/* Fails if the machine was restarted too often already: see reboot_decide(). The story is what must be saved
 * before asking. */
int rebootcheck_story(Phase *p, char *const *causes, bool by_us,
                      RebootStory *story) _must_check_ _nonnull_all_;
