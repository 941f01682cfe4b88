/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk: a thin layer over an image that stays as it is. Nothing is copied. */

#include <inttypes.h>

#include "buildplan.h"
#include "create.h"
#include "fs.h"
#include "imagefile.h"
#include "vmimage.h"

static int base_from_file(const char *file, Create *n) {
        const char *reason = NULL;
        ImageFile f = {};
        int r;

        n->base_path = realpath(file, NULL);
        r = n->base_path ? imagefile_look(n->base_path, &f, &reason) : negative_errno();
        if (r == -EBADMSG)
                return log_full_errno(LOG_ERR, EBADMSG, "Image '%s' %s", file, reason);
        if (r == -ENOENT && image_name_is_valid(file)) {
                log_error("There is no file '%s', nor an image of that name that was built here; 'vmctl image list' "
                          "shows those, 'vmctl image build' makes one",
                          file);
                return -EINVAL;
        }
        if (r < 0) {
                log_error_errno(r, "Cannot read image '%s': %m", file);
                return -EINVAL;
        }
        n->base_size = f.size;
        return free_and_strdup(&n->base_format, f.format) < 0 ||
                                        free_and_strdup(&n->base_name, strrchr(n->base_path, '/') + 1) < 0
                        ? log_oom()
                        : 0;
}

static int take_entry(ImageEntry *e, Create *n) {
        n->base_size = e->size;
        n->base_path = TAKE_PTR(e->path);
        n->base_format = TAKE_PTR(e->format);
        n->base_hold = e->hold;
        e->hold = 0;
        return (e->built ? free_and_strdup(&n->base_name, e->name)
                         : str_printf(&n->base_name, "%s %s", e->kind, e->release)) < 0
                        ? log_oom()
                        : 0;
}

/* One that was built, by its name. Returns 0, -ENOENT if there is none of that name, or -errno after a
 * message. */
static int base_from_built(const char *name, Create *n) {
        _cleanup_(image_entry_done) ImageEntry e = {};
        int r;

        r = image_name_is_valid(name) ? imagecache_find(n->root, name, &e) : -ENOENT;
        if (r >= 0)
                r = e.built ? imagecache_hold(n->root, &e) : -ENOENT;
        if (r < 0)
                return r == -ENOENT ? r : log_error_errno(r, "Cannot look for image '%s': %m", name);
        return take_entry(&e, n);
}

/* From the cache or the network; who has it, asks nobody. */
static int base_from_cache(Context *c, Create *n, const ImageWant *want) {
        _cleanup_(image_failure_done) ImageFailure failure = {};
        _cleanup_(image_entry_done) ImageEntry entry = {};
        VmctlProgress progress;
        ImageSetup setup;
        int r;

        vmctl_progress_begin(c, &progress);
        vmctl_image_setup(&n->conf, n->root, &progress, &setup);
        setup.stop = create_interrupted;
        r = image_get(&setup, want, &entry, &failure);
        vmctl_progress_end(&progress);
        return r < 0 ? vmctl_image_tell(r, &failure) : take_entry(&entry, n);
}

int base_find(Context *c, Create *n) {
        const char *file = vmctl_value(c, OPT_IMAGE) ?: streq(n->kind, "worker") ? BUILDPLAN_WORKER : NULL;
        _cleanup_free_ GpuArch *archs = NULL;
        ImageWant want = { .kind = imagesource_kind_of(n->kind), .schematic = vmctl_value(c, OPT_SCHEMATIC) };

        if (file) {
                int r = base_from_built(file, n);

                if (r != -ENOENT || vmctl_has(c, OPT_IMAGE))
                        return r == -ENOENT ? base_from_file(file, n) : r;
                log_error("There is no image '%s' yet: 'sudo vmctl image build %s' makes it, within the hour",
                          file, file);
                return r;
        }
        archs = calloc(n->host.n_gpus + 1, sizeof(*archs));
        if (!archs)
                return log_oom();
        for (size_t i = 0; i < n->host.n_gpus; i++)
                if (vmplan_may_have(&n->plan, &n->host.gpus[i]))
                        archs[want.n_gpus++] = n->host.gpus[i].arch;
        want.gpus = archs;
        want.release = want.kind == IMAGE_TALOS ? vmctl_value(c, OPT_TALOS_VERSION)
                        : n->release            ? n->release->version
                                                : NULL;
        return base_from_cache(c, n, &want);
}

int disk_make(Create *n) {
        int r;

        if (n->base_size > n->plan.disk) {
                log_error("Image '%s' is larger than the disk: %" PRIu64 " GiB. Give more by --disk",
                          n->base_name, (n->base_size + (UINT64_C(1) << 30) - 1) >> 30);
                return -EINVAL;
        }
        if (fs_exists(n->root, n->disk) != 0)
                return log_full_errno(LOG_ERR, EEXIST,
                                      "'%s' is there already, and no machine's. Look at it first", n->disk);
        r = create_step(n, ROLLBACK_FILE, n->disk, "the disk");
        if (r < 0)
                return r;
        r = imagefile_overlay(n->root, n->base_path, n->base_format, n->disk, n->plan.disk);
        return r < 0 ? log_error_errno(r, "Cannot make disk '%s': %m", n->disk) : 0;
}
