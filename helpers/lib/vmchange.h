/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmchange: a machine's definition with what its file declares in place of what it was, for its next start.
 * Pure. */

#include "vmdiff.h"

/* xml: the definition. l: the differences, of which those are written that hold from the next start on
 * (VMCHANGE_RESTART). All else in the definition stays as it is. Returns 1, 0 if there is nothing to write,
 * -EBADMSG for what is no definition of a machine, -ENOPKG or -ENOMEM. */
int vmchange_definition(const char *xml, const VmFile *f, const VmPlan *wanted, const VmDifferences *l,
                        char **ret) _must_check_ _nonnull_all_;

/* What it asks for by number or model alone, or that it asks for nothing. Returns 0, or as above. */
int vmchange_gpu_wish(const char *xml, const VmFile *f, char **ret) _must_check_ _nonnull_all_;
