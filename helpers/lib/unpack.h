/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Unpack: xz, zstd and gzip while it comes in, in bounded memory.
 *
 * xz by liblzma's threaded decoder: images of several blocks (xz -T) are unpacked by several threads. zstd
 * and gzip by libarchive, loaded when it is first used. */

#include <sys/types.h>

#include "macro.h"

typedef enum UnpackKind {
        UNPACK_NONE, /* as it is */
        UNPACK_XZ,
        UNPACK_ZSTD,
        UNPACK_GZIP,
} UnpackKind;

/* By the end of a name: ".xz", ".zst", ".gz". */
UnpackKind unpack_kind(const char *name) _nonnull_all_;

/* The next bytes, good until the next call: how many, 0 at the end, or -errno. */
typedef ssize_t (*UnpackSource)(void *userdata, const void **ret);

typedef struct Unpack Unpack;

/* memory: bytes that it may take, for all threads; less than one of them needs is an error when it is seen.
 */
int unpack_open(UnpackKind kind, uint64_t memory, UnpackSource source, void *userdata,
                Unpack **ret) _must_check_ __attribute__((nonnull(3, 5)));
void unpack_free(Unpack *u);
DEFINE_POINTER_CLEANUP(Unpack, unpack_free)

/* Fills the buffer, but at the end. Returns how many bytes, 0 at the end, which has been seen to be the end
 * of the source too; or an error of the source; -EBADMSG damaged, -ENODATA cut short, -E2BIG too much memory,
 * -EOPNOTSUPP not the kind that was announced. */
ssize_t unpack_read(Unpack *u, void *buffer, size_t n) _must_check_ _nonnull_all_;
