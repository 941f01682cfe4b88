/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Plan: a configuration as links and drop-ins for systemd, as plain data.
 *
 * All unit text lives in packaged units; a plan only says which of them gpuvm-bootstrap.target pulls in, and
 * that each needs the one before it. Nothing in it comes from the bytes of a configuration: names and texts
 * are ours. */

#include "conf.h"

enum {
        PLAN_PHASES_MAX = 16,
};

typedef struct PlanEntry {
        char *path;   /* relative, one directory deep: "gpuvm-bootstrap.target.requires/gpuvm-kvm.service" */
        char *target; /* where the symbolic link leads; NULL for a file */
        char *text;   /* the file's content; NULL for a link */
} PlanEntry;

typedef struct Plan {
        PlanEntry *entries; /* sorted by path */
        size_t n;
} Plan;

/* The nouns of the phases that a configuration asks for, in their order ("preflight", ..., "verify"). Static
 * strings. Returns their number; 0 if the bootstrap is off. */
size_t plan_phases(const Conf *c, const char *ret[static PLAN_PHASES_MAX]) _nonnull_all_;

/* source: the file to name as SourcePath= of the target, so that systemctl can say that it changed and was
 * not read yet; NULL for none (a path that does not exist would make it say so for ever). Not of the phases:
 * what they do they read for themselves. Returns 0 or -ENOMEM. */
int plan_make(const Conf *c, const char *source, Plan *ret) _must_check_;
void plan_done(Plan *p);

/* Writes it below the directory, files before links, so that whatever subset of links is there has its order
 * and its needs. Nothing is replaced: -EEXIST. Returns 0 or -errno, with the entry at fault in reterr_path if
 * that is not NULL (borrowed). */
int plan_write(const Plan *p, int dir, const char **reterr_path) _must_check_;

/* As text for a reader: "PATH -> TARGET", or "PATH:" and the lines of the file indented. */
int plan_format(const Plan *p, char **ret) _must_check_ _nonnull_all_;
