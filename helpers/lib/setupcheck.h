/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Setupcheck: how the setup of a guest went (gueststeps.h), and what its own program "check" says of its
 * driver and its engines, as findings with what helps. All of it is the guest's word. Pure. */

#include "findings.h"
#include "setupsteps.h"

#define SETUPCHECK_PROGRAM "/usr/local/lib/gpuvm-setup/check"

/* text: of SETUPSTEPS_FILE. made_sec: what the host took before; 0: that is not known. A finding "setup" for
 * that, the boot, each step and the engines together, with the time beside its limit. Returns 0 or -ENOMEM.
 */
int setupcheck_steps(const char *machine, const char *text, unsigned made_sec,
                     Findings *ret) _must_check_ _nonnull_all_;
/* One for all that together, where no step is at work or has failed. */
int setupcheck_whole(const char *machine, const char *text, unsigned made_sec,
                     Findings *ret) _must_check_ _nonnull_all_;
/* What helps where a step has failed. 0 or -ENOMEM. */
int setupcheck_remedy(SetupStepName step, char **ret) _must_check_ _nonnull_all_;

/* text: what SETUPCHECK_PROGRAM writes, lines "CHECK ok|fail|skip TEXT"; checks that are not known are left
 * out. NULL: it did not answer, which is a finding. */
int setupcheck_program(const char *machine, const char *text, Findings *ret) _must_check_
                __attribute__((nonnull(1, 3)));

/* text: what SETUPCHECK_PROGRAM writes with the argument "engines", one such line of that name; NULL: it has
 * not answered. Always one finding "engines": well if those answer that should, or wait to be asked; a
 * warning if nobody knows; skipped as long as they are being set up. */
int setupcheck_engines(const char *machine, const char *text, Findings *ret) _must_check_
                __attribute__((nonnull(1, 3)));
