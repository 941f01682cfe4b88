/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checkup: is this host fit for VMs with GPUs, and if not, what is the cause?
 *
 * A tree of decisions on evidence: each check needs others to have passed, and what follows from a failure is
 * not made: one cause, one failure. Reads files below the root, and asks nobody: that was evidence.h. */

#include "conf.h"
#include "evidence.h"
#include "findings.h"

typedef struct Checkup {
        Findings findings; /* by cause first; "check" is the name of the table's row */
        bool vm_capable;   /* a VM with a GPU can run here, as far as can be seen */
        char **gpus;       /* addresses of those that a VM can have */
        bool root;         /* it was root who looked, or a record that root took */
} Checkup;

void checkup_done(Checkup *u);

/* evidence: learns who is at dpkg's lock, unless it knows. Returns 0 or -errno: a host that cannot be read.
 */
int checkup_run(int root, Conf *c, Evidence *evidence, Checkup *ret) _must_check_
                __attribute__((nonnull(2, 3, 4)));

/* Pure: the worst of them. FINDING_SKIP is none. */
FindingLevel checkup_result(const Checkup *u) _nonnull_all_;

/* See vmctl(1). */
int checkup_to_json(const Checkup *u, json_object **ret) _must_check_ _nonnull_all_;

/* The name of a row and what it needs, with blanks between; false behind the last. For tests and docs. */
bool checkup_row(size_t i, const char **ret_name, const char **ret_needs) _nonnull_all_;
