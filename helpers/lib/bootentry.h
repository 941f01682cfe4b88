/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bootentry: systemd-boot's entries (UAPI.1, one per kernel in /loader/entries), each a small file that is
 * replaced whole. */

#include "phase.h"
#include "undo.h"

/* Where /loader/entries with entries of this machine is: "/boot", "/boot/efi" or "/efi"; -ENOENT if nowhere.
 */
int bootentry_partition(int root, char **ret) _must_check_ _nonnull_all_;

/* The paths of this machine's entries there: their names begin with its id or entry token. */
int bootentry_list(int root, const char *partition, char ***ret) _must_check_ _nonnull_all_;

/* The value in a line "KEY VALUE" (borrowed), or NULL. */
const char *bootentry_value(const char *line, const char *key) _nonnull_all_;

/* Pure: a command line with the words that are missing, and without the ones to override. Returns 1 and ret,
 * or 0 if there is nothing to change. */
int bootentry_edit_words(const char *line, const char *firmware, bool override,
                         char **ret) _must_check_ _nonnull_all_;

/* Pure: the same for the options of an entry. */
int bootentry_edit(const char *text, const char *firmware, bool override,
                   char **ret) _must_check_ _nonnull_all_;

/* boot_iommu() for systemd-boot. */
int bootentry_iommu(Phase *p, Undo *u, const char *partition, const char *firmware,
                    bool override) _must_check_;

/* Copies a file, not yet durable, for bootfile_publish(). */
int bootentry_copy(int root, const char *from, const char *to) _must_check_ _nonnull_all_;

/* The entries name images of their own: brings the one of this kernel up to date. Returns 1 if there was one,
 * else 0. */
int bootentry_copy_initramfs(int root, const char *kernel, const char *image) _must_check_ _nonnull_all_;
