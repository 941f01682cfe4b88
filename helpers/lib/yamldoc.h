/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Yamldoc: a YAML document as a tree. Only this room knows libyaml, and it loads the library when it is first
 * used.
 *
 * Pure. Nothing is interpreted: scalars are the text that stands there, so that 0000:01:00 is no number of
 * seconds. An alias stays an alias and is never followed, nor merged: nothing grows, and nothing goes in
 * circles. */

#include "macro.h"

enum {
        YAMLDOC_SIZE_MAX = 1024 * 1024, /* bytes */
        YAMLDOC_NODES_MAX = 10 * 1000,
        YAMLDOC_DEPTH_MAX = 32,
};

typedef enum YamlKind { YAML_TEXT, YAML_LIST, YAML_MAP, YAML_REFERENCE } YamlKind;

typedef struct YamlNode {
        YamlKind kind;
        unsigned line;         /* where it begins, from 1; with a key the key's */
        char *key;             /* NULL: its parent is no map */
        char *text;            /* of a text, or the name that a reference refers to; else NULL */
        bool quoted;           /* it is a text whatever it looks like */
        struct YamlNode *next; /* in the same parent, as they stand there */
        struct YamlNode *first;
} YamlNode;

typedef struct YamlError {
        unsigned line; /* 0: of the whole */
        char text[160];
} YamlError;

/* data need not end in NUL. Returns 0; -EBADMSG with a reason in reterr for what is no single document, or
 * has keys that are no texts, or a key twice; -EFBIG likewise; -ENOPKG if the library is not installed;
 * -ENOMEM. */
int yamldoc_parse(const char *data, size_t size, YamlNode **ret, YamlError *reterr) _must_check_
                __attribute__((nonnull(3, 4)));
void yamldoc_free(YamlNode *n);
DEFINE_POINTER_CLEANUP(YamlNode, yamldoc_free)
#define _cleanup_yamldoc_ _cleanup_(yamldoc_freep)

/* "", "~" or "null" where they are not quoted: as if it were not there. */
bool yamldoc_is_null(const YamlNode *n) _nonnull_all_;
/* By its key, or NULL. map may be anything, or NULL. */
const YamlNode *yamldoc_find(const YamlNode *map, const char *key) __attribute__((nonnull(2)));
