/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "findings.h"

static const char *const levels[_FINDING_LEVEL_MAX] = {
        [FINDING_OK] = "ok",
        [FINDING_SKIP] = "skip",
        [FINDING_WARN] = "warn",
        [FINDING_FAIL] = "fail",
};

const char *finding_level_to_string(FindingLevel l) {
        return (unsigned) l < _FINDING_LEVEL_MAX ? levels[l] : NULL;
}

static void finding_done(Finding *i) {
        free(i->check);
        free(i->object);
        free(i->text);
        free(i->remedy);
        free(i->fix);
        *i = (Finding){};
}

int findings_fix(Findings *f, const char *format, ...) {
        char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        assert(f->n > 0);
        free(f->items[f->n - 1].fix);
        f->items[f->n - 1].fix = text;
        return 0;
}

void findings_done(Findings *f) {
        for (size_t i = 0; i < f->n; i++)
                finding_done(&f->items[i]);
        free(f->items);
        *f = (Findings){};
}

int findings_add(Findings *f, FindingLevel level, const char *check, const char *object, const char *remedy,
                 const char *format, ...) {
        _cleanup_(finding_done) Finding i = { .level = level };
        Finding *t;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&i.text, format, ap);
        va_end(ap);
        if (n < 0) {
                i.text = NULL;
                return -ENOMEM;
        }
        i.check = strdup(check);
        i.object = object ? strdup(object) : NULL;
        i.remedy = remedy ? strdup(remedy) : NULL;
        t = reallocarray(f->items, f->n + 1, sizeof(*t));
        if (t)
                f->items = t;
        if (!t || !i.check || (object && !i.object) || (remedy && !i.remedy))
                return -ENOMEM;
        f->items[f->n++] = i;
        i = (Finding){};
        return 0;
}

const Finding *findings_worst(const Findings *f) {
        const Finding *worst = NULL;

        for (size_t i = 0; i < f->n; i++)
                if (!worst || f->items[i].level > worst->level)
                        worst = &f->items[i];
        return worst;
}

size_t findings_count(const Findings *f, FindingLevel level) {
        size_t n = 0;

        for (size_t i = 0; i < f->n; i++)
                n += f->items[i].level == level;
        return n;
}

static json_object *string_or_null(const char *s) {
        return s ? json_object_new_string(s) : NULL;
}

json_object *findings_to_json(const Findings *f) {
        json_object *a = json_object_new_array();

        for (size_t i = 0; i < f->n; i++) {
                const Finding *x = &f->items[i];
                json_object *o = json_object_new_object();

                json_object_object_add(o, "result",
                                       json_object_new_string(finding_level_to_string(x->level)));
                json_object_object_add(o, "check", json_object_new_string(x->check));
                json_object_object_add(o, "object", string_or_null(x->object));
                json_object_object_add(o, "text", json_object_new_string(x->text));
                json_object_object_add(o, "remedy", string_or_null(x->remedy));
                if (x->fix)
                        json_object_object_add(o, "fix", json_object_new_string(x->fix));
                json_object_array_add(a, o);
        }
        return a;
}

void findings_print(const Findings *f, FILE *file) {
        for (size_t i = 0; i < f->n; i++) {
                const Finding *x = &f->items[i];

                fprintf(file, "%-4s  %-12s  %s%s%s\n", finding_level_to_string(x->level), x->check,
                        strempty(x->object), x->object ? ": " : "", x->text);
                if (x->remedy)
                        fprintf(file, "%20s%s\n", "", x->remedy);
                if (x->fix)
                        fprintf(file, "%20s%s\n", "", x->fix);
        }
}
