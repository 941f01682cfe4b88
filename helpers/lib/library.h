/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Library: an outside library that is loaded when it is first used, because it costs more than all else that
 * a program with nothing to do does, or because it may not be there. Never unloaded: some leave threads and
 * handlers of exit behind. */

#include "macro.h"

typedef struct LibraryFunction {
        const char *name;
        void *at; /* of the pointer to it */
} LibraryFunction;

/* Loads it unless *library is set, and sets each pointer. name: a soname or a path; NULL is a library that is
 * not there. Returns 1 if it was loaded now, 0 if it was before, -ENOPKG if it is not there, -ENOSYS if it
 * lacks one of the functions. */
int library_load(const char *name, const LibraryFunction *functions, size_t n, void **library) _must_check_
                __attribute__((nonnull(2, 4)));

/* The file that this function of a library comes from, links followed; NULL if nobody knows. */
char *library_file(uintptr_t function) _must_check_;
