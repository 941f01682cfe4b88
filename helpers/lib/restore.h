/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Restore: files of the ledger, back as they were before us, unless somebody else has been at them since. */

#include "ledger.h"

typedef enum RestoreState {
        RESTORE_DONE,    /* as it was before us */
        RESTORE_OURS,    /* what we wrote is there: may be taken back */
        RESTORE_OTHER,   /* another step of ours, not to be undone now, wrote there after; ret_step says which
                          */
        RESTORE_CHANGED, /* somebody changed it after us */
} RestoreState;

/* True if the record belongs to one of the steps; NULL is all of them. */
bool restore_selects(char *const *steps, const LedgerRecord *r) _must_check_;

/* The state to go back to: the newest "file" record of that path among the steps that is not of what these
 * steps themselves had put there. Mostly that is the first. NULL if there is none. */
const LedgerRecord *restore_target(const Ledger *l, char *const *steps, const char *path) _must_check_;

/* Looks at the file. A record without a word on what we wrote is of a file that was changed by a program of
 * ours: RESTORE_OURS. ret_step is borrowed. */
int restore_look(int root, const Ledger *l, char *const *steps, const LedgerRecord *target, RestoreState *ret,
                 const char **ret_step) _must_check_;

/* Puts content, mode and owner back, or removes the file. */
int restore_file(int root, const LedgerRecord *target) _must_check_ _nonnull_all_;

/* Removes what fs_write_atomic() has left beside the path where something ended it half way. Returns 0, also
 * if there is nothing. */
int restore_leftover(int root, const char *path) _must_check_ _nonnull_all_;

/* Removes a directory that we made, if it is empty. Returns 1 if so, 0 if it is gone or still in use. */
int restore_dir(int root, const char *path) _must_check_ _nonnull_all_;
