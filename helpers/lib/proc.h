/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Proc: the mounts and default routes of the host, as PID 1 has them where that may be read, else our own: a
 * sandbox may hide from a helper what the host has. */

#include "macro.h"

typedef struct ProcMount {
        char *device; /* "8:2"; "0:24" for one that is no block device's */
        char *point;  /* escaped as the kernel does: \040 is a blank */
        char *type;   /* "ext4" */
        char *source; /* "/dev/sda2" */
} ProcMount;

typedef struct ProcMounts {
        ProcMount *items; /* in the order of the table: of two on one point the later one is seen */
        size_t n;
} ProcMounts;

/* Returns 0 or -errno: -ENOENT if there is no table. Lines that are no mounts are left out. */
int proc_mounts_read(int root, ProcMounts *ret) _must_check_ _nonnull_all_;
void proc_mounts_done(ProcMounts *m);

/* What is seen at a mount point, or NULL. */
const ProcMount *proc_mounts_find(const ProcMounts *m, const char *point) _nonnull_all_;

/* Names of interfaces that a default route leaves by, IPv4 first, none twice. NULL for none. */
int proc_default_interfaces(int root, char ***ret) _must_check_ _nonnull_all_;
