/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reboot: how a phase says that the machine must start again before later phases can do their work, and the
 * guard that keeps the promise "at most two for one cause, four in all, none that cannot help".
 *
 * A request is a file /run/gpuvm/reboot.d/PHASE: it vanishes with the boot that it asks to end.
 * gpuvm-reboot.service acts on the requests after the iommu phase. What must survive is in
 * /var/lib/gpuvm/pending (see gpuvm-reboot). */

#include "macro.h"

/* why: one sentence for the user, no newline. Returns 0. */
int reboot_request(int root, const char *phase, const char *why) _must_check_ _nonnull_all_;

/* The phase found its goal met after all. Returns 0. */
int reboot_withdraw(int root, const char *phase) _must_check_ _nonnull_all_;

/* Phases that ask and their reasons, as "PHASE: WHY"; NULL if none asks. */
int reboot_requests(int root, char ***ret) _must_check_ _nonnull_all_;
