/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fetchtext: what is behind an https URL, whole and in memory: answers, lists of sums, signatures. */

#include "fetch.h"

/* With a NUL behind. *reterr_message may stay NULL. */
int fetchtext_bytes(const char *url, const FetchOptions *o, char **ret, size_t *ret_size,
                    char **reterr_message) _must_check_ _nonnull_all_;

/* Without a NUL in it: -EPROTO for what is none. */
int fetchtext(const char *url, const FetchOptions *o, char **ret,
              char **reterr_message) _must_check_ _nonnull_all_;
