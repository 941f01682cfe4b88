/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Setupcheck: how the setup of a guest went (gueststeps.h), and what its own program "check" says of its
 * driver and its engines, as findings with what helps. All of it is the guest's word. Pure. */

#include "findings.h"

#define SETUPCHECK_STEPS   "/var/lib/gpuvm-setup/steps"
#define SETUPCHECK_PROGRAM "/usr/local/lib/gpuvm-setup/check"

/* text: of SETUPCHECK_STEPS, lines "STEP start|done|failed|restarts SECONDS"; others are left out. A finding
 * "setup" for each step, with how long it took, and one for all of them. Returns 0 or -ENOMEM. */
int setupcheck_steps(const char *machine, const char *text, Findings *ret) _must_check_ _nonnull_all_;

/* text: what SETUPCHECK_PROGRAM writes, lines "CHECK ok|fail|skip TEXT"; checks that are not known are left
 * out. */
int setupcheck_program(const char *machine, const char *text, Findings *ret) _must_check_ _nonnull_all_;
