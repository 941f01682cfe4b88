/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strv: NULL terminated arrays of strings, owned together. NULL is the empty one. */

#include <stdarg.h>

#include "macro.h"

#define STRV_FOREACH(s, l) for (char *const *s = (l); s && *s; s++)

void strv_free(char **l);
DEFINE_POINTER_CLEANUP(char *, strv_free)
#define _cleanup_strv_ _cleanup_(strv_freep)

size_t strv_length(char *const *l);
bool strv_contains(char *const *l, const char *s) __attribute__((nonnull(2)));

/* Appends a copy of s. Returns 0 or -ENOMEM. */
int strv_extend(char ***l, const char *s) _must_check_;
int strv_extendfv(char ***l, const char *format, va_list ap) _must_check_ _printf_(2, 0);
int strv_extendf(char ***l, const char *format, ...) _must_check_ _printf_(2, 3);

/* Splits at any byte of separators; empty pieces are left out. Returns 0 or -ENOMEM. */
int strv_split(const char *s, const char *separators, char ***ret) _must_check_;

/* The lines of a file that a program of ours has written, size bytes of at most max. Its newline at the end
 * proves that nothing is missing. Returns 0, -EBADMSG if it is not whole, or -ENOMEM. */
int strv_split_whole(const char *text, size_t size, size_t max, char ***ret) _must_check_ _nonnull_all_;

/* Returns a new string, "" for the empty list, or NULL when out of memory. */
char *strv_join(char *const *l, const char *separator);

/* Sorts in byte order. */
void strv_sort(char **l);
