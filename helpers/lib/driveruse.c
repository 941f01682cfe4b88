/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "driveruse.h"
#include "fs.h"
#include "nodes.h"
#include "parse.h"
#include "strv.h"

enum { DEPTH_MAX = 6 }; /* of modules that build on one another; NVIDIA's are three */

typedef struct Asked {
        Worker *worker;
        int root;
        uint64_t timeout_usec;
        bool open_groups;
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

/* True if the node is the one that the kernel tells of. */
static bool is_node(int root, const char *node, const char *number) {
        char found[32];
        struct stat st;

        if (fs_stat(root, node, &st) < 0 || !S_ISCHR(st.st_mode))
                return false;
        (void) snprintf(found, sizeof(found), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
        return streq(found, number);
}

/* In the child. Returns 1 if the group could be opened. */
static int serve_open_group(int root, const char *group, _unused_ size_t n, _unused_ char *answer) {
        _cleanup_free_ char *path = NULL, *node = NULL, *number = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (str_printf(&path, "/sys/class/vfio/%s/dev", group) < 0 ||
            str_printf(&node, "/dev/vfio/%s", group) < 0)
                return -ENOMEM;
        r = fs_read_line(root, path, &number);
        if (r < 0)
                return r;
        if (!is_node(root, node, number))
                return 0;
        fd = fs_open(root, node, O_RDONLY | O_NONBLOCK, 0);
        return fd < 0 ? fd : 1;
}

/* A kernel with CONFIG_VFIO_DEVICE_CDEV: who has such a node open and has not got further is not counted to
 * the group (vfio_df_ioctl_bind_iommufd() in drivers/vfio/device_cdev.c). Returns 1 if so. */
static int has_own_node(int root, const PciDevice *d) {
        _cleanup_free_ char *dir = NULL;
        _cleanup_strv_ char **names = NULL;
        int r;

        if (str_printf(&dir, "/sys/bus/pci/devices/%s/vfio-dev", d->name) < 0)
                return -ENOMEM;
        r = fs_list(root, dir, &names);
        r = r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL;

                if (r != 0)
                        break;
                r = str_printf(&path, "%s/%s/dev", dir, *name);
                r = r < 0 ? r : fs_exists(root, path);
        }
        return r;
}

static int is_group_unused(const Asked *a, const PciDevice *d) {
        char group[16];
        int r;

        if (!a->open_groups)
                return 0;
        (void) snprintf(group, sizeof(group), "%d", d->iommu_group);
        r = worker_call(a->worker, serve_open_group, group, strlen(group), a->timeout_usec, NULL);
        if (r == -EBUSY || r == -ENOMEM || r == -ETIMEDOUT || r == -ECHILD)
                return r;
        return r <= 0 || has_own_node(a->root, d) != 0 ? 0 : 1;
}

static int is_driver_unused(Asked *a, const PciDevice *d) {
        if (nodes_is_vfio_driver(d->driver))
                return is_group_unused(a, d);
        return streq(d->driver, "nvidia") || streq(d->driver, "snd_hda_intel")
                        ? is_unused(a, d->driver, DEPTH_MAX)
                        : 0;
}

/* All that is asked is asked once. */
static bool is_same(const PciDevice *d, const PciDevice *before) {
        return before && streq_ptr(d->driver, before->driver) && d->iommu_group == before->iommu_group;
}

/* Who has it open pins the module that draws there, and that is one for all kinds of cards. */
static int has_frame_buffer(int root, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, "/sys/bus/pci/devices/%s/graphics", d->name) < 0)
                return -ENOMEM;
        return fs_exists(root, path);
}

int driveruse_is_none(Worker *w, int root, const PciDevice *const *devices, size_t n, bool open_groups,
                      uint64_t timeout_usec) {
        Asked a = { .worker = w, .root = root, .timeout_usec = timeout_usec, .open_groups = open_groups };
        int r = 1, all = 1;

        for (size_t i = 0; i < n && r >= 0; i++) {
                if (!devices[i]->driver || is_same(devices[i], i > 0 ? devices[i - 1] : NULL))
                        continue;
                r = is_driver_unused(&a, devices[i]);
                all = MIN(all, r);
        }
        for (size_t i = 0; a.drm && i < n && all > 0; i++) {
                r = has_frame_buffer(root, devices[i]);
                all = r == -ENOMEM ? r : r == 0;
        }
        return all;
}
