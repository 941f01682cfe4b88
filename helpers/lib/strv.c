/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"

void strv_free(char **l) {
        STRV_FOREACH(s, l)
                free(*s);
        free(l);
}

size_t strv_length(char *const *l) {
        size_t n = 0;

        STRV_FOREACH(s, l)
                n++;
        return n;
}

bool strv_contains(char *const *l, const char *s) {
        STRV_FOREACH(i, l)
                if (streq(*i, s))
                        return true;
        return false;
}

static int strv_consume(char ***l, char *s) {
        size_t n = strv_length(*l);
        char **t;

        if (!s)
                return -ENOMEM;
        t = reallocarray(*l, n + 2, sizeof(char *));
        if (!t) {
                free(s);
                return -ENOMEM;
        }
        t[n] = s;
        t[n + 1] = NULL;
        *l = t;
        return 0;
}

int strv_extend(char ***l, const char *s) {
        return strv_consume(l, strdup(s));
}

int strv_extendfv(char ***l, const char *format, va_list ap) {
        char *s;

        return strv_consume(l, vasprintf(&s, format, ap) < 0 ? NULL : s);
}

int strv_extendf(char ***l, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = strv_extendfv(l, format, ap);
        va_end(ap);
        return r;
}

int strv_split(const char *s, const char *separators, char ***ret) {
        _cleanup_strv_ char **l = NULL;

        for (;;) {
                size_t n;
                int r;

                s += strspn(s, separators);
                n = strcspn(s, separators);
                if (n == 0)
                        break;
                r = strv_consume(&l, strndup(s, n));
                if (r < 0)
                        return r;
                s += n;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int strv_split_whole(const char *text, size_t size, size_t max, char ***ret) {
        _cleanup_free_ char *copy = NULL;

        if (size == 0 || size > max || memchr(text, '\0', size) || text[size - 1] != '\n')
                return -EBADMSG;
        copy = strndup(text, size);
        return copy ? strv_split(copy, "\n", ret) : -ENOMEM;
}

char *strv_join(char *const *l, const char *separator) {
        size_t n = 1;
        char *out, *p;

        STRV_FOREACH(s, l)
                n += strlen(*s) + strlen(separator);
        out = p = malloc(n);
        if (!out)
                return NULL;
        STRV_FOREACH(s, l) {
                if (s != l)
                        p = stpcpy(p, separator);
                p = stpcpy(p, *s);
        }
        *p = '\0';
        return out;
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

void strv_sort(char **l) {
        if (l)
                qsort(l, strv_length(l), sizeof(char *), compare);
}
