/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "proc.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

enum {
        TABLE_MAX = 8 * 1024 * 1024, /* bytes: a host with thousands of containers has a few MiB of mounts */
        ROUTE_UP = 0x1,
        ROUTE_REJECT = 0x200,
};

static int read_lines(int root, const char *name, char ***ret) {
        static const char *const tasks[] = { "1", "self" };
        int r = -ENOENT;

        for (size_t i = 0; i < ELEMENTSOF(tasks); i++) {
                _cleanup_free_ char *path = NULL, *text = NULL;

                if (str_printf(&path, "/proc/%s/%s", tasks[i], name) < 0)
                        return -ENOMEM;
                r = fs_read(root, path, TABLE_MAX, &text, NULL);
                if (r >= 0)
                        return strv_split(text, "\n", ret);
        }
        return r;
}

void proc_mounts_done(ProcMounts *m) {
        for (size_t i = 0; i < m->n; i++) {
                free(m->items[i].device);
                free(m->items[i].point);
                free(m->items[i].type);
                free(m->items[i].source);
        }
        free(m->items);
        *m = (ProcMounts){};
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS", see proc(5). Returns 1 if it
 * was one. */
static int parse_mount(const char *line, ProcMount *ret) {
        _cleanup_strv_ char **words = NULL;
        size_t n, dash = 6;
        int r;

        r = strv_split(line, " ", &words);
        if (r < 0)
                return r;
        n = strv_length(words);
        while (dash < n && !streq(words[dash], "-"))
                dash++;
        if (dash + 2 >= n)
                return 0;
        *ret = (ProcMount){ TAKE_PTR(words[2]), TAKE_PTR(words[4]), TAKE_PTR(words[dash + 1]),
                            TAKE_PTR(words[dash + 2]) };
        /* The rest of the words would be out of strv_free()'s reach. */
        for (size_t i = 0; i < n; i++)
                free(words[i]);
        words[0] = NULL;
        return 1;
}

int proc_mounts_read(int root, ProcMounts *ret) {
        _cleanup_(proc_mounts_done) ProcMounts m = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = read_lines(root, "mountinfo", &lines);
        if (r < 0)
                return r;
        m.items = calloc(strv_length(lines) + 1, sizeof(*m.items));
        if (!m.items)
                return -ENOMEM;
        STRV_FOREACH(l, lines) {
                r = parse_mount(*l, &m.items[m.n]);
                if (r < 0)
                        return r;
                m.n += (size_t) r;
        }
        *ret = m;
        m = (ProcMounts){};
        return 0;
}

const ProcMount *proc_mounts_find(const ProcMounts *m, const char *point) {
        for (size_t i = m->n; i > 0; i--)
                if (streq(m->items[i - 1].point, point))
                        return &m->items[i - 1];
        return NULL;
}

static bool is_usable(const char *flags) {
        uint64_t v;

        return parse_hex(flags, UINT32_MAX, &v) >= 0 && (v & ROUTE_UP) && !(v & ROUTE_REJECT);
}

/* "IFACE DESTINATION GATEWAY FLAGS REFCNT USE METRIC MASK ..." */
static const char *ipv4_default(char *const *w, size_t n) {
        return n >= 8 && streq(w[1], "00000000") && streq(w[7], "00000000") && is_usable(w[3]) ? w[0] : NULL;
}

/* "DESTINATION LENGTH SOURCE LENGTH NEXTHOP METRIC REFCNT USE FLAGS IFACE" */
static const char *ipv6_default(char *const *w, size_t n) {
        return n >= 10 && strspn(w[0], "0") == strlen(w[0]) && streq(w[1], "00") && is_usable(w[8]) &&
                                        !streq(w[9], "lo")
                        ? w[9]
                        : NULL;
}

int proc_default_interfaces(int root, char ***ret) {
        static const struct {
                const char *name;
                const char *(*get)(char *const *words, size_t n);
        } tables[] = { { "net/route", ipv4_default }, { "net/ipv6_route", ipv6_default } };
        _cleanup_strv_ char **l = NULL;

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                _cleanup_strv_ char **lines = NULL;
                int r;

                r = read_lines(root, tables[i].name, &lines);
                if (r == -ENOMEM)
                        return r;
                STRV_FOREACH(line, lines) {
                        _cleanup_strv_ char **words = NULL;
                        const char *name;

                        r = strv_split(*line, " \t", &words);
                        if (r < 0)
                                return r;
                        name = tables[i].get(words, strv_length(words));
                        if (name && !(l && strv_contains(l, name)) && strv_extend(&l, name) < 0)
                                return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(l);
        return 0;
}
