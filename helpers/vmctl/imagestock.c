/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imagestock.h"
#include "fs.h"
#include "metadata.h"
#include "nearest.h"
#include "virtvm.h"
#include "vmdefined.h"

void imagestock_done(ImageStock *s) {
        image_entries_free(s->entries, s->n);
        strv_free(s->used);
        conf_done(&s->conf);
        (void) safe_close(s->root);
}

int imagestock_open(ImageStock *s) {
        int r;

        s->root = fs_open_root(secure_getenv("GPUVM_ROOT"));
        if (s->root < 0)
                return log_error_errno(s->root, "Cannot open the root directory: %m");
        r = conf_load_and_warn(s->root, &s->conf);
        return r < 0 ? log_oom() : 0;
}

int imagestock_load(ImageStock *s) {
        int r;

        r = imagestock_open(s);
        if (r < 0)
                return r;
        r = imagecache_list(s->root, &s->entries, &s->n);
        return r < 0 ? log_error_errno(r, "Cannot read the images in '" IMAGE_CACHE "': %m") : 0;
}

/* What the disks of one machine are made on. One that is gone since it was listed needs nothing. */
static int add_machine(ImageStock *s, Virt *v, const char *name) {
        _cleanup_strv_ char **disks = NULL;
        _cleanup_free_ char *xml = NULL;
        int r = virtvm_xml(v, name, &xml);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = vmdefined_disks(xml, &disks);
        STRV_FOREACH(disk, disks)
                if (r >= 0)
                        r = imagecache_add_used(s->root, *disk, &s->used);
        return r;
}

/* Machines may have their disks elsewhere than in today's pool. */
static int add_machines(ImageStock *s) {
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_(virt_closep) Virt *v = NULL;
        int r = virt_open_root(s->root, &v, NULL);

        /* Without libvirt there are no machines; a recorded host has none that could be asked. */
        if (r == -ENOPKG || r == -ENOTCONN)
                return 0;
        if (r >= 0)
                r = virtvm_list(v, METADATA_URI, &l);
        for (size_t i = 0; i < l.n && r >= 0; i++)
                r = add_machine(s, v, l.vms[i].name);
        return r;
}

int imagestock_look_at_use(ImageStock *s, bool need) {
        int r;

        r = imagecache_used(s->root, s->conf.pool_path, &s->used);
        if (r < 0 && need)
                return log_error_errno(
                                r,
                                "Cannot see which images the disks in '%s' are made on: %m. Run this as root",
                                s->conf.pool_path);
        r = need ? add_machines(s) : 0;
        return r < 0 ? log_error_errno(r,
                                       "Cannot see which images the machines are made on: %m. 'vmctl list' "
                                       "tells whether libvirt answers; nothing is removed")
                     : 0;
}

const ImageEntry *imagestock_get(const ImageStock *s, const char *name) {
        for (size_t i = 0; i < s->n; i++)
                if (streq(s->entries[i].name, name))
                        return &s->entries[i];
        return NULL;
}

const ImageEntry *imagestock_find(const ImageStock *s, const char *name) {
        const ImageEntry *e = imagestock_get(s, name);
        const char **names;
        const char *meant;

        if (e)
                return e;
        names = calloc(s->n + 1, sizeof(*names));
        for (size_t i = 0; names && i < s->n; i++)
                names[i] = s->entries[i].name;
        meant = names ? nearest_find(name, names) : NULL;
        free(names);
        if (meant)
                log_error("There is no image '%s'. Did you mean '%s'?", name, meant);
        else
                log_error("There is no image '%s'; 'vmctl image list' shows them", name);
        return NULL;
}
