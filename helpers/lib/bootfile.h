/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bootfile: replacing a file that the machine needs to start (grub.cfg, an initramfs image).
 *
 * The new one lies beside, complete and checked, before it takes the name; the old one stays as
 * NAME.gpuvm-old until the machine has come up once with the new one. Which ones wait for that, and since
 * which boot, is in /var/lib/gpuvm/unproven. */

#include "macro.h"

#define BOOTFILE_NEW ".gpuvm-new"
#define BOOTFILE_OLD ".gpuvm-old"

/* Returns 0 if the directory can be written and has that many bytes to spare, else -ENOSPC or -EROFS. */
int bootfile_room(int root, const char *dir, uint64_t bytes) _must_check_ _nonnull_all_;

/* Gives temp (a file beside path) the mode and owner of path, fsyncs it, keeps the old one, renames. */
int bootfile_publish(int root, const char *temp, const char *path) _must_check_ _nonnull_all_;

/* Returns 1 if old files may go, because this is a later boot; 0 if there are none or it is too early. */
int bootfile_is_proven(int root) _must_check_;

/* Removes the old files, whatever boot this is. */
int bootfile_forget(int root) _must_check_;
