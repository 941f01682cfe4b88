/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>

#include "fs.h"
#include "ini.h"
#include "metrics.h"
#include "strv.h"

void metrics_done(Metrics *m) {
        strv_free(m->parts);
        *m = (Metrics){};
}

static void add(Metrics *m, const char *text) {
        if (m->error >= 0)
                m->error = MIN(strv_extend(&m->parts, text), 0);
}

/* Bytes of the character of UTF-8 that is there, or 0. */
static size_t character_size(const char *c) {
        size_t left = strnlen(c, 4);

        for (size_t n = 1; n <= left; n++)
                if (ini_is_utf8(c, n))
                        return n;
        return 0;
}

static bool is_control(const char *c, size_t n) {
        const unsigned char *b = (const unsigned char *) c;

        return (n == 1 && (*b < 0x20 || *b == 0x7f)) || (n == 2 && b[0] == 0xc2 && b[1] < 0xa0);
}

/* A newline is told as itself; it is the only control character that has a name there. */
static char *escape(const char *value) {
        char *result = malloc(2 * strlen(value) + 1), *to = result;

        for (const char *c = value; result && *c;) {
                size_t n = character_size(c);

                if (*c == '\n')
                        to = stpcpy(to, "\\n");
                else if (n == 0 || is_control(c, n))
                        *to++ = '?';
                else {
                        if (*c == '"' || *c == '\\')
                                *to++ = '\\';
                        memcpy(to, c, n);
                        to += n;
                }
                c += n ?: 1;
        }
        if (result)
                *to = '\0';
        return result;
}

void metrics_gauge(Metrics *m, const char *name, const char *help) {
        _cleanup_free_ char *text = NULL;

        if (str_printf(&text, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) < 0)
                m->error = -ENOMEM;
        else
                add(m, text);
}

static int format_labels(const MetricsLabel *l, char **ret) {
        _cleanup_strv_ char **parts = NULL;
        int r = 0;

        for (; l && l->name && r >= 0; l++) {
                _cleanup_free_ char *value = escape(strempty(l->value));

                r = value ? strv_extendf(&parts, "%s=\"%s\"", l->name, value) : -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = parts ? strv_join(parts, ",") : strdup("");
        return *ret ? 0 : -ENOMEM;
}

void metrics_add(Metrics *m, const char *name, const MetricsLabel *labels, double value) {
        _cleanup_free_ char *all = NULL, *text = NULL;

        if (isnan(value) || m->error < 0)
                return;
        m->error = format_labels(labels, &all);
        if (m->error >= 0)
                m->error = str_printf(&text, "%s%s%s%s %.15g\n", name, *all ? "{" : "", all, *all ? "}" : "",
                                      value);
        if (m->error >= 0)
                add(m, text);
}

int metrics_text(const Metrics *m, char **ret) {
        if (m->error < 0)
                return m->error;
        *ret = m->parts ? strv_join(m->parts, "") : strdup("");
        return *ret ? 0 : -ENOMEM;
}
