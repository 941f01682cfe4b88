/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fs: files below a root, so that a recorded machine can stand in for the real one.
 *
 * Every path is absolute and is looked up below the directory fd "root" (fs_open_root()). For a root other
 * than / symbolic links are resolved as if it were the root directory (openat2(2), RESOLVE_IN_ROOT): a
 * recorded tree can never lead out of itself. Here is what reads; what changes is in fswrite.h. */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fswrite.h"

enum {
        FS_ATTR_MAX = 64 * 1024,        /* bytes in a sysfs or proc file we care for */
        FS_FILE_MAX = 16 * 1024 * 1024, /* bytes in a configuration file */
};

/* Returns a directory fd. path: NULL or "" is "/". */
int fs_open_root(const char *path) _must_check_;

/* True if root is the machine's own root directory. */
bool fs_is_host(int root);

/* open(2) with O_CLOEXEC and O_NOCTTY added; -errno on failure. */
int fs_open(int root, const char *path, int flags, mode_t mode) _must_check_ _nonnull_all_;

/* Reads a regular, sysfs or proc file whole, and puts a NUL behind it. Never blocks: a FIFO, device or socket
 * is -ENOTSUP, a directory -EISDIR, more than max bytes -EFBIG. ret_size may be NULL. */
int fs_read(int root, const char *path, size_t max, char **ret, size_t *ret_size) _must_check_;

/* As fs_read(), fs_readlink() and fs_readlink_name(), by name in an open directory that is no root: one of
 * /proc or /sys. No link is followed. */
int fs_read_at(int dir, const char *name, size_t max, char **ret) _must_check_ _nonnull_all_;
int fs_readlink_at(int dir, const char *name, char **ret) _must_check_ _nonnull_all_;
int fs_readlink_name_at(int dir, const char *name, char **ret) _must_check_ _nonnull_all_;

/* A sysfs attribute by name in its open directory, whole, without the newline and blanks around it. One read:
 * the kernel gives up to a page, and all of it at once (sysfs_kf_seq_show() in fs/sysfs/file.c). */
int fs_read_attr_at(int dir, const char *name, char **ret) _must_check_ _nonnull_all_;

/* The first line, without the newline and blanks around it. -ENODATA never happens: empty is "". */
int fs_read_line(int root, const char *path, char **ret) _must_check_ _nonnull_all_;

/* As fs_read_line(), for "0x030000", "1" and the like. -EINVAL if it is no such number. */
int fs_read_hex(int root, const char *path, uint64_t *ret) _must_check_ _nonnull_all_;
int fs_read_u64(int root, const char *path, uint64_t *ret) _must_check_ _nonnull_all_;

/* The last component of where the symbolic link points: the driver of a device, the number of a group. */
int fs_readlink_name(int root, const char *path, char **ret) _must_check_ _nonnull_all_;

/* Where the symbolic link points, as it is written there. */
int fs_readlink(int root, const char *path, char **ret) _must_check_ _nonnull_all_;

/* Returns 1 if the path is there (links followed), 0 if not, -errno if that cannot be known. */
int fs_exists(int root, const char *path) _must_check_ _nonnull_all_;

/* fstatat(2) below the root, links followed. */
int fs_stat(int root, const char *path, struct stat *ret) _must_check_ _nonnull_all_;

/* Names in a directory, sorted, without "." and "..". A missing directory is -ENOENT. */
int fs_list(int root, const char *path, char ***ret) _must_check_ _nonnull_all_;
/* The same of an open directory, from where it is: a new one is at its start. */
int fs_list_fd(int dir, char ***ret) _must_check_ _nonnull_all_;

/* True if the directory can be read and holds a name that starts with the prefix ("": any). */
bool fs_has_entry(int root, const char *path, const char *prefix) _nonnull_all_;

/* Splits an absolute path into its directory, which is opened (make: with those above it, 0755), and its
 * name. */
int fs_open_parent(int root, const char *path, bool make, char **ret_name) _must_check_ _nonnull_all_;

/* asprintf() that returns 0 or -ENOMEM. */
int str_printf(char **ret, const char *format, ...) _must_check_ _printf_(2, 3);
