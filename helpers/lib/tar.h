/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tar: a small tree of files in memory, as an archive and back. By libarchive, which is loaded when it is
 * first used.
 *
 * What is written is the same for the same tree: sorted, without times and owners. What is read may come from
 * anybody: only plain files, directories and symbolic links, by relative names without "..", and no more of
 * them than a record of a machine has. */

#include "macro.h"

enum {
        TAR_ENTRIES_MAX = 100000,
        TAR_DEPTH_MAX = 32,
        TAR_FILE_MAX = 16 * 1024 * 1024, /* bytes of one file, and of a packed archive */
        TAR_TOTAL_MAX = 128 * 1024 * 1024,
};

typedef enum TarKind { TAR_FILE, TAR_LINK, TAR_DIRECTORY } TarKind;

typedef struct TarEntry {
        char *path; /* "proc/cmdline" */
        TarKind kind;
        char *data; /* a file's content, or where a link leads; with a NUL behind it */
        size_t size;
        size_t order; /* of adding */
} TarEntry;

typedef struct Tar {
        TarEntry *items;
        size_t n, room;
} Tar;

void tar_done(Tar *t);

/* True for a relative name that stays where it is put: no ".", "..", empty component or control character. */
bool tar_path_is_valid(const char *path) _nonnull_all_;

/* Takes copies. -EINVAL for a path that is not valid. */
int tar_add(Tar *t, const char *path, TarKind kind, const void *data, size_t size) _must_check_
                __attribute__((nonnull(1, 2)));

/* Sorts; of several entries of one path the first that was added stays. */
void tar_sort(Tar *t) _nonnull_all_;

/* The archive, packed by gzip. Sorts. -ENOPKG without libarchive, -EFBIG. */
int tar_write(Tar *t, void **ret, size_t *ret_size) _must_check_ _nonnull_all_;

/* An archive, packed or not. -EBADMSG for what is none, or has what is not allowed; -EFBIG. */
int tar_read(const void *data, size_t size, Tar *ret) _must_check_ __attribute__((nonnull(3)));

/* Makes the tree in an empty directory. Nothing is followed and nothing replaced: -ELOOP, -EEXIST. */
int tar_unpack(const Tar *t, int dir) _must_check_ _nonnull_all_;
