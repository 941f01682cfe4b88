/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Procfiles: whether a process has one of some devices open or mapped, by its files in /proc. */

#include "nodes.h"

typedef struct ProcFiles {
        const Nodes *nodes; /* the devices; borrowed */
        char *text;         /* the mappings of a process: one buffer for all that are asked about */
        size_t room;
} ProcFiles;

/* all: the directory of processes; pid: one's name there. Returns 1 and what it has ("/dev/nvidia0", borrowed
 * of the nodes or a constant), 0 if it has none of them or is gone, -EACCES if that cannot be seen. */
int procfiles_find(ProcFiles *s, int all, const char *pid, const char **ret) _must_check_ _nonnull_all_;
void procfiles_done(ProcFiles *s);
