/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Parse: strings to values, strictly. Each returns 0, -EINVAL for what is not such a value, -ERANGE for one
 * that does not fit; the output is left alone on failure. */

#include "macro.h"

/* systemd's words: 1 yes y true t on, 0 no n false f off, in any case. Returns 0 or 1, or -EINVAL. */
int parse_boolean(const char *s) _must_check_ _nonnull_all_;

/* Digits only: no sign, no blank, no 0x. */
int parse_u64(const char *s, uint64_t *ret) _must_check_ _nonnull_all_;
int parse_uint(const char *s, unsigned max, unsigned *ret) _must_check_ _nonnull_all_;

/* "0x10de" or "10de". */
int parse_hex(const char *s, uint64_t max, uint64_t *ret) _must_check_ _nonnull_all_;

/* A number of bytes with an optional K, M, G or T, each 1024 times the one before. */
int parse_size(const char *s, uint64_t *ret) _must_check_ _nonnull_all_;

/* systemd.time(7) in its small form: "90", "90s", "5min", "2h", "100ms", and sums of those. Result in µs. */
int parse_sec(const char *s, uint64_t *ret_usec) _must_check_ _nonnull_all_;
