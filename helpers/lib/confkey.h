/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Confkey: the table of what may stand in gpuvm.conf, and how text becomes a field. One row per key: adding a
 * setting is adding a row, a field in conf.h, and a paragraph in gpuvm.conf(5). */

#include "conf.h"

typedef enum ConfKeyType {
        CONFKEY_BOOLEAN,   /* bool */
        CONFKEY_ENUM,      /* an enum of conf.h, by the words in "names" */
        CONFKEY_SEC,       /* uint64_t, microseconds */
        CONFKEY_STRING,    /* char *, NULL when empty; "valid" looks at it */
        CONFKEY_ADDRESSES, /* char **, PCI addresses; a repeated assignment appends */
} ConfKeyType;

typedef struct ConfKey {
        const char *section, *name;
        const char *option; /* the word on the kernel command line, or NULL */
        ConfKeyType type;
        size_t offset;
        const char *fallback;     /* the default, and what an empty assignment gives back */
        const char *safe;         /* what a bad value becomes where keeping the old one could do more */
        const char *expected;     /* for the user */
        const char *const *names; /* NULL terminated, indexed by the enum's value */
        bool (*valid)(const char *s);
} ConfKey;

#define CONFKEY_GPU_SECTION "Gpu PATH"

extern const ConfKey conf_keys[]; /* of Conf; the last has no name */

/* section: as in the file, or CONFKEY_GPU_SECTION for the keys of ConfGpu. NULL if there is none. */
const ConfKey *confkey_find(const char *section, const char *name) _nonnull_all_;

/* The name, as a user would write it, that looks most like this one, or NULL: a key of the section; another
 * section's key as "Key of [Section]"; for section NULL a section, or, if name starts with "gpuvm.", an
 * option. Valid until the next call. */
const char *confkey_nearest(const char *name, const char *section);

/* Sets the field; "" sets the default. Returns 0, -EINVAL (field left alone) or -ENOMEM. */
int confkey_set(const ConfKey *k, void *field, const char *value) _must_check_ _nonnull_all_;

/* Sets the safe value, if the key has one and the field is not more careful already. Returns what the field
 * is now, or NULL if the key has none. */
const char *confkey_set_safe(const ConfKey *k, void *field) _nonnull_all_;

void confkey_free(const ConfKey *k, void *field) _nonnull_all_;

/* "Name=VALUE" and a newline, as confkey_set() would read it. */
void confkey_print(const ConfKey *k, const void *field, FILE *f) _nonnull_all_;

/* Brings what stands behind "Gpu " in a section header to the form that Conf has: an address in full and in
 * lower case, or a path as it is. Returns 0, -EINVAL or -ENOMEM. */
int confkey_gpu_path(const char *s, char **ret) _must_check_ _nonnull_all_;
