/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagecache: the images that are on this machine: /var/cache/gpuvm/images.
 *
 * NAME.json is an entry: what the image is and which file it has now. The file's name has the build in it, is
 * read-only and never changes: machines have overlays on it. A newer build is another file, and the entry is
 * replaced. Who makes an entry holds its lock. */

#include "imageentry.h"

/* The entry of a name, if its file is there and as long as it was. -ENOENT: not in the cache. */
int imagecache_find(int root, const char *name, ImageEntry *ret) _must_check_ _nonnull_all_;

/* Keeps its file from being removed as long as e->hold is open: until a disk is made on it. -ENOENT: it is
 * gone. */
int imagecache_hold(int root, ImageEntry *e) _must_check_ _nonnull_all_;

/* All of them, by name. */
int imagecache_list(int root, ImageEntry **ret, size_t *ret_n) _must_check_ _nonnull_all_;

/* The cache's directory, made where it is missing: an fd. -EACCES: not ours to change. */
int imagecache_open(int root) _must_check_;

/* Takes the lock of a name: an fd to be closed. wait called about four times a second while somebody else has
 * it: below zero ends it, and is returned; NULL: returns -EBUSY at once. */
int imagecache_lock(int cache, const char *name, int (*wait)(void *userdata), void *userdata) _must_check_;

/* Makes the entry the one of its name. -EFBIG: its text is longer than can be read back. */
int imagecache_put(int root, const ImageEntry *e) _must_check_ _nonnull_all_;

/* Files of the cache that something is made on: read from the headers of the disks in that directory of the
 * pool. A directory that is not there has no disks; another failure is one: nobody may remove anything then.
 */
int imagecache_used(int root, const char *pool, char ***ret) _must_check_ _nonnull_all_;

/* The same for one disk, wherever it is: with what it is made on in turn. used: added to. */
int imagecache_add_used(int root, const char *disk, char ***used) _must_check_ __attribute__((nonnull(2, 3)));

/* Reads the file and compares: 0, -EBADMSG if it is not what it was. */
int imagecache_verify(int root, const ImageEntry *e,
                      void (*progress)(uint64_t done, uint64_t total, void *userdata),
                      void *userdata) _must_check_ __attribute__((nonnull(2)));

/* Removes an entry with its file. used: from imagecache_used(). -EBUSY: a machine's disk is made on it, or it
 * is being downloaded. */
int imagecache_remove(int root, const ImageEntry *e, char *const *used) _must_check_
                __attribute__((nonnull(2)));

/* Removes what no entry needs: files of builds that were replaced, half files that nobody works at, and, with
 * all, entries. Never what is used. ret: names of what was (dry: would be) removed; ret_bytes: what they
 * took. */
int imagecache_gc(int root, char *const *used, bool all, bool dry, char ***ret,
                  uint64_t *ret_bytes) _must_check_ __attribute__((nonnull(5, 6)));
