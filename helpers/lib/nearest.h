/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nearest: which name was meant by one with a slip in it. Pure; libc only. */

#include "macro.h"

enum { NEAREST_MAX = 63 }; /* bytes of a name that is worth a guess */

/* How many slips are between the two: a letter too many, too few, another one, or two that changed places.
 * Capitals are no slips. UINT_MAX for a name that is longer than NEAREST_MAX. */
unsigned nearest_distance(const char *a, const char *b) _nonnull_all_;

/* The candidate, up to NULL, that is meant by a word with one or two slips in it, or NULL. */
const char *nearest_find(const char *word, const char *const *candidates) _nonnull_all_;
