/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rollback: what making a machine has made so far, on disk before it is made, so that all of it can be taken
 * back: at once, or by whoever comes after a crash.
 *
 * /var/lib/gpuvm/creating/NAME has a line for each step, "KIND OBJECT". Its maker holds a lock on it, which
 * the kernel takes away when it dies: a record that can be locked is one that was cut. As long as it is
 * there, its name and what it has claimed is taken. */

#include "macro.h"
#include "strv.h"

#define ROLLBACK_DIR "/var/lib/gpuvm/creating"

typedef enum RollbackKind {
        ROLLBACK_FILE,     /* a path */
        ROLLBACK_MACHINE,  /* a UUID: what has the name and another one is somebody else's */
        ROLLBACK_UNIT,     /* a unit that was started */
        ROLLBACK_SETTINGS, /* of the unit of the machine of that name */
        ROLLBACK_ADDRESS,  /* claimed only */
        ROLLBACK_MAC,      /* claimed only */
        ROLLBACK_GPU,      /* claimed only: a PCI address */
        ROLLBACK_CPUS,     /* claimed only: those of the host that it has to itself, "2,3,18" */
        ROLLBACK_MEMORY,   /* claimed only: what a guest with a GPU takes of the host's when it starts, KiB */
        _ROLLBACK_KIND_MAX,
} RollbackKind;

typedef struct RollbackStep {
        RollbackKind kind;
        char *object;
} RollbackStep;

typedef struct Rollback {
        int root;
        char *name;
        RollbackStep *steps;
        size_t n;
        int fd; /* the record, locked */
} Rollback;

/* Takes one step back. Returns 0, also if there is nothing to take back, or -errno after a message. */
typedef int (*RollbackUndo)(const Rollback *b, const RollbackStep *s, void *userdata);

/* Claims the name. -EEXIST: somebody makes it just now, or it was cut and not taken back. */
int rollback_begin(int root, const char *name, Rollback *ret) _must_check_ _nonnull_all_;
/* On disk when it returns 0: now the step may be made. */
int rollback_add(Rollback *b, RollbackKind kind, const char *object) _must_check_ _nonnull_all_;
/* All is made: nothing of it will be taken back. */
int rollback_commit(Rollback *b) _must_check_ _nonnull_all_;
/* From the last step to the first; a step that fails keeps the record, for another try. What a machine is
 * made of stays as long as that could not be taken back. */
int rollback_run(Rollback *b, RollbackUndo undo, void *userdata) _must_check_ __attribute__((nonnull(1, 2)));
/* Lets go of the record as it is. */
void rollback_done(Rollback *b);

/* Takes back what was cut. Returns how many, or the first error. None costs one system call. */
int rollback_recover(int root, RollbackUndo undo, void *userdata) _must_check_ __attribute__((nonnull(2)));

/* Returns 1 if that machine (a name and its UUID) was cut while it was made: it is going to be taken back. 0
 * if not, or only root could see. */
int rollback_is_cut(int root, const char *name, const char *uuid) _must_check_ _nonnull_all_;

/* Which record an error of these is about. Returns 1 and its path, 0 if all of them can be read. */
int rollback_find_broken(int root, char **ret_path) _must_check_ _nonnull_all_;

/* What they have claimed of that kind, appended. */
int rollback_claimed(int root, RollbackKind kind, char ***l) _must_check_ __attribute__((nonnull(3)));

/* Names, addresses and MACs of machines that are being made, appended. */
int rollback_claims(int root, char ***names, char ***addresses, char ***macs) _must_check_ _nonnull_all_;

/* Pure. What is not a whole line of ours at the end was cut off before its step; elsewhere: -EBADMSG. */
int rollback_parse(const char *text, size_t size, Rollback *ret) _must_check_ _nonnull_all_;
