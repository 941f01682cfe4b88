/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Cmdline: a kernel command line as words, quotes understood as lib/cmdline.c of the kernel does. */

#include "macro.h"

/* Splits. Returns 0 or -ENOMEM. */
int cmdline_parse(const char *s, char ***ret) _must_check_ _nonnull_all_;

/* Reads /proc/cmdline. */
int cmdline_read(int root, char ***ret) _must_check_ _nonnull_all_;

/* The value of the last KEY or KEY=VALUE ("" without "="), or NULL. '-' and '_' are the same in a key. */
const char *cmdline_get(char *const *words, const char *key) __attribute__((nonnull(2)));

/* True if exactly this word is there ("intel_iommu=on"). */
bool cmdline_has(char *const *words, const char *word) __attribute__((nonnull(2)));
