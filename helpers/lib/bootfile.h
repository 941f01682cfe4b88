/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bootfile: replacing a file that the machine needs to start (grub.cfg, an initramfs image).
 *
 * The new one lies beside, complete and checked, before it takes the name; the old one stays as
 * NAME.gpuvm-old until the machine has come up with the new one, which takes more than another boot: it may
 * have been started by hand with the old one, or with another kernel. Which files wait for that, and since
 * which boot, is in /var/lib/gpuvm/unproven; gpuvm-bootfile looks at it when a boot is over. */

#include "macro.h"

#define BOOTFILE_NEW      ".gpuvm-new"
#define BOOTFILE_OLD      ".gpuvm-old"
#define BOOTFILE_UNPROVEN "/var/lib/gpuvm/unproven"

/* Returns 0 if the directory can be written and has that many bytes to spare, else -ENOSPC or -EROFS. */
int bootfile_room(int root, const char *dir, uint64_t bytes) _must_check_ _nonnull_all_;

/* The same for a file that is to be replaced by one of that many bytes, with the old one kept: on FAT, which
 * has no hard links, as a copy. */
int bootfile_room_beside(int root, const char *path, uint64_t bytes) _must_check_ _nonnull_all_;

/* Copies a file, not yet durable, for bootfile_publish(). */
int bootfile_copy(int root, const char *from, const char *to) _must_check_ _nonnull_all_;

/* Gives temp (a file beside path) the mode and owner of path, fsyncs it, keeps the old one, renames; all of
 * it so that a boot loader, too, finds either the old file or the new one (checkpoint.h). */
int bootfile_publish(int root, const char *temp, const char *path) _must_check_ _nonnull_all_;

/* The files (NULL: none) whose old ones may go. An image: this boot is a later one, of its kernel or a newer
 * one, and was not made with the old image. A menu: all images may go, and this boot's command line is in the
 * menu. */
int bootfile_proven(int root, char ***ret) _must_check_ _nonnull_all_;

/* Removes what was kept for this file. */
int bootfile_forget(int root, const char *path) _must_check_ _nonnull_all_;
