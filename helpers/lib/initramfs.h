/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Initramfs: rebuilding the images of the kernels that will start next (the running one and the newest).
 *
 * Beside the old one, with room looked for before, the contents listed and sizes compared after, fsynced,
 * renamed; the old one is kept until the machine has come up with the new one (bootfile.h). initramfs-tools
 * and dracut. */

#include "phase.h"
#include "undo.h"

/* Versions of the installed kernels that have an image and will start next, the running one first: that one,
 * and the one that the boot menu names as its default, else the newest. */
int initramfs_kernels(int root, char ***ret) _must_check_ _nonnull_all_;

/* Returns 1 if the early rule and module list (early.h) are not the ones that the images were last built
 * with: a run that was cut between writing those and rebuilding. Ask it beside the result of early_apply().
 */
int initramfs_is_stale(int root) _must_check_;

/* Rebuilds; u records it (or NULL: not recorded, for undo). why: what changed, for the user. Returns the
 * number of images rebuilt (in a dry run: to rebuild), 0 if this machine has none. Where something makes
 * images and there is no kernel in /boot, or not the partition of systemd-boot, which has copies of them, it
 * fails. A negative result has been told; images are old or new, never between. */
int initramfs_update(Phase *p, Undo *u, const char *why) _must_check_ __attribute__((nonnull(1, 3)));

/* The same for one kernel. Returns 1, or 0 if it has no image any more. */
int initramfs_update_kernel(Phase *p, Undo *u, const char *kernel, const char *why) _must_check_
                __attribute__((nonnull(1, 3, 4)));

/* Looks into the images of the kernels that start next. Returns 1 if one of them has a file whose name
 * matches the pattern (fnmatch(3), without directories), 0 if none has, or if they cannot be listed here. A
 * negative result (no kernel in /boot, see above) has been told. */
int initramfs_holds(Phase *p, const char *pattern) _must_check_ _nonnull_all_;

/* Notes that the images are up to date with what is in /etc. After the last initramfs_update_kernel(). */
int initramfs_settle(int root) _must_check_;

/* For a trial (trial.h): builds an image with all that is in /etc now beside the real one of this kernel, as
 * NAME.gpuvm-trial. Returns 1 (announced), or 0 if the kernel has no image. A negative result has been told.
 * initramfs_update() takes it for the real one's successor, as long as it would build the same. */
int initramfs_build_trial(Phase *p, const char *kernel, const char *why) _must_check_ _nonnull_all_;

/* Removes trial images. Returns the number of them (announced). */
int initramfs_remove_trial(Phase *p) _must_check_ _nonnull_all_;

/* Returns 1 if the images were built with files of ours, 0 if not. */
int initramfs_has_ours(int root) _must_check_;
