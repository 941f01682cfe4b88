/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "dpkg.h"
#include "fs.h"
#include "strv.h"

enum { STATUS_MAX = 64 * 1024 * 1024 };

#define STATUS_PATH  "/var/lib/dpkg/status"
#define JOURNAL_PATH "/var/lib/dpkg/updates"

/* Field names have any case. Returns the value without the blanks around it (the text is changed for that),
 * or NULL. */
static char *field_value(char *line, size_t n, const char *name) {
        size_t k = strlen(name);
        char *v;

        if (n <= k || line[k] != ':' || strncasecmp(line, name, k) != 0)
                return NULL;
        for (v = line + k + 1; isblank((unsigned char) *v); v++)
                ;
        for (char *e = line + n; e > v && isspace((unsigned char) e[-1]); e--)
                e[-1] = '\0';
        return v;
}

/* "install ok installed": what is wanted, a flag, how far it is. */
static void judge(char *status, DpkgPackage *p) {
        char *save = NULL;
        const char *want = strtok_r(status, " \t", &save), *flag = strtok_r(NULL, " \t", &save),
                   *state = strtok_r(NULL, " \t", &save);

        if (!want || !flag || !state)
                return;
        p->held = streq(want, "hold");
        if (streq(state, "not-installed") || streq(state, "config-files"))
                p->state = PACKAGE_ABSENT;
        else if (streq(state, "installed") && !streq(flag, "reinstreq"))
                p->state = PACKAGE_INSTALLED;
        else
                p->state = PACKAGE_BROKEN;
}

static int add_package(DpkgStatus *s, size_t *allocated, const DpkgPackage *p) {
        if (!p->name || !*p->name)
                return 0;
        if (s->n == *allocated) {
                size_t n = MAX(*allocated * 2, (size_t) 512);
                DpkgPackage *t = reallocarray(s->packages, n, sizeof(*t));

                if (!t)
                        return -ENOMEM;
                s->packages = t;
                *allocated = n;
        }
        s->broken |= p->state == PACKAGE_BROKEN;
        s->packages[s->n++] = *p;
        return 0;
}

static int compare_packages(const void *a, const void *b) {
        return strcmp(((const DpkgPackage *) a)->name, ((const DpkgPackage *) b)->name);
}

/* A paragraph as far as it is read. */
typedef struct Paragraph {
        DpkgPackage package;
        bool judged;
} Paragraph;

static void take_line(char *line, size_t n, Paragraph *p) {
        char *v;

        /* Most lines are of other fields, and there are a hundred thousand of them. */
        if (!strchr("PpVvSs", *line))
                return;
        /* The end of the value: also where a value stops short of its line. */
        line[n] = '\0';
        if ((v = field_value(line, n, "Package")))
                p->package.name = v;
        else if ((v = field_value(line, n, "Version")))
                p->package.version = v;
        else if ((v = field_value(line, n, "Status"))) {
                judge(v, &p->package);
                p->judged = true;
        }
}

/* dpkg writes these before the dependencies, files and descriptions that most of a status consists of. */
static bool is_complete(const Paragraph *p) {
        return p->package.name && p->package.version && p->judged;
}

int dpkg_parse(char *text, size_t size, DpkgStatus *ret) {
        _cleanup_(dpkg_done) DpkgStatus s = { .text = text };
        size_t allocated = 0;
        Paragraph p = {};
        int r;

        for (char *line = text, *end = text + size, *next; line < end; line = next) {
                char *newline = memchr(line, '\n', (size_t) (end - line));
                size_t n = (size_t) ((newline ?: end) - line);

                next = newline ? newline + 1 : end;
                if (n > 0) {
                        if (!is_complete(&p))
                                take_line(line, n, &p);
                        continue;
                }
                r = add_package(&s, &allocated, &p.package);
                if (r < 0)
                        return r;
                p = (Paragraph){};
        }
        r = add_package(&s, &allocated, &p.package);
        if (r < 0)
                return r;
        if (s.n > 0)
                qsort(s.packages, s.n, sizeof(*s.packages), compare_packages);
        *ret = s;
        s = (DpkgStatus){};
        return 0;
}

/* Files with numbers for names: steps that dpkg had not yet folded into its status. */
static int read_interrupted(int root, bool *ret) {
        _cleanup_strv_ char **names = NULL;
        int r;

        *ret = false;
        r = fs_list(root, JOURNAL_PATH, &names);
        if (r == -ENOENT || r == -EACCES)
                return 0;
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                *ret |= strspn(*name, "0123456789") == strlen(*name);
        return 0;
}

int dpkg_read(int root, DpkgStatus *ret) {
        bool interrupted;
        DpkgStatus s;
        size_t size;
        char *text;
        int r;

        r = read_interrupted(root, &interrupted);
        if (r >= 0)
                r = fs_read(root, STATUS_PATH, STATUS_MAX, &text, &size);
        if (r >= 0)
                r = dpkg_parse(text, size, &s);
        if (r < 0)
                return r;
        s.interrupted = interrupted;
        *ret = s;
        return 0;
}

void dpkg_done(DpkgStatus *s) {
        free(s->text);
        free(s->packages);
        *s = (DpkgStatus){};
}

const DpkgPackage *dpkg_find(const DpkgStatus *s, const char *package) {
        const DpkgPackage key = { .name = package }, *found, *best;

        if (s->n == 0)
                return NULL;
        found = bsearch(&key, s->packages, s->n, sizeof(key), compare_packages);
        if (!found)
                return NULL;
        while (found > s->packages && streq(found[-1].name, package))
                found--;
        best = found;
        for (; found < s->packages + s->n && streq(found->name, package); found++)
                if (found->state > best->state)
                        best = found;
        return best;
}

PackageState dpkg_state(const DpkgStatus *s, const char *package) {
        const DpkgPackage *p = dpkg_find(s, package);

        return p ? p->state : PACKAGE_ABSENT;
}

int dpkg_missing(const DpkgStatus *s, const char *const *packages, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        int r;

        for (const char *const *p = packages; *p; p++) {
                if (dpkg_state(s, *p) == PACKAGE_INSTALLED)
                        continue;
                r = strv_extend(&l, *p);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}
