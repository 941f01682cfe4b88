/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Repository: a source of packages that is not the distribution's, added so that it can be taken back.
 *
 * Its key is fetched from itself and trusted for nothing: the source names the fingerprint that the key has
 * to have (Signed-By= of sources.list(5)), and apt refuses lists that are signed by another. */

#include "aptsource.h"
#include "phase.h"
#include "undo.h"

#define KEYRING_DIR "/etc/apt/keyrings"
#define SOURCES_DIR "/etc/apt/sources.list.d"

typedef struct Repository {
        const char *name;        /* of its files: gpuvm-NAME.sources, gpuvm-NAME.asc */
        const char *uri;         /* flat, with a slash at its end */
        const char *key;         /* where the key is, in ASCII armour */
        const char *fingerprint; /* 40 hexadecimal digits */
} Repository;

/* Adds it, unless one of apt's sources has its URI already, whoever wrote that. Announced. Returns 1 if it
 * was added (in a dry run: would be), 0 if it was there, or an error that has been told. */
int repository_add(Phase *p, Undo *u, const Repository *r,
                   const AptSources *sources) _must_check_ _nonnull_all_;
