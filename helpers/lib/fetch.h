/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fetch: what is behind an https URL. libcurl (curllib.h) is loaded when it is first used.
 *
 * https and nothing else, also behind a redirect; certificates are always checked; nobody's .netrc is read; a
 * proxy is taken from the environment, as curl(1) does. A server that is slow, stuck, endless or talks too
 * much ends in an error. A connection that breaks is taken up where it was, as long as the server says that
 * it is still the same file. */

#include <sys/types.h>

#include "macro.h"

typedef struct FetchOptions {
        uint64_t max;                 /* bytes of the body */
        uint64_t answer_usec;         /* until the headers are there; 0: 20 s */
        uint64_t stall_usec;          /* the body may bring next to nothing for that long; 0: 15 s */
        uint64_t total_usec;          /* for all of it, waiting for the caller too; 0: 6 h */
        const char *post;             /* a body to POST, or NULL: GET */
        const char *ca_file;          /* tests only: whom to trust instead; or NULL */
        void (*tick)(void *userdata); /* called several times a second while waiting, or NULL */
        bool (*stop)(void); /* asked as often, and at each read: true ends it with -EINTR; or NULL */
        void *userdata;
} FetchOptions;

typedef struct Fetch Fetch;

/* Begins. -EINVAL: no https URL; -ENOPKG: libcurl is not installed. */
int fetch_open(const char *url, const FetchOptions *o, Fetch **ret) _must_check_ _nonnull_all_;
void fetch_free(Fetch *f);
DEFINE_POINTER_CLEANUP(Fetch, fetch_free)

/* The next bytes, good until the next call. Returns how many, 0 at the end, or -errno (fetch_message() says
 * more): -ENOENT the server has no such thing, -EREMOTEIO it answers with another error, -EPROTO it does not
 * keep to the rules, -EFBIG more than max, -ETIMEDOUT, -EKEYREJECTED its certificate, -ENETUNREACH no
 * connection, -ECONNRESET it broke, -EINTR it was to stop, -ESTALE it broke and the file is another one by
 * now. */
ssize_t fetch_read(Fetch *f, const void **ret) _must_check_ _nonnull_all_;

const char *fetch_message(const Fetch *f) _nonnull_all_;

/* Bytes until now, and what the server has announced (UINT64_MAX: nothing). */
uint64_t fetch_received(const Fetch *f) _nonnull_all_;
uint64_t fetch_length(const Fetch *f) _nonnull_all_;
