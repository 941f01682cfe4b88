/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk: a thin layer over an image that stays as it is. Nothing is copied. */

#include <inttypes.h>

#include "child.h"
#include "create.h"
#include "fs.h"
#include "imagefile.h"
#include "vmimage.h"

#define QEMU_IMG "/usr/bin/qemu-img"

enum { QEMU_IMG_TIMEOUT_SEC = 60 };

static int base_from_file(const char *file, Create *n) {
        const char *reason = NULL;
        ImageFile f = {};
        int r;

        n->base_path = realpath(file, NULL);
        r = n->base_path ? imagefile_look(n->base_path, &f, &reason) : negative_errno();
        if (r == -EBADMSG)
                return log_full_errno(LOG_ERR, EBADMSG, "Image '%s' %s", file, reason);
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
        return str_printf(&n->base_name, "%s %s", e->kind, e->release) < 0 ? log_oom() : 0;
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
        const char *file = vmctl_value(c, OPT_IMAGE);
        _cleanup_free_ GpuArch *archs = NULL;
        ImageWant want = { .kind = imagesource_kind_of(n->kind),
                           .n_gpus = n->plan.n_gpus,
                           .schematic = vmctl_value(c, OPT_SCHEMATIC) };

        if (file)
                return base_from_file(file, n);
        archs = calloc(n->plan.n_gpus + 1, sizeof(*archs));
        if (!archs)
                return log_oom();
        for (size_t i = 0; i < n->plan.n_gpus; i++)
                archs[i] = n->plan.gpus[i]->arch;
        want.gpus = archs;
        want.release = want.kind == IMAGE_TALOS ? vmctl_value(c, OPT_TALOS_VERSION)
                        : n->release            ? n->release->version
                                                : NULL;
        return base_from_cache(c, n, &want);
}

static void qemu_said(const char *line, void *userdata) {
        log_error("qemu-img: %s", line);
}

int disk_make(Create *n) {
        _cleanup_free_ char *size = NULL;
        int r;

        if (n->base_size > n->plan.disk) {
                log_error("Image '%s' is larger than the disk: %" PRIu64 " GiB. Give more by --disk",
                          n->base_name, (n->base_size + (UINT64_C(1) << 30) - 1) >> 30);
                return -EINVAL;
        }
        if (str_printf(&size, "%" PRIu64, n->plan.disk) < 0)
                return log_oom();
        if (fs_exists(n->root, n->disk) != 0)
                return log_full_errno(LOG_ERR, EEXIST,
                                      "'%s' is there already, and no machine's. Look at it first", n->disk);
        r = create_step(n, ROLLBACK_FILE, n->disk, "the disk");
        if (r < 0)
                return r;
        r = child_run(&(Child){
                        .argv = (const char *const[]){ QEMU_IMG, "create", "-q", "-f", "qcow2", "-b",
                                                       n->base_path, "-F", n->base_format, n->disk, size,
                                                       NULL },
                        .root = n->root,
                        .timeout_usec = QEMU_IMG_TIMEOUT_SEC * USEC_PER_SEC,
                        .on_stderr = qemu_said,
        });
        if (r == -ENOENT)
                return log_full_errno(LOG_ERR, ENOPKG,
                                      "There is no " QEMU_IMG ". 'sudo apt install qemu-utils'");
        if (r < 0)
                return log_error_errno(r, "Cannot make disk '%s': %m", n->disk);
        if (r > 0)
                return log_full_errno(LOG_ERR, EIO, "Cannot make disk '%s'. Is there room?", n->disk);
        return 0;
}
