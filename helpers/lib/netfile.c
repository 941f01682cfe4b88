/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netfile.h"

#include <stdarg.h>

void netfiles_done(NetFiles *f) {
        for (size_t i = 0; i < f->n; i++) {
                free(f->items[i].path);
                free(f->items[i].text);
        }
        free(f->items);
        *f = (NetFiles){};
}

int netfiles_add(NetFiles *f, char *text, mode_t mode, const char *path_format, ...) {
        NetFile *t = reallocarray(f->items, f->n + 1, sizeof(*t));
        char *path = NULL;
        va_list ap;

        if (t)
                f->items = t;
        va_start(ap, path_format);
        if (vasprintf(&path, path_format, ap) < 0)
                path = NULL;
        va_end(ap);
        if (!t || !path || !text) {
                free(path);
                free(text);
                return -ENOMEM;
        }
        t[f->n++] = (NetFile){ path, text, mode };
        return 0;
}

int netfile_refuse(char **ret_reason, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(ret_reason, format, ap);
        va_end(ap);
        return n < 0 ? -ENOMEM : NETFILE_REFUSED;
}

bool netfile_is_one_of(const char *word, const char *list) {
        size_t n = strlen(word);

        for (const char *p = list; n > 0 && (p = strstr(p, word)); p += n)
                if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
                        return true;
        return false;
}
