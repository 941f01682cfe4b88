/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Httpask: whether a machine answers a question by HTTP, without TLS, on the way that connections to it take
 * from here: through no proxy, behind no redirect, and with nothing about us in it. What it answers beside
 * the status is thrown away. libcurl (curllib.h) is loaded when it is first used. */

#include "macro.h"

/* url: "http://192.0.2.7:8000/health". Returns the status of HTTP, 100 at least; -ENETUNREACH nobody takes
 * the connection, -ETIMEDOUT, -ECONNRESET, -EPROTO it does not talk HTTP, -ENOPKG libcurl is not installed,
 * or another -errno; with libcurl's words, which may stay NULL. */
int httpask(const char *url, uint64_t timeout_usec, char **reterr_message) _must_check_ _nonnull_all_;
