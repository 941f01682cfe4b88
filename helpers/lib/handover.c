/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "handover.h"
#include "fs.h"
#include "phase.h"
#include "strv.h"

/* A line is "ADDRESS DRIVER OVERRIDE", "-" for none; the override is the rest of the line. After them, for
 * what is so, "d3cold ADDRESS", "persistent ADDRESS" and "drained ADDRESS". */

void handover_done(Handover *h) {
        for (size_t i = 0; i < h->n; i++) {
                free(h->list[i].driver);
                free(h->list[i].override);
        }
        free(h->list);
        *h = (Handover){};
}

static int file_path(Bdf owner, char **ret) {
        char address[BDF_STRING_MAX];

        return str_printf(ret, RUN_DIR "/vfio/%s", bdf_format(owner, address));
}

HandoverFunction *handover_find(const Handover *h, Bdf bdf) {
        for (size_t i = 0; i < h->n; i++)
                if (bdf_compare(h->list[i].bdf, bdf) == 0)
                        return &h->list[i];
        return NULL;
}

int handover_add(Handover *h, Bdf bdf, const char *driver, const char *override) {
        HandoverFunction *t, f = { .bdf = bdf };

        if (handover_find(h, bdf))
                return 0;
        t = reallocarray(h->list, h->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        h->list = t;
        if (free_and_strdup(&f.driver, driver) < 0 || free_and_strdup(&f.override, override) < 0) {
                free(f.driver);
                return -ENOMEM;
        }
        h->list[h->n++] = f;
        return 1;
}

static int parse_function(Handover *h, const char *line) {
        const char *driver = strchr(line, ' '), *override = driver ? strchr(driver + 1, ' ') : NULL;
        _cleanup_free_ char *address = NULL, *name = NULL;
        Bdf bdf;
        int r;

        if (!override)
                return -EBADMSG;
        address = strndup(line, (size_t) (driver - line));
        name = strndup(driver + 1, (size_t) (override - driver - 1));
        if (!address || !name)
                return -ENOMEM;
        override++;
        /* A driver's name becomes part of a path. */
        if (bdf_parse(address, &bdf) < 0 || isempty(name) || isempty(override) || strchr(name, '/') ||
            streq(name, ".."))
                return -EBADMSG;
        r = handover_add(h, bdf, streq(name, "-") ? NULL : name, streq(override, "-") ? NULL : override);
        return r < 0 ? r : 0;
}

/* What a mark is called, and where it is. */
static bool *find_mark(HandoverFunction *f, size_t i, const char **ret_name) {
        const struct {
                const char *name;
                bool *mark;
        } marks[] = {
                { "d3cold ", &f->d3cold },
                { "persistent ", &f->persistent },
                { "drained ", &f->drained },
        };

        if (i >= ELEMENTSOF(marks))
                return NULL;
        *ret_name = marks[i].name;
        return marks[i].mark;
}

static int parse_line(Handover *h, const char *line) {
        HandoverFunction none = {}, *f;
        const char *name, *address;
        Bdf bdf;

        for (size_t i = 0; find_mark(&none, i, &name); i++) {
                address = startswith(line, name);
                if (!address)
                        continue;
                f = bdf_parse(address, &bdf) < 0 ? NULL : handover_find(h, bdf);
                if (!f)
                        return -EBADMSG;
                *find_mark(f, i, &name) = true;
                return 0;
        }
        return parse_function(h, line);
}

int handover_parse(const char *text, Handover *ret) {
        _cleanup_(handover_done) Handover h = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(line, lines) {
                if (r >= 0)
                        r = parse_line(&h, *line);
        }
        if (r < 0)
                return r;
        *ret = h;
        h = (Handover){};
        return 0;
}

int handover_load(int root, Bdf owner, Handover *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = file_path(owner, &path);
        if (r >= 0)
                r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        return handover_parse(strempty(text), ret);
}

static int format_function(const HandoverFunction *f, char ***l) {
        char address[BDF_STRING_MAX];

        return strv_extendf(l, "%s %s %s\n", bdf_format(f->bdf, address), f->driver ?: "-",
                            f->override ?: "-");
}

static int format_marks(HandoverFunction *f, char ***l) {
        char address[BDF_STRING_MAX];
        const char *name;
        const bool *mark;

        (void) bdf_format(f->bdf, address);
        for (size_t i = 0; (mark = find_mark(f, i, &name)); i++) {
                int r = *mark ? strv_extendf(l, "%s%s\n", name, address) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

int handover_format(const Handover *h, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        int r = 0;

        for (size_t i = 0; i < h->n && r >= 0; i++)
                r = format_function(&h->list[i], &lines);
        for (size_t i = 0; i < h->n && r >= 0; i++)
                r = format_marks(&h->list[i], &lines);
        if (r < 0)
                return r;
        *ret = strv_join(lines, "");
        return *ret ? 0 : -ENOMEM;
}

int handover_save(int root, Bdf owner, const Handover *h) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = handover_format(h, &text);
        if (r >= 0)
                r = file_path(owner, &path);
        return r < 0 ? r : fs_write_atomic(root, path, text, strlen(text), 0644);
}

int handover_remove(int root, Bdf owner) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = file_path(owner, &path);
        if (r >= 0)
                r = fs_remove(root, path);
        return r < 0 ? r : 0;
}
