/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "declared.h"
#include "fs.h"
#include "gpudeclare.h"
#include "virtdisk.h"

void declared_done(Declared *d) {
        for (size_t i = 0; i < d->n; i++) {
                vmdifferences_done(&d->all[i].differences);
                vmplan_done(&d->all[i].wanted);
                vmdefined_done(&d->all[i].machine);
                strv_free(d->all[i].gpus);
        }
        free(d->all);
        catalog_done(&d->catalog);
        pci_bus_done(&d->bus);
        if (d->root >= 0)
                (void) safe_close(d->root);
}

int declared_machine(Context *c, const char *name, VmDefined *ret) {
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
        return r == 0 ? vmctl_refuse(name) : 0;
}

void declared_disk(Context *c, const char *name, VmDefined *d) {
        if (d->metadata.disks && virtdisk_size(c->virt, name, d->metadata.disks[0], &d->disk) < 0)
                d->disk = 0; /* on a host that is away */
}

static int compare(Context *c, const Declared *d, const VmFile *f, Compared *ret) {
        const VmWish w = vmdiff_wish(f);
        _cleanup_free_ char *said = NULL;
        int r;

        ret->file = f;
        r = gpudeclare_named(&d->bus, f, &ret->gpus);
        if (r < 0)
                return log_oom();
        r = declared_machine(c, f->name, &ret->machine);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        ret->made = true;
        if (vmfile_value(f, VMKEY_DISK))
                declared_disk(c, f->name, &ret->machine);
        r = vmplan_imagine(&w, &ret->wanted, &said);
        if (r < 0 && said)
                return log_full_errno(LOG_ERR, EINVAL, "%s: %s", f->files[0], said);
        if (r >= 0)
                r = vmdiff(f, &ret->wanted, ret->gpus, &ret->machine, &ret->differences);
        return r < 0 ? log_error_errno(r, "Cannot compare '%s' with its file: %m", f->name) : 0;
}

/* Broken files are not guessed at. */
static int load(Declared *d, char **names) {
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

static int compare_all(Context *c, Declared *d, char **names) {
        int r = 0;

        d->all = calloc(d->catalog.n + 1, sizeof(*d->all));
        if (!d->all)
                return log_oom();
        for (size_t i = 0; i < d->catalog.n && r >= 0; i++)
                if (!*names || strv_contains(names, d->catalog.files[i].name))
                        r = compare(c, d, &d->catalog.files[i], &d->all[d->n++]);
        return r;
}

int declared_look(Context *c, char **names, Declared *ret) {
        _cleanup_(declared_done) Declared d = { .root = fs_open_root(vmctl_value(c, OPT_ROOT)) };
        int r;

        if (d.root < 0)
                return log_error_errno(d.root, "Cannot open root directory '%s': %m",
                                       strempty(vmctl_value(c, OPT_ROOT)));
        r = load(&d, names);
        if (r >= 0)
                r = vmctl_connect(c);
        if (r >= 0)
                r = compare_all(c, &d, names);
        if (r < 0)
                return r;
        *ret = d;
        d = (Declared){ .root = -EBADF };
        return 0;
}
