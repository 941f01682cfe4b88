/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sparsefile: a big file that is written from its start, with holes where there are only zeros, beside its
 * name; it gets the name when it is whole and on the disk. */

#include "digest.h"

enum { SPARSEFILE_BLOCK = 64 * 1024 }; /* what is a hole or is not */

/* What stands between the name and ".part" of a file that is not whole. */
#define SPARSEFILE_SUFFIX ".part"

typedef struct SparseFile SparseFile;

typedef struct SparseFileLimits {
        uint64_t max;     /* bytes, holes too */
        uint64_t reserve; /* bytes that stay free on the file system */
} SparseFileLimits;

/* Begins NAME.part in the directory anew. digest: summed up while it is written, or NULL (see
 * sparsefile_sum()). */
int sparsefile_open(int dir, const char *name, const SparseFileLimits *limits, Digest *digest,
                    SparseFile **ret) _must_check_ __attribute__((nonnull(2, 3, 5)));

/* Each call but the last a multiple of SPARSEFILE_BLOCK. -EFBIG beyond max, -ENOSPC before the reserve is
 * touched. */
int sparsefile_write(SparseFile *f, const void *data, size_t n) _must_check_ _nonnull_all_;

/* To the disk: read-only for everybody, and only then by its name. A file of that name is replaced. */
int sparsefile_commit(SparseFile *f) _must_check_ _nonnull_all_;

/* One that was not committed goes. */
void sparsefile_free(SparseFile *f);
DEFINE_POINTER_CLEANUP(SparseFile, sparsefile_free)

uint64_t sparsefile_size(const SparseFile *f) _nonnull_all_;
uint64_t sparsefile_data(const SparseFile *f) _nonnull_all_; /* bytes that were written */

/* Sums up an open file as it was while it was written: each block that is not zero, with its place before it.
 * whole: all bytes as they are instead. Holes are not read. progress may be NULL. */
int sparsefile_sum(int fd, bool whole, Digest *digest,
                   void (*progress)(uint64_t done, uint64_t total, void *userdata),
                   void *userdata) _must_check_ __attribute__((nonnull(3)));
