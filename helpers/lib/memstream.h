/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Memstream: text that is written as to a file. It is whole, or there is none: what memory did not suffice
 * for is lost to stdio, and fclose() alone does not tell. */

#include "macro.h"

typedef struct Memstream {
        FILE *file; /* to be written to */
        char *text;
        size_t size;
} Memstream;

/* Returns the file, or NULL without memory. */
FILE *memstream_open(Memstream *m) _nonnull_all_;
/* ret_size: or NULL. -ENOMEM. */
int memstream_close(Memstream *m, char **ret, size_t *ret_size) _must_check_ __attribute__((nonnull(1, 2)));
/* What was not closed is given up. */
void memstream_done(Memstream *m) _nonnull_all_;
