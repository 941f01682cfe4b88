/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Agentanswer: what a guest's agent answers (qemu-ga's qapi/qga.json). Whoever is root in the guest may write
 * anything there: numbers out of range, no JSON at all, text that is not text. Pure.
 *
 * Texts are ASCII: every byte that is not printable, but newlines and tabs, becomes a "?". -EBADMSG for what
 * is no such answer. */

#include "macro.h"

enum {
        AGENT_TEXT_MAX = 256 * 1024, /* bytes of a text; the rest is left out */
        AGENT_ADDRESSES_MAX = 64,    /* likewise */
};

/* The number of a file that was opened. */
int agentanswer_handle(const char *json, int64_t *ret) _must_check_ _nonnull_all_;

/* The process that was started. */
int agentanswer_pid(const char *json, int64_t *ret) _must_check_ _nonnull_all_;

/* What was read of a file. */
int agentanswer_text(const char *json, char **ret) _must_check_ _nonnull_all_;

/* The addresses of all interfaces but the loopback, with their prefix length where that makes sense: nothing
 * else comes out of it. */
int agentanswer_addresses(const char *json, char ***ret) _must_check_ _nonnull_all_;

/* How the process is doing. Returns 1 with its exit status, 128 + N if signal N ended it, and what it has
 * written; 0 if it still runs. */
int agentanswer_end(const char *json, int *ret_status, char **ret_text) _must_check_ _nonnull_all_;
