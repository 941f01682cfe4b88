/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Aptsource: where apt gets packages from, as sources.list(5) has it in both of its forms, and the sources
 * that gpuvm adds. Pure but for aptsources_load(). */

#include "strv.h"

/* One entry that is in force and has binary packages. */
typedef struct AptSource {
        char **uris, **suites, **components; /* of a flat archive: "/" or "./" for a suite, no components */
        char *signed_by; /* NULL: the keys that apt trusts for everything; "": a key in the file itself */
} AptSource;

typedef struct AptSources {
        AptSource *items;
        size_t n;
} AptSources;

/* Adds what the text says. deb822: stanzas, as files named ".sources" have them; else lines. What makes no
 * sense is skipped: apt complains of it itself. Returns 0 or -ENOMEM. */
int aptsources_parse(AptSources *l, const char *text, bool deb822) _must_check_ _nonnull_all_;

/* /etc/apt/sources.list and sources.list.d; a file of that name (or NULL), ours, is left out. */
int aptsources_load(int root, const char *except, AptSources *ret) _must_check_ __attribute__((nonnull(3)));
void aptsources_done(AptSources *l);

/* True if something has this URI, with or without a slash at its end. */
bool aptsources_have_uri(const AptSources *l, const char *uri) _nonnull_all_;

/* Text for a ".sources" file that adds those of the components (NULL terminated) that the release, by its
 * codename, lacks: from where its "main" comes, for its updates and security too, and with the same keys:
 * apt does not take one archive with two. Returns 1 and the text, 0 if nothing is missing, -ENOENT if there
 * is no "main" to go by, -ENOKEY if its key is in the file itself, or -ENOMEM. */
int aptsources_add_components(const AptSources *l, const char *codename, const char *const *components,
                              char **ret) _must_check_ _nonnull_all_;
