/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Boot: which loader starts this machine, and how its kernels come to ask for the IOMMU.
 *
 * GRUB: a drop-in for grub-mkconfig, and a new grub.cfg (grubmenu.h). systemd-boot: /etc/kernel/cmdline for
 * the kernels to come, and the entries that are there, each replaced whole. Anything else is left to the
 * administrator. */

#include "phase.h"
#include "undo.h"

#define BOOT_KERNEL_WORDS "/etc/kernel/cmdline"

typedef enum BootLoader { BOOT_LOADER_OTHER, BOOT_LOADER_GRUB, BOOT_LOADER_SYSTEMD } BootLoader;

typedef struct Boot {
        BootLoader loader;
        char *partition; /* systemd-boot: where /loader/entries is, "/boot/efi"; else NULL */
} Boot;

/* By what the firmware says that it started, else by what is there. */
int boot_detect(int root, Boot *ret) _must_check_ _nonnull_all_;
void boot_done(Boot *b);

/* What to ask the kernel for: "intel_iommu=on iommu=pt" or "iommu=pt". There is no amd_iommu=on. */
const char *boot_iommu_words(const char *firmware) _nonnull_all_;

/* Pure: the drop-in. override: take out the words that keep the IOMMU off, and this one (or NULL) as well; a
 * later word does not win over iommu=off. -EINVAL for a word that is not plain. */
int boot_grub_dropin(const char *firmware, bool override, const char *off, char **ret) _must_check_;

/* Sees to it that the next start asks for the IOMMU. firmware: "intel" or "amd"; words: the running command
 * line; override: consent to take out the words that keep it off. Returns 1 if something was changed (in a
 * dry run: would be), 0 if only the restart is missing. A negative result has been told, and nothing is left
 * half done. */
int boot_iommu(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) _must_check_;

/* The same for GRUB without the last step: would the words come into every entry, and the menu be one to
 * start with? Leaves nothing behind. Other loaders: 0. A negative result has been told. */
int boot_rehearse(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) _must_check_;

/* Makes grub.cfg anew, for what was changed or taken back in /etc. Returns 1 if it differs now, 0 if it was
 * so already or GRUB is not what starts this machine. firmware: what every entry must ask for, or NULL. u may
 * be NULL: nothing is recorded. A negative result has been told. */
int boot_refresh(Phase *p, Undo *u, const char *firmware) _must_check_;
