/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Grubtrial: the trial's entry for GRUB (trial.h), in /boot/grub/custom.cfg, which the grub.cfg of Debian and
 * Ubuntu reads at its end (/etc/grub.d/41_custom): grub.cfg itself is not touched, and no update-grub of
 * others takes the entry away. The entry is there for GRUB only in the start that was told to take it. */

#include "phase.h"
#include "trial.h"
#include "undo.h"

#define GRUBTRIAL_CFG "/boot/grub/custom.cfg"

/* What an entry was made of. */
typedef struct GrubTrial {
        char *block;  /* for custom.cfg, with the lines that mark it */
        char *kernel; /* its version: "6.1.0-13-amd64" */
        char *image;  /* its initramfs as GRUB names it, in block with image_suffix behind it; NULL: none */
} GrubTrial;

void grubtrial_done(GrubTrial *t);

/* Pure. Makes the entry after the one in grub.cfg that would be started: the first, or the running kernel's
 * where the default is another; or after the one of the kernel that is wished for. image_suffix: behind the
 * name of the initramfs, or "". Returns 0; 1 with the reason if this grub.cfg cannot start an entry once, or
 * has none to go by; or -errno. */
int grubtrial_make(const char *cfg, const TrialWish *wish, const char *image_suffix, GrubTrial *ret,
                   char **ret_reason) _must_check_ _nonnull_all_;

/* Pure. The text without our block, and with this one instead (NULL: none). A block without its last line
 * stays: what is behind it may be anybody's. */
int grubtrial_edit(const char *text, const char *block, char **ret) _must_check_
                __attribute__((nonnull(1, 3)));

/* Returns 1 with the reason if custom.cfg cannot be edited without harm: it is a link, or has a block without
 * its last line; 0 if it can. */
int grubtrial_obstacle(int root, char **ret_reason) _must_check_ _nonnull_all_;

/* Puts the block into custom.cfg, checked by grub-script-check before, and to where GRUB finds it
 * (checkpoint.h); u records it. Before GRUB is told to take the entry. */
int grubtrial_put(Phase *p, Undo *u, const char *block) _must_check_ _nonnull_all_;

/* Takes it out; a file that was not there before (by the ledger) goes. Returns 1 if it was there (announced),
 * 0 if not, or if it has to stay: that is noted. */
int grubtrial_remove(Phase *p) _must_check_ _nonnull_all_;
