/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Findings: what a look at the machine came to, one thing at a time. */

#include <stdio.h>

#include "json.h"

typedef enum FindingLevel {
        FINDING_OK,
        FINDING_SKIP, /* not looked at, because it was not asked for or cannot be */
        FINDING_WARN, /* works, or will, but the user should know */
        FINDING_FAIL, /* the bootstrap cannot reach its goal here, and must not start */
        _FINDING_LEVEL_MAX,
} FindingLevel;

const char *finding_level_to_string(FindingLevel l);

typedef struct Finding {
        FindingLevel level;
        char *check;  /* stable word: "iommu" */
        char *object; /* PCI address, path; NULL: the machine */
        char *text;   /* one sentence without its full stop */
        char *remedy; /* what to do about it, a sentence; NULL if there is nothing to do */
        char *fix;    /* the command that does it; NULL if there is none */

        /* Static words, or NULL. */
        const char *phase;   /* of ours, that does it */
        const char *because; /* the check that failed before, for which this one was not made */
} Finding;

typedef struct Findings {
        Finding *items; /* in the order of adding */
        size_t n;
} Findings;

/* object, remedy: or NULL. Returns 0 or -ENOMEM. */
int findings_add(Findings *f, FindingLevel level, const char *check, const char *object, const char *remedy,
                 const char *format, ...) _must_check_ _printf_(6, 7);
/* The command that puts the last one right. Returns 0 or -ENOMEM. */
int findings_fix(Findings *f, const char *format, ...) _must_check_ _printf_(2, 3);
void findings_done(Findings *f);

/* The first of the worst, or NULL if there are none. */
const Finding *findings_worst(const Findings *f) _nonnull_all_;
size_t findings_count(const Findings *f, FindingLevel level) _nonnull_all_;

/* An array of objects with the members "result", "check", "object", "text", "remedy" and, where there is one,
 * "fix". */
json_object *findings_to_json(const Findings *f) _nonnull_all_;

/* A line per finding, one for its remedy, and one for the command. */
void findings_print(const Findings *f, FILE *file) _nonnull_all_;
