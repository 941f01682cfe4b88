/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtverdict: how the last look at a running machine ended, kept by libvirt in an element of the machine as
 * it runs: the definition stays as it is, whoever may look at a machine may write it and read it, and it goes
 * with the machine's end, of which it would say nothing. Errors of libvirt as in virt.h. */

#include "virt.h"

#define VERDICT_URI "urn:gpuvm:verdict:1"

typedef struct Verdict {
        char *level; /* "ok", "warn" or "fail" */
        char *when;  /* RFC 3339 */
        char *text;
} Verdict;
void verdict_done(Verdict *v);

/* Of now. -EBUSY if the machine does not run. */
int virtverdict_set(Virt *v, const char *name, const char *level,
                    const char *text) _must_check_ _nonnull_all_;

/* Returns 1; 0 if there is none, or the machine does not run. */
int virtverdict_get(Virt *v, const char *name, Verdict *ret) _must_check_ _nonnull_all_;

/* Pure. Of the element as libvirt gives it; 0 or -EBADMSG, -ENOPKG, -ENOMEM. */
int verdict_parse(const char *xml, Verdict *ret) _must_check_ _nonnull_all_;
