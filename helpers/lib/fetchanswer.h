/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fetchanswer: what a server says of a file before it sends it, header line by header line, and whether that
 * goes together with what it said on an earlier connection. Pure. */

#include "macro.h"

enum {
        FETCHANSWER_HEADERS_MAX = 64 * 1024, /* bytes of one answer */
        FETCHANSWER_EXCERPT_MAX = 200,       /* of what a server says with an error */
};

typedef struct FetchAnswer {
        /* Of this connection. */
        bool whole; /* its headers are, and say that the file follows */
        long status;
        uint64_t range_start;
        size_t header_bytes;
        char excerpt[FETCHANSWER_EXCERPT_MAX];
        size_t n_excerpt;

        /* Of the file, on all connections. */
        char *validator; /* ETag or Last-Modified, for If-Range */
        bool strong;     /* validator is an ETag */
        uint64_t length; /* UINT64_MAX: nothing was said */
} FetchAnswer;

void fetchanswer_init(FetchAnswer *a) _nonnull_all_;
void fetchanswer_done(FetchAnswer *a);

/* Another connection begins. */
void fetchanswer_begin(FetchAnswer *a) _nonnull_all_;

/* One line, with what ends it; the empty one is the last. at: bytes that are here already; max: as many are
 * allowed. Returns 0, or -EPROTO, -EFBIG with a reason (static), or -ESTALE: it is not the same file any
 * more. */
int fetchanswer_line(FetchAnswer *a, const char *line, size_t n, uint64_t at, uint64_t max,
                     const char **reterr_reason) _must_check_ _nonnull_all_;

/* The body of an answer that is an error. */
void fetchanswer_excerpt(FetchAnswer *a, const void *data, size_t n) _nonnull_all_;
/* What such an answer is: -ENOENT or -EREMOTEIO, and in words; NULL without memory. */
int fetchanswer_error(const FetchAnswer *a, char **ret_text) _must_check_ _nonnull_all_;
