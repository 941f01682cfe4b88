/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "catalog.h"
#include "dropin.h"
#include "fs.h"
#include "strv.h"

#define SUFFIX ".vm"

typedef struct Loader {
        VmFile *file; /* that is being read; NULL: none */
        ConfProblem problem;
        void *userdata;
} Loader;

void catalog_done(Catalog *c) {
        for (size_t i = 0; i < c->n; i++)
                vmfile_done(&c->files[i]);
        free(c->files);
        *c = (Catalog){};
}

/* DropinProblem. What cannot be read may have meant anything: nothing is made of the rest either. */
static void on_left_out(const char *path, const char *text, void *userdata) {
        Loader *l = userdata;

        if (l->file)
                l->file->n_problems++;
        if (l->problem)
                l->problem(path, 0, text, l->userdata);
}

int catalog_names(int root, ConfProblem problem, void *userdata, char ***ret) {
        Loader l = { .problem = problem, .userdata = userdata };
        _cleanup_strv_ char **names = NULL;
        int r;

        r = dropin_names(root, CATALOG_NAME, SUFFIX, on_left_out, &l, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                (*name)[strlen(*name) - strlen(SUFFIX)] = '\0';
        *ret = TAKE_PTR(names);
        return 0;
}

static int parse(int root, Loader *l, const char *path) {
        _cleanup_free_ char *data = NULL;
        size_t size = 0;
        int r;

        r = dropin_read(root, path, on_left_out, l, &data, &size);
        return r < 0 || !data ? r : vmfile_parse(l->file, path, data, size, l->problem, l->userdata);
}

int catalog_read_without(int root, const char *name, const char *without, ConfProblem problem, void *userdata,
                         VmFile *ret) {
        _cleanup_(vmfile_done) VmFile f = {};
        Loader l = { .file = &f, .problem = problem, .userdata = userdata };
        _cleanup_free_ char *below = NULL;
        _cleanup_strv_ char **files = NULL;
        int r;

        r = str_printf(&below, CATALOG_NAME "/%s" SUFFIX, name);
        if (r >= 0)
                r = dropin_list(root, below, on_left_out, &l, &files);
        if (r < 0 || !files || !endswith(files[0], SUFFIX)) /* drop-ins alone make no machine */
                return MIN(r, 0);
        f.name = strdup(name);
        if (!f.name)
                return -ENOMEM;
        STRV_FOREACH(path, files)
                if (r >= 0 && !streq_ptr(*path, without))
                        r = parse(root, &l, *path);
        if (r >= 0)
                r = vmfile_check(&f, problem, userdata);
        if (r < 0)
                return r;
        *ret = f;
        f = (VmFile){};
        return 1;
}

int catalog_read(int root, const char *name, ConfProblem problem, void *userdata, VmFile *ret) {
        return catalog_read_without(root, name, NULL, problem, userdata, ret);
}

int catalog_load(int root, ConfProblem problem, void *userdata, Catalog *ret) {
        _cleanup_(catalog_done) Catalog c = {};
        _cleanup_strv_ char **names = NULL;
        int r;

        r = catalog_names(root, problem, userdata, &names);
        c.files = calloc(strv_length(names) + 1, sizeof(*c.files));
        if (!c.files)
                return -ENOMEM;
        STRV_FOREACH(name, names) {
                if (r >= 0)
                        r = catalog_read(root, *name, problem, userdata, &c.files[c.n]);
                c.n += r > 0;
        }
        if (r < 0)
                return r;
        *ret = c;
        c = (Catalog){};
        return 0;
}

VmFile *catalog_find(const Catalog *c, const char *name) {
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->files[i].name, name))
                        return &c->files[i];
        return NULL;
}
