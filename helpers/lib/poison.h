/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Poison: functions that the kernel does not come back from are marked in /run/gpuvm/poisoned/ADDRESS and
 * left alone: each further write would leave one more child behind.
 *
 * A mark has two lines: why, for a user, and the child of ours that is stuck, "PID START" or "0 0". It is for
 * the caller to find out that a hang has passed (see binding.h); the boot takes all marks away. */

#include "pci.h"

#define POISONED_DIR "/run/gpuvm/poisoned"

typedef struct Poison {
        char *why;      /* "the kernel did not come back from unbinding it (driver nvidia), since ..." */
        pid_t child;    /* 0: none of ours */
        uint64_t start; /* of the child: field 22 of proc_pid_stat(5) */
} Poison;

void poison_done(Poison *p);

/* The text of a mark; -EBADMSG if it makes no sense. */
int poison_parse(const char *text, Poison *ret) _must_check_ _nonnull_all_;

/* Returns 1 if the function is marked, 0 if not. */
int poison_find(int root, const PciDevice *d, Poison *ret) _must_check_ _nonnull_all_;

/* True as long as the child is in the kernel. */
bool poison_is_stuck(const Poison *p) _nonnull_all_;

/* Marks the function. driver: that hangs. doing: "unbinding it". child: ours, or 0. age_usec: since when.
 * who: has the function open, "" for nobody or not known. */
int poison_mark(int root, const PciDevice *d, const char *driver, const char *doing, pid_t child,
                uint64_t age_usec, const char *who, char **ret_why) _must_check_ _nonnull_all_;

/* Returns 1 if there was a mark. */
int poison_forget(int root, const PciDevice *d) _must_check_ _nonnull_all_;
