/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ini: bytes into sections and assignments, as systemd.syntax(7) has it.
 *
 * Comments with # or ;, lines continued with a backslash (comments between them are left out), blanks around
 * names and values taken off, CRLF and a byte order mark accepted. Pure; libc only. What is no such line is
 * told and left out; nothing but the lack of memory ends the parsing. */

#include "macro.h"

enum {
        INI_LINE_MAX = 64 * 1024, /* bytes in a line, continuations included */
};

typedef struct Ini {
        /* "[section]". Returns 0, or a negative error, which ends it all. */
        int (*section)(unsigned line, const char *section, void *userdata);
        /* "key=value", where the assignment began; section is NULL before the first header. */
        int (*assignment)(unsigned line, const char *section, const char *key, const char *value,
                          void *userdata);
        /* A line that is left out, and why. */
        void (*problem)(unsigned line, const char *text, void *userdata);
        void *userdata;
} Ini;

/* data need not end in NUL. Returns 0, -ENOMEM or what a callback returned. */
int ini_parse(const Ini *ini, const char *data, size_t size) _must_check_;

/* Splits a list: blanks separate, quotes (' or ") keep blanks, a backslash takes the next byte as it is.
 * Appends to l. Returns 0, -EINVAL for a quote without its end, or -ENOMEM. */
int ini_split_words(const char *value, char ***l) _must_check_ _nonnull_all_;

/* True if all of it is well formed UTF-8 without NUL. */
bool ini_is_utf8(const char *data, size_t size);
