/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Entrytrial: the trial's entry for systemd-boot (trial.h), a file of its own beside the others, and the
 * firmware variable by which the loader takes it once. The loader takes the variable away before it starts
 * anything (systemd: src/boot/efi/boot.c), so nothing here depends on what it can write to. */

#include "phase.h"
#include "trial.h"
#include "undo.h"

/* Pure. The trial's entry after that of the running kernel; image_suffix: behind the name of the initramfs,
 * or
 * "". Returns 0; 1 with the reason if none can be made after this one; -EPERM if it keeps the IOMMU off, or
 * another -errno. */
int entrytrial_edit(const char *text, const TrialWish *wish, const char *image_suffix, char **ret,
                    char **ret_reason) _must_check_ _nonnull_all_;

/* Returns 0 and the version of the kernel that it would start, 1 with the reason if there can be no trial
 * here, or -errno. */
int entrytrial_plan(Phase *p, const char *partition, const TrialWish *wish, char **ret_kernel,
                    char **ret_reason) _must_check_ _nonnull_all_;

/* Writes the entry, with a copy of this image (NULL: with the real one). A negative result has been told. */
int entrytrial_put(Phase *p, Undo *u, const char *partition, const TrialWish *wish,
                   const char *image) _must_check_ __attribute__((nonnull(1, 2, 3, 4)));

bool entrytrial_is_armed(int root);

/* Has the loader take it at the next start, or not. Returns 0, or -EIO if the firmware does not keep it. */
int entrytrial_arm(Phase *p, bool on) _must_check_ _nonnull_all_;

/* Takes away the order, the entry and the copy. Returns 1 if there was something (announced), 0 if not. */
int entrytrial_remove(Phase *p) _must_check_ _nonnull_all_;
