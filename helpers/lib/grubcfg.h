/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Grubcfg: would this machine start with that grub.cfg, and with the IOMMU on? Also what a command line does
 * to the IOMMU. Pure: no file is touched.
 * words may be NULL: the empty list. */

#include "macro.h"

/* The word that keeps the IOMMU off (borrowed), or NULL. firmware: "intel" or "amd". Of intel_iommu= the last
 * on or off holds; amd_iommu=off and iommu=off hold whatever follows: the kernel has no word that takes them
 * back. */
const char *cmdline_iommu_off(char *const *words, const char *firmware);

/* True if the words ask for the IOMMU, so that there is nothing more to ask for. AMD's is on without a word.
 */
bool cmdline_iommu_on(char *const *words, const char *firmware);

/* Returns 1 if the file (as GRUB names it, "/vmlinuz-6.1") is there and not empty, 0 if not, or -errno. */
typedef int (*GrubFileExists)(const char *path, void *userdata);

/* Checks that at least one menu entry has a kernel and initramfs images that are all there, and, unless
 * firmware is NULL, that every Linux entry that grub-mkconfig made for this system has the IOMMU on (recovery
 * entries only: not off). Returns 0; 1 with a sentence on what is wrong; or -errno. */
int grubcfg_check(const char *text, const char *firmware, GrubFileExists exists, void *userdata,
                  char **ret_problem) _must_check_;

/* True if a kernel with this command line (/proc/cmdline) was started by an entry of the menu. GRUB's
 * variables stand for any one word, or none. */
bool grubcfg_has_start(const char *text, const char *cmdline) _nonnull_all_;
