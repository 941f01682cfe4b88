/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "dpkg.h"
#include "fs.h"
#include "strv.h"

enum {
        STATUS_MAX = 64 * 1024 * 1024,
        PIECE_MAX = 256 * 1024, /* read at a time; a longer line, which dpkg does not write, is taken in
                                   pieces */
};

#define STATUS_PATH  "/var/lib/dpkg/status"
#define JOURNAL_PATH "/var/lib/dpkg/updates"

/* The status so far, and the paragraph that is being read. */
typedef struct Parser {
        DpkgStatus status;
        size_t allocated;
        char *name, *version;
        PackageState state;
        bool held, judged;
} Parser;

static void parser_done(Parser *p) {
        dpkg_done(&p->status);
        free(p->name);
        free(p->version);
}

/* Field names have any case. Returns the value without the blanks around it, and its length, or NULL. */
static const char *field_value(const char *line, size_t n, const char *name, size_t *ret) {
        const char *v, *end = line + n;
        size_t k = strlen(name);

        if (n <= k || line[k] != ':' || strncasecmp(line, name, k) != 0)
                return NULL;
        for (v = line + k + 1; v < end && isblank((unsigned char) *v); v++)
                ;
        while (end > v && isspace((unsigned char) end[-1]))
                end--;
        *ret = (size_t) (end - v);
        return v;
}

/* "install ok installed": what is wanted, a flag, how far it is. */
static void judge(Parser *p, const char *value, size_t n) {
        char text[64], *save = NULL;
        const char *want, *flag, *state;

        (void) snprintf(text, sizeof(text), "%.*s", (int) MIN(n, sizeof(text)), value);
        want = strtok_r(text, " \t", &save);
        flag = strtok_r(NULL, " \t", &save);
        state = strtok_r(NULL, " \t", &save);
        p->judged = true;
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

static int keep(char **field, const char *value, size_t n) {
        char *t = strndup(value, n);

        if (!t)
                return -ENOMEM;
        free(*field);
        *field = t;
        return 0;
}

static int end_paragraph(Parser *p) {
        DpkgStatus *s = &p->status;

        if (!isempty(p->name)) {
                if (s->n == p->allocated) {
                        size_t n = MAX(p->allocated * 2, (size_t) 512);
                        DpkgPackage *t = reallocarray(s->packages, n, sizeof(*t));

                        if (!t)
                                return -ENOMEM;
                        s->packages = t;
                        p->allocated = n;
                }
                s->broken |= p->state == PACKAGE_BROKEN;
                s->packages[s->n++] =
                                (DpkgPackage){ TAKE_PTR(p->name), TAKE_PTR(p->version), p->state, p->held };
        }
        free(p->name);
        free(p->version);
        *p = (Parser){ .status = p->status, .allocated = p->allocated };
        return 0;
}

static int take_line(Parser *p, const char *line, size_t n) {
        const char *v;
        size_t k;

        if (n == 0)
                return end_paragraph(p);
        /* dpkg writes these before the dependencies, files and descriptions that most of a status consists
         * of; and of the lines before most are of other fields. */
        if ((p->name && p->version && p->judged) || !strchr("PpVvSs", *line))
                return 0;
        if ((v = field_value(line, n, "Package", &k)))
                return keep(&p->name, v, k);
        if ((v = field_value(line, n, "Version", &k)))
                return keep(&p->version, v, k);
        if ((v = field_value(line, n, "Status", &k)))
                judge(p, v, k);
        return 0;
}

/* Takes whole lines. Returns how many bytes those are in ret_used. */
static int take_lines(Parser *p, const char *text, size_t size, size_t *ret_used) {
        const char *line = text, *end = text + size, *newline;

        while (line < end && (newline = memchr(line, '\n', (size_t) (end - line)))) {
                int r = take_line(p, line, (size_t) (newline - line));

                if (r < 0)
                        return r;
                line = newline + 1;
        }
        *ret_used = (size_t) (line - text);
        return 0;
}

static int compare_packages(const void *a, const void *b) {
        return strcmp(((const DpkgPackage *) a)->name, ((const DpkgPackage *) b)->name);
}

/* The rest: what stands behind the last newline. */
static int parser_end(Parser *p, const char *rest, size_t n, DpkgStatus *ret) {
        int r = n > 0 ? take_line(p, rest, n) : 0;

        if (r >= 0)
                r = end_paragraph(p);
        if (r < 0)
                return r;
        if (p->status.n > 0)
                qsort(p->status.packages, p->status.n, sizeof(*p->status.packages), compare_packages);
        *ret = p->status;
        p->status = (DpkgStatus){};
        return 0;
}

int dpkg_parse(const char *text, size_t size, DpkgStatus *ret) {
        _cleanup_(parser_done) Parser p = {};
        size_t used;
        int r = take_lines(&p, text, size, &used);

        return r < 0 ? r : parser_end(&p, text + used, size - used, ret);
}

/* In pieces: room for all of it would cost more than reading it does. */
static int read_status(int fd, DpkgStatus *ret) {
        _cleanup_free_ char *piece = malloc(PIECE_MAX);
        _cleanup_(parser_done) Parser p = {};
        size_t have = 0, used, total = 0;
        ssize_t n;
        int r;

        if (!piece)
                return -ENOMEM;
        while ((n = read(fd, piece + have, PIECE_MAX - have)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                have += (size_t) n;
                total += (size_t) n;
                if (total > STATUS_MAX)
                        return -EFBIG;
                r = take_lines(&p, piece, have, &used);
                if (r >= 0 && used == 0 && have == PIECE_MAX)
                        r = take_line(&p, piece, used = have);
                if (r < 0)
                        return r;
                have -= used;
                memmove(piece, piece + used, have);
        }
        return parser_end(&p, piece, have, ret);
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
        _cleanup_close_ int fd = -EBADF;
        bool interrupted;
        DpkgStatus s;
        int r;

        r = read_interrupted(root, &interrupted);
        if (r < 0)
                return r;
        fd = fs_open(root, STATUS_PATH, O_RDONLY | O_NONBLOCK, 0);
        if (fd < 0)
                return fd;
        r = read_status(fd, &s);
        if (r < 0)
                return r;
        s.interrupted = interrupted;
        *ret = s;
        return 0;
}

void dpkg_done(DpkgStatus *s) {
        for (size_t i = 0; i < s->n; i++) {
                free(s->packages[i].name);
                free(s->packages[i].version);
        }
        free(s->packages);
        *s = (DpkgStatus){};
}

const DpkgPackage *dpkg_find(const DpkgStatus *s, const char *package) {
        const DpkgPackage key = { .name = (char *) package }, *found, *best;

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
