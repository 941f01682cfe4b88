/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fswrite: files and directories below a root are made, replaced and removed; a part of fs.h, which includes
 * it.
 *
 * Lasting files are written beside, fsynced and renamed: old or new, never torn. */

#include <sys/types.h>

#include "macro.h"

/* Replaces the file: written beside, fsynced, renamed, directory fsynced. mode is exact, whatever the umask.
 * Directories above are made (0755). */
int fs_write_atomic(int root, const char *path, const void *data, size_t size, mode_t mode) _must_check_;

/* As fs_write_atomic(), with the owner as well; (uid_t) -1 and (gid_t) -1: as the process makes files. */
int fs_write_atomic_owned(int root, const char *path, const void *data, size_t size, mode_t mode, uid_t uid,
                          gid_t gid) _must_check_;

/* As fs_write_atomic() if the content or mode differs. Returns 1 if it was written, 0 if it was so already.
 */
int fs_write_if_changed(int root, const char *path, const void *data, size_t size, mode_t mode) _must_check_;

/* Writes a sysfs attribute with one write(2). What was written must be read back by the caller. */
int fs_write_attr(int root, const char *path, const char *value) _must_check_ _nonnull_all_;

/* Makes the directory and those above it. Returns 0, also if it was there. */
int fs_mkdir_p(int root, const char *path, mode_t mode) _must_check_ _nonnull_all_;

/* Unlinks the file and fsyncs its directory. Returns 1 if it was there, 0 if not. */
int fs_remove(int root, const char *path) _must_check_ _nonnull_all_;

/* Likewise, and what a cut fs_write_atomic() of it has left beside. The path is absolute. */
int fs_remove_written(int root, const char *path) _must_check_ _nonnull_all_;

/* Renames inside one directory tree, fsyncs the directory of the target. */
int fs_rename(int root, const char *from, const char *to) _must_check_ _nonnull_all_;

/* Writes all bytes. */
int write_all(int fd, const void *data, size_t size) _must_check_;
