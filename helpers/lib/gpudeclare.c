/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpudeclare.h"
#include "confvalid.h"
#include "fs.h"
#include "strv.h"

#define DIRECTORY "/etc/" CATALOG_NAME "/%s.vm.d"
#define NAME      "60-vmctl-gpu.conf"
#define HEADER    "# Written by 'vmctl gpu attach' and 'vmctl gpu detach', which take it away again as well.\n"

void gpudeclare_done(GpuDeclareChange *c) {
        free(c->path);
        free(c->text);
        free(c->obstacle);
        *c = (GpuDeclareChange){};
}

static const char *address_of(const PciBus *bus, const char *path) {
        for (size_t i = 0; i < bus->n; i++)
                if (streq_ptr(bus->devices[i].path, path))
                        return bus->devices[i].name;
        return path;
}

/* It is the same slot after a card was added, which renumbers buses. */
static const char *path_of(const PciBus *bus, const char *address) {
        for (size_t i = 0; i < bus->n; i++)
                if (streq(bus->devices[i].name, address) && !isempty(bus->devices[i].path))
                        return bus->devices[i].path;
        return address;
}

int gpudeclare_named(const PciBus *bus, const VmFile *f, char ***ret) {
        _cleanup_strv_ char **l = calloc(1, sizeof(*l)); /* not NULL: none is not "whichever" */
        int r = 0;

        *ret = NULL;
        if (!l)
                return -ENOMEM;
        if (!f->values[VMKEY_GPU])
                return 0;
        STRV_FOREACH(word, f->values[VMKEY_GPU]) {
                _cleanup_free_ char *address = NULL;

                if (streq(*word, "none"))
                        continue;
                r = confvalid_address(*word, &address);
                if (r == -EINVAL && !confvalid_gpu_path(*word))
                        return 0;
                if (r >= 0 || r == -EINVAL)
                        r = strv_extend(&l, address ?: address_of(bus, *word));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

/* Those of a that b does not have, appended. */
static int add_missing(char ***l, char *const *a, char *const *b) {
        int r = 0;

        STRV_FOREACH(s, a)
                if (r >= 0 && !strv_contains(b, *s))
                        r = strv_extend(l, *s);
        return r;
}

/* Returns 1 if both have the same ones. */
static int is_same(char *const *a, char *const *b) {
        _cleanup_strv_ char **l = NULL;
        int r;

        r = add_missing(&l, a, b);
        if (r >= 0)
                r = add_missing(&l, b, a);
        return r < 0 ? r : !l;
}

static int make_text(const PciBus *bus, char *const *gpus, char **ret) {
        _cleanup_free_ char *joined = NULL;
        _cleanup_strv_ char **l = NULL;
        int r = 0;

        STRV_FOREACH(gpu, gpus)
                if (r >= 0)
                        r = strv_extend(&l, path_of(bus, *gpu));
        joined = r < 0 ? NULL : strv_join(l, " ");
        if (!joined)
                return -ENOMEM;
        return str_printf(ret, HEADER "[Gpu]\nGpu=\nGpu=%s\n", *joined ? joined : "none");
}

/* Returns 1 if the file names these, and no other; or says nothing, where there are none. */
static int says(const PciBus *bus, const VmFile *f, char *const *gpus) {
        _cleanup_strv_ char **named = NULL;
        int r = gpudeclare_named(bus, f, &named);

        if (r < 0)
                return r;
        return named ? is_same(named, gpus) : !f->values[VMKEY_GPU] && (!gpus || !*gpus);
}

static bool is_read_after(const char *file, const char *main) {
        const char *name = strrchr(file, '/') + 1;

        return !streq(file, main) && strcmp(name, NAME) > 0;
}

/* The drop-in has the last word, and is nobody else's. */
static int find_obstacle(int root, const VmFile *without, GpuDeclareChange *c) {
        const char *last = vmfile_place(without, VMKEY_GPU).file;
        _cleanup_free_ char *was = NULL;
        int r;

        if (last && is_read_after(last, without->files[0]))
                return str_printf(&c->obstacle, "%s, which is read after %s, has the last word on Gpu=", last,
                                  c->path);
        r = fs_read(root, c->path, FS_FILE_MAX, &was, NULL);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return str_printf(&c->obstacle, "cannot read %s: %s", c->path, strerror(-r));
        return startswith(was, HEADER) ? 0 : str_printf(&c->obstacle, "%s is not by vmctl", c->path);
}

static int plan_named(int root, const PciBus *bus, const VmFile *f, char *const *gpus, GpuDeclareChange *c) {
        _cleanup_(vmfile_done) VmFile without = {};
        int r;

        r = catalog_read_without(root, f->name, c->path, NULL, NULL, &without);
        if (r > 0)
                r = says(bus, &without, gpus);
        if (r == 0)
                r = make_text(bus, gpus, &c->text);
        if (r >= 0)
                r = find_obstacle(root, &without, c);
        return r < 0 ? r : 1;
}

static int plan_file(int root, const PciBus *bus, const VmFile *f, char *const *gpus, bool has,
                     GpuDeclareChange *c) {
        _cleanup_strv_ char **now = NULL, **then = NULL;
        _cleanup_free_ char *wish = NULL;
        int r;

        if (f->n_problems > 0)
                return str_printf(&c->obstacle, "%s has mistakes, which 'vmctl validate' shows", f->files[0]);
        r = vmfile_gpu_wish(f, &wish);
        if (r > 0 && has)
                return str_printf(&c->obstacle, "%s asks for GPUs by number or model ('%s')",
                                  vmfile_place(f, VMKEY_GPU).file, wish);
        if (r == 0)
                r = gpudeclare_named(bus, f, &now);
        if (r < 0 || !now)
                return MIN(r, 0);
        r = add_missing(&then, now, has ? NULL : gpus);
        if (r >= 0 && has)
                r = add_missing(&then, gpus, now);
        if (r >= 0)
                r = is_same(now, then);
        return r != 0 ? MIN(r, 0) : plan_named(root, bus, f, then, c);
}

int gpudeclare_plan(int root, const PciBus *bus, const char *machine, char *const *gpus, bool has,
                    GpuDeclareChange *ret) {
        _cleanup_(gpudeclare_done) GpuDeclareChange c = {};
        _cleanup_(vmfile_done) VmFile f = {};
        int r;

        r = str_printf(&c.path, DIRECTORY "/" NAME, machine);
        if (r >= 0)
                r = catalog_read(root, machine, NULL, NULL, &f);
        if (r > 0)
                r = plan_file(root, bus, &f, gpus, has, &c);
        if (r < 0)
                return r;
        *ret = c;
        c = (GpuDeclareChange){};
        return r > 0 || ret->obstacle;
}

int gpudeclare_apply(int root, const GpuDeclareChange *c) {
        if (c->text)
                return fs_write_atomic(root, c->path, c->text, strlen(c->text), 0644);
        return MIN(fs_remove_written(root, c->path), 0);
}
