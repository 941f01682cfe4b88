/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "driveruse.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

enum { DEPTH_MAX = 6 }; /* of modules that build on one another; NVIDIA's are three */

typedef struct Asked {
        Worker *worker;
        int root;
        uint64_t timeout_usec;
        bool drm; /* NVIDIA's module for screens is there, which may make a frame buffer */
} Asked;

/* Returns 1 and the module's count, 0 if there is none. */
static int read_count(const Asked *a, const char *module, unsigned *ret) {
        _cleanup_free_ char *path = NULL, *line = NULL;
        int r;

        if (str_printf(&path, "/sys/module/%s/refcnt", module) < 0)
                return -ENOMEM;
        r = worker_read(a->worker, path, a->timeout_usec, &line);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return parse_uint(line, INT32_MAX, ret) >= 0;
}

/* A module that builds on it counts once (ref_module() in kernel/module/main.c). Returns 1 if that is all of
 * the count, and so on up; else 0. */
static int is_unused(Asked *a, const char *module, unsigned depth) {
        _cleanup_strv_ char **above = NULL;
        _cleanup_free_ char *path = NULL;
        unsigned count;
        int r;

        a->drm = a->drm || streq(module, "nvidia_drm");
        r = read_count(a, module, &count);
        if (r <= 0 || count == 0)
                return r;
        if (str_printf(&path, "/sys/module/%s/holders", module) < 0)
                return -ENOMEM;
        r = fs_list(a->root, path, &above);
        if (r < 0 || strv_length(above) != count || depth == 0)
                return r == -ENOMEM ? r : 0;
        r = 1;
        STRV_FOREACH(name, above) {
                if (r > 0)
                        r = is_unused(a, *name, depth - 1);
        }
        return r;
}

static int is_driver_unused(Asked *a, const char *driver) {
        return streq(driver, "nvidia") || streq(driver, "snd_hda_intel") ? is_unused(a, driver, DEPTH_MAX)
                                                                         : 0;
}

/* Who has it open pins the module that draws there, and that is one for all kinds of cards. */
static int has_frame_buffer(int root, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, "/sys/bus/pci/devices/%s/graphics", d->name) < 0)
                return -ENOMEM;
        return fs_exists(root, path);
}

int driveruse_is_none(Worker *w, int root, const PciDevice *const *devices, size_t n, uint64_t timeout_usec) {
        Asked a = { w, root, timeout_usec, false };
        const char *before = NULL;
        int r = 1;

        for (size_t i = 0; i < n && r > 0; i++) {
                const char *driver = devices[i]->driver;

                if (driver && !streq_ptr(driver, before))
                        r = is_driver_unused(&a, driver);
                before = driver;
        }
        for (size_t i = 0; a.drm && i < n && r > 0; i++) {
                r = has_frame_buffer(root, devices[i]);
                r = r < 0 ? r : r == 0;
        }
        return r < 0 && r != -ENOMEM ? 0 : r;
}
