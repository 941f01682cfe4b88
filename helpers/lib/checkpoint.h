/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checkpoint: what a file system holds in its journal, written to where a boot loader looks for it.
 *
 * GRUB and firmware read a disk without its journal. After fsync(2) a new file is safe for Linux, which
 * replays the journal, and may still be nothing to GRUB: if the power goes when its name is in place and its
 * inode is not, the menu is an empty file and the machine stops at GRUB's prompt. So before a name is changed
 * all that it leads to is brought in place, and the name itself before anything goes that the old one led to.
 */

#include "macro.h"

/* All of the file system that this directory is on. On ext2 to ext4 it is certain (EXT4_IOC_CHECKPOINT, since
 * Linux 5.14); btrfs and FAT have no such gap after syncfs(2). XFS writes its log back in its own time,
 * within fs.xfs.xfssyncd_centisecs. Freezing it (FIFREEZE, FITHAW) does the same at once, and is worse: until
 * the thaw whoever writes there waits, ourselves if it is the root, and a kill between the two lets it be so
 * until the power goes. */
int checkpoint(int root, const char *dir) _must_check_ _nonnull_all_;
