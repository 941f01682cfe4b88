/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Stopped: the word about a phase that has failed, for those who come later: at login, also after a restart,
 * and in the report, which is only as good as what came after it. It stays until that phase, or the last one,
 * ends well. */

#include "macro.h"

#define REPORT_PATH  "/var/lib/gpuvm/report.json"
#define STOPPED_PATH "/var/lib/gpuvm/phases/stopped" /* a login shows it: /run/motd.d/gpuvm-stopped */

/* cause: with the remedy, as it was logged. Tries both. Returns 0 or the first error. */
int stopped_note(int root, const char *phase, const char *cause) _must_check_ __attribute__((nonnull(2, 3)));

/* phase: that has ended well; NULL: all have. Returns 0. */
int stopped_clear(int root, const char *phase) _must_check_;
