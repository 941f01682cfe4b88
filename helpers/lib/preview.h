/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Preview: what the phases would do, asked of each of them. Needs no root and changes nothing. */

#include "conf.h"
#include "json.h"

typedef struct Preview {
        const char *directory; /* where the phases' programs are */
        int root;
        const char *root_path; /* or NULL for "/" */
        const char *extra;     /* text of gpuvm.conf(5) that counts as if it were written already; or NULL */
} Preview;

/* Writes each phase's plan, indented, as it comes. ret_refused: the phase that would refuse (static), NULL if
 * none would. Returns 0 or -errno. */
int preview_print(const Preview *v, const Conf *c, FILE *f,
                  const char **ret_refused) _must_check_ _nonnull_all_;

/* The same as an object: extra as "configuration", and as "phases" what each phase says for itself. */
int preview_to_json(const Preview *v, const Conf *c, json_object **ret,
                    const char **ret_refused) _must_check_ _nonnull_all_;
