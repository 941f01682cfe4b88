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

/* True if the firmware says that this loader started the machine: "systemd-boot", "GRUB". */
bool bootentry_started_by(int root, const char *name) _nonnull_all_;

/* The images of this kernel (NULL: none) that entries name: copies of the one in /boot. -ENXIO: systemd-boot
 * started this machine, and its partition is not mounted. */
int bootentry_images(int root, const char *kernel, char ***ret) _must_check_ _nonnull_all_;

/* Replaces such a copy (or makes it) by one of this image, see bootfile_publish(). */
int bootentry_replace_image(int root, const char *path, const char *image) _must_check_ _nonnull_all_;
