/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Problems: what is wrong in files that declare machines: told at once, and kept for --json. */

#include "vmfile.h"

struct json_object;

typedef struct Problems {
        struct json_object *list; /* NULL: none */
        unsigned n;
        bool failed; /* no memory */
} Problems;

void problems_done(Problems *p);
/* ConfProblem; userdata: the Problems. */
void problems_tell(const char *file, unsigned line, const char *text, void *userdata);
/* Takes nothing; NULL without memory. */
struct json_object *problems_to_json(const Problems *p) _nonnull_all_;

/* In validate.c: what create would say of the values, on any host, but in the words of files. 0 or -ENOMEM.
 */
int validate_values(const VmFile *f, ConfProblem problem, void *userdata) _must_check_
                __attribute__((nonnull(1, 2)));
