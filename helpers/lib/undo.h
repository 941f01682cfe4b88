/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Undo: the ledger of everything lasting that was changed, written and fsynced before the change.
 *
 * One file per record, /var/lib/gpuvm/ledger/NNNNNN-STEP, never rewritten: made whole or not at all. It is a
 * hint, not the truth: a phase looks at the system itself, and undo looks before it takes anything back (a
 * file that an administrator changed after us is left alone and said so). A record for the same step, kind
 * and object is made once: what was there before us is what counts. Taking back needs no configuration. */

#include <sys/types.h>

#include "macro.h"

typedef struct Undo Undo;

/* step: the phase's noun. Makes /var/lib/gpuvm/ledger (0700) on the first record. */
int undo_open(int root, const char *step, Undo **ret) _must_check_ _nonnull_all_;
void undo_free(Undo *u);
DEFINE_POINTER_CLEANUP(Undo, undo_free)

/* Records the file as it is (content, mode, owner) or that it is not there. Returns 1 if recorded now, 0 if
 * before. */
int undo_record_file(Undo *u, const char *path) _must_check_ _nonnull_all_;

/* Records, then replaces the file, which is ours alone, if it differs. Returns 1 if written, 0 if it was so
 * already. */
int undo_write_file(Undo *u, const char *path, const void *data, size_t size, mode_t mode) _must_check_;

/* As undo_write_file(), for a file that has an owner, in which there is a part of ours. Where somebody has
 * changed it since we did, undo goes back to his version. base: the file without our part; NULL: as it is. */
int undo_edit_file(Undo *u, const char *path, const char *base, const char *text, mode_t mode) _must_check_
                __attribute__((nonnull(1, 2, 4)));

/* Records the file as it is, as undo_edit_file() does, and the bytes that another program puts there next:
 * without those undo cannot tell them from an administrator's. */
int undo_record_write(Undo *u, const char *path, const void *data, size_t size) _must_check_;

/* Records, then removes. Returns 1 if it was there, 0 if not. */
int undo_remove_file(Undo *u, const char *path) _must_check_ _nonnull_all_;

/* A package that is not installed now and will be by us. */
int undo_record_package(Undo *u, const char *package) _must_check_ _nonnull_all_;

/* A user who is not in the group now and will be. */
int undo_record_member(Undo *u, const char *user, const char *group) _must_check_ _nonnull_all_;

/* A unit whose enablement or activity we change. was: "enabled", "disabled", "active", "inactive". */
int undo_record_unit(Undo *u, const char *unit, const char *was) _must_check_ _nonnull_all_;

/* A libvirt object: kind "pool" or "network"; was: "absent", "inactive", "no-autostart". */
int undo_record_libvirt(Undo *u, const char *kind, const char *name,
                        const char *was) _must_check_ _nonnull_all_;

/* Something to regenerate once the step's files are back, or to have read again: "bootloader", "initramfs",
 * "udev", "daemon-reload", "docker", "guests";
 * or to take away before: "trial", "kernel", "network". */
int undo_record_refresh(Undo *u, const char *what) _must_check_ _nonnull_all_;
