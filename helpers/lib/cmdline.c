/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cmdline.h"
#include "fs.h"
#include "strv.h"

static bool is_blank(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copies one word without the quotes that the kernel takes off: those around the whole word and those around
 * the value. Quotes elsewhere stay, as they do there. */
static char *unquoted(const char *word, size_t n, bool quoted) {
        const char *equals;
        char *s;

        if (quoted && n > 0 && word[n - 1] == '"')
                n--;
        s = strndup(word, n);
        if (!s)
                return NULL;
        equals = memchr(s, '=', n);
        if (equals && equals > s && equals[1] == '"') {
                char *value = s + (equals + 1 - s);
                size_t k = strlen(value + 1);

                memmove(value, value + 1, k + 1);
                if (k > 0 && value[k - 1] == '"')
                        value[k - 1] = '\0';
        }
        return s;
}

int cmdline_parse(const char *s, char ***ret) {
        _cleanup_strv_ char **l = NULL;

        for (;;) {
                _cleanup_free_ char *word = NULL;
                bool quoted, inside;
                const char *begin;
                int r;

                while (is_blank(*s))
                        s++;
                if (!*s)
                        break;
                quoted = inside = *s == '"';
                if (quoted)
                        s++;
                for (begin = s; *s && (inside || !is_blank(*s)); s++)
                        if (*s == '"')
                                inside = !inside;
                word = unquoted(begin, (size_t) (s - begin), quoted);
                if (!word)
                        return -ENOMEM;
                r = strv_extend(&l, word);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int cmdline_read(int root, char ***ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, "/proc/cmdline", FS_ATTR_MAX, &text, NULL);
        return r < 0 ? r : cmdline_parse(text, ret);
}

/* If the word has this key, what follows it: "" or "=VALUE". */
static const char *after_key(const char *word, const char *key) {
        for (; *key; word++, key++) {
                char w = *word == '-' ? '_' : *word, k = *key == '-' ? '_' : *key;

                if (w != k)
                        return NULL;
        }
        return *word == '\0' || *word == '=' ? word : NULL;
}

const char *cmdline_get(char *const *words, const char *key) {
        const char *found = NULL;

        STRV_FOREACH(w, words) {
                const char *e = after_key(*w, key);

                if (e)
                        found = *e ? e + 1 : e;
        }
        return found;
}

bool cmdline_has(char *const *words, const char *word) {
        return strv_contains(words, word);
}
