/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Diff: machines beside the files that declare them; and a machine as such a file. */

#include "catalog.h"
#include "confvalid.h"
#include "fs.h"
#include "json.h"
#include "pci.h"
#include "vmctl.h"
#include "vmdiff.h"
#include "vmunit.h"

/* One declared machine and what it is. */
typedef struct Compared {
        const VmFile *file;
        bool made;
        VmDifferences differences;
} Compared;

typedef struct Diff {
        Context *c;
        int root;
        Catalog catalog;
        PciBus bus;
        Compared *all;
        size_t n;
} Diff;

static void diff_done(Diff *d) {
        for (size_t i = 0; i < d->n; i++)
                vmdifferences_done(&d->all[i].differences);
        free(d->all);
        catalog_done(&d->catalog);
        pci_bus_done(&d->bus);
        if (d->root >= 0)
                (void) safe_close(d->root);
}

static const char *address_of(const PciBus *bus, const char *path) {
        for (size_t i = 0; i < bus->n; i++)
                if (streq_ptr(bus->devices[i].path, path))
                        return bus->devices[i].name;
        return path;
}

/* Sets *ret to the addresses that the file names, or to NULL where it says how many, or nothing. */
static int named_gpus(const Diff *d, const VmFile *f, char ***ret) {
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
                        r = strv_extend(&l, address ?: address_of(&d->bus, *word));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static int read_machine(Context *c, const char *name, VmDefined *ret) {
        _cleanup_free_ char *xml = NULL;
        int r;

        r = virtvm_xml(c->virt, name, &xml);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return vmctl_tell(c, r, "Cannot look at virtual machine '%s'", name);
        r = vmdefined_parse(xml, ret);
        if (r < 0)
                return log_error_errno(r, "Cannot read what virtual machine '%s' is: %m", name);
        if (r == 0)
                return log_full_errno(
                                LOG_ERR, EPERM,
                                "Virtual machine '%s' was not made by gpuvm and is left alone; use virsh",
                                name);
        if (ret->metadata.disks &&
            virtvm_disk_size(c->virt, name, ret->metadata.disks[0], &ret->disk) <
                            0) /* on a host that is away */
                ret->disk = 0;
        return 0;
}

static int compare(Diff *d, const VmFile *f, Compared *ret) {
        _cleanup_(vmdefined_done) VmDefined machine = {};
        _cleanup_(vmplan_done) VmPlan wanted = {};
        const VmWish w = vmdiff_wish(f);
        _cleanup_free_ char *said = NULL;
        _cleanup_strv_ char **gpus = NULL;
        int r;

        ret->file = f;
        r = read_machine(d->c, f->name, &machine);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        ret->made = true;
        r = vmplan_imagine(&w, &wanted, &said);
        if (r < 0 && said)
                return log_full_errno(LOG_ERR, EINVAL, "%s: %s", f->files[0], said);
        if (r >= 0)
                r = named_gpus(d, f, &gpus);
        if (r >= 0)
                r = vmdiff(f, &wanted, gpus, &machine, &ret->differences);
        return r < 0 ? log_error_errno(r, "Cannot compare '%s' with its file: %m", f->name) : 0;
}

/* Broken files are not guessed at. */
static int load(Diff *d, char **names) {
        unsigned n_bad = 0;
        int r;

        r = catalog_load(d->root, conf_warn, NULL, &d->catalog);
        if (r >= 0)
                r = pci_scan(d->root, &d->bus);
        if (r < 0)
                return log_error_errno(r, "Cannot read the machines that are declared: %m");
        STRV_FOREACH(name, names)
                if (!catalog_find(&d->catalog, *name))
                        return log_full_errno(LOG_ERR, ENOENT,
                                              "No machine '%s' is declared in /etc/gpuvm/vms", *name);
        for (size_t i = 0; i < d->catalog.n; i++) {
                const VmFile *f = &d->catalog.files[i];

                n_bad += f->n_problems > 0 && (!*names || strv_contains(names, f->name));
        }
        if (n_bad > 0)
                return log_full_errno(LOG_ERR, EINVAL,
                                      "%u file%s cannot be used; see above, and 'vmctl validate'", n_bad,
                                      n_bad == 1 ? "" : "s");
        return 0;
}

static int compare_all(Diff *d, char **names) {
        int r = 0;

        d->all = calloc(d->catalog.n + 1, sizeof(*d->all));
        if (!d->all)
                return log_oom();
        for (size_t i = 0; i < d->catalog.n && r >= 0; i++)
                if (!*names || strv_contains(names, d->catalog.files[i].name))
                        r = compare(d, &d->catalog.files[i], &d->all[d->n++]);
        return r;
}

static json_object *difference_to_json(const VmDifference *i) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "section", vmkey_rows[i->key].section) < 0 ||
            json_add_text(o, "key", vmkey_rows[i->key].name) < 0 || json_add_text(o, "is", i->is) < 0 ||
            json_add_text(o, "declared", i->wanted) < 0 ||
            json_add_text(o, "takes", vmchange_to_string(i->how)) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int show_json(const Diff *d) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < d->n; i++) {
                const Compared *m = &d->all[i];
                json_object *o = json_object_new_object(), *l = json_object_new_array();
                int r = 0;

                for (size_t k = 0; k < m->differences.n && r >= 0; k++)
                        r = json_append(l, difference_to_json(&m->differences.items[k]));
                if (json_add(o, "differences", l) < 0 || json_add_text(o, "name", m->file->name) < 0 ||
                    json_add(o, "made", json_object_new_boolean(m->made)) < 0 || r < 0) {
                        (void) json_object_put(o);
                        return log_oom();
                }
                if (json_append(all, o) < 0)
                        return log_oom();
        }
        return all ? json_print(all, stdout) : log_oom();
}

static const char *takes_text(VmChange how) {
        static const char *const texts[] = {
                [VMCHANGE_NOW] = "can be done now",
                [VMCHANGE_RESTART] = "at its next start",
                [VMCHANGE_ANEW] = "to be made again",
        };

        return texts[how];
}

static int show_table(const Diff *d) {
        static const char *const columns[] = { "NAME", "KEY", "IS", "DECLARED", "TAKES", NULL };
        struct libscols_table *t = table_new(columns);
        int r = 0;

        for (size_t i = 0; i < d->n && r >= 0; i++) {
                const Compared *m = &d->all[i];

                if (!m->made)
                        r = table_add(t,
                                      (const char *const[]){ m->file->name, NULL, "not made", NULL,
                                                             "vmctl create" });
                for (size_t k = 0; k < m->differences.n && r >= 0; k++) {
                        const VmDifference *x = &m->differences.items[k];

                        r = table_add(t,
                                      (const char *const[]){ m->file->name, vmkey_rows[x->key].name, x->is,
                                                             x->wanted, takes_text(x->how) });
                }
        }
        return (table_print(t) ?: r) < 0 ? log_oom() : 0;
}

static size_t count(const Diff *d) {
        size_t n = 0;

        for (size_t i = 0; i < d->n; i++)
                n += !d->all[i].made || d->all[i].differences.n > 0;
        return n;
}

int cmd_diff(Context *c, char **args) {
        _cleanup_(diff_done) Diff d = { .c = c, .root = fs_open_root(vmctl_value(c, OPT_ROOT)) };
        int r;

        if (d.root < 0)
                return log_error_errno(d.root, "Cannot open root directory '%s': %m",
                                       strempty(vmctl_value(c, OPT_ROOT)));
        r = load(&d, args);
        if (r >= 0)
                r = vmctl_connect(c);
        if (r >= 0)
                r = compare_all(&d, args);
        if (r >= 0 && vmctl_has(c, OPT_JSON))
                r = show_json(&d);
        else if (r >= 0 && vmctl_has(c, OPT_QUIET))
                for (size_t i = 0; i < d.n; i++) {
                        if (!d.all[i].made || d.all[i].differences.n > 0)
                                puts(d.all[i].file->name);
                }
        else if (r >= 0 && count(&d) > 0)
                r = show_table(&d);
        return r < 0 ? r : count(&d) > 0 ? VMCTL_FAILED : VMCTL_DONE;
}

int cmd_export(Context *c, char **args) {
        _cleanup_(vmdefined_done) VmDefined machine = {};
        _cleanup_free_ char *text = NULL;
        bool autostart = false;
        int r;

        r = vmctl_connect(c);
        if (r >= 0)
                r = read_machine(c, args[0], &machine);
        if (r == -ENOENT)
                return log_error_errno(r, "There is no virtual machine '%s'; 'vmctl list' shows them",
                                       args[0]);
        if (r < 0)
                return r;
        if (vmctl_is_local(c)) {
                _cleanup_close_ int root = fs_open_root(NULL);

                autostart = root >= 0 && vmunit_is_enabled(root, args[0]) > 0;
        }
        r = vmdefined_format(&machine, autostart, &text);
        if (r < 0)
                return log_oom();
        fputs(text, stdout);
        return 0;
}
