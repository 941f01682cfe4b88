/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Grubmenu: GRUB's grub.cfg, made by grub-mkconfig beside the real one, checked, fsynced and renamed.
 * update-grub, which truncates the real one first, is never run. Failures have been told. */

#include "phase.h"
#include "undo.h"

#define GRUBMENU_CFG    "/boot/grub/grub.cfg"
#define GRUBMENU_DROPIN "/etc/default/grub.d/zz-gpuvm.cfg"

/* Is the file that GRUB calls so there, and not empty? For grubcfg_check(); userdata: the root (int *). */
int grubmenu_file_exists(const char *path, void *userdata) _must_check_ _nonnull_all_;

/* Whether the menu may have words of ours, also where we did not write it. */
bool grubmenu_asks(int root) _must_check_;

/* Returns 1 if the menu that is there already asks for the IOMMU everywhere. One that cannot be read (a dry
 * run without root) counts as one that does not. */
int grubmenu_is_ready(int root, const char *firmware) _must_check_ _nonnull_all_;

/* The release of the kernel that the menu starts by default, where it names one; -ENOENT if not. */
int grubmenu_default(int root, char **ret) _must_check_ _nonnull_all_;

/* Is there room for another one? */
int grubmenu_room(Phase *p) _must_check_ _nonnull_all_;

/* Makes grub.cfg.gpuvm-new, and believes nothing that it has not seen in it. firmware: what every entry must
 * ask for, or NULL. grubmenu_tidy() removes it again. */
int grubmenu_make(Phase *p, const char *firmware, char **ret, size_t *ret_size) _must_check_;

/* Makes one and puts it in the place of the real one. u may be NULL: nothing is recorded. Returns 1 if it
 * differs from what was there, else 0. */
int grubmenu_refresh(Phase *p, Undo *u, const char *firmware) _must_check_;

/* Removes what a failure, or a run that was cut, has left beside grub.cfg. */
void grubmenu_tidy(int root);

/* Puts this grub.cfg there, if all that it names is there, and it names all kernels that are. Returns 1, or 0
 * if not. */
int grubmenu_restore(Phase *p, const char *text, size_t size) _must_check_ _nonnull_all_;
