/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "catalog.h"
#include "dropin.h"
#include "fs.h"
#include "strv.h"

#define SUFFIX ".vm"

typedef struct Loader {
        Catalog c;
        VmFile *file; /* that is being read */
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

static int read_one(int root, Loader *l, const char *path) {
        _cleanup_free_ char *data = NULL;
        size_t size = 0;
        int r;

        r = dropin_read(root, path, on_left_out, l, &data, &size);
        return r < 0 || !data ? r : vmfile_parse(l->file, path, data, size, l->problem, l->userdata);
}

/* name: as "llm-01.vm". One that is masked is no machine. */
static int load_file(int root, Loader *l, const char *name) {
        _cleanup_strv_ char **files = NULL;
        _cleanup_free_ char *below = NULL;
        VmFile *t;
        int r;

        r = str_printf(&below, CATALOG_NAME "/%s", name);
        if (r >= 0)
                r = dropin_list(root, below, on_left_out, l, &files);
        if (r < 0 || !files || !endswith(files[0], name))
                return r;
        t = reallocarray(l->c.files, l->c.n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        l->c.files = t;
        l->file = &t[l->c.n++];
        *l->file = (VmFile){ .name = strndup(name, strlen(name) - strlen(SUFFIX)) };
        if (!l->file->name)
                return -ENOMEM;
        STRV_FOREACH(f, files)
                if (r >= 0)
                        r = read_one(root, l, *f);
        if (r >= 0)
                r = vmfile_check(l->file, l->problem, l->userdata);
        l->file = NULL;
        return r;
}

int catalog_load(int root, ConfProblem problem, void *userdata, Catalog *ret) {
        Loader l = { .problem = problem, .userdata = userdata };
        _cleanup_strv_ char **names = NULL;
        int r;

        r = dropin_names(root, CATALOG_NAME, SUFFIX, on_left_out, &l, &names);
        STRV_FOREACH(name, names)
                if (r >= 0)
                        r = load_file(root, &l, *name);
        if (r < 0) {
                catalog_done(&l.c);
                return r;
        }
        *ret = l.c;
        return 0;
}

VmFile *catalog_find(const Catalog *c, const char *name) {
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->files[i].name, name))
                        return &c->files[i];
        return NULL;
}
