/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <net/if.h>

#include "below.h"
#include "fs.h"
#include "nodes.h"
#include "nvme.h"
#include "proc.h"
#include "strv.h"

#define CLASS_BLOCK "/sys/class/block"
#define CLASS_NET   "/sys/class/net"

enum { CLASS_DISKS = 0x01, CLASS_NETWORK = 0x02, CLASS_USB = 0x0c03 };

/* By its class: a USB controller may have all of it. */
static bool may_have(const PciDevice *d, unsigned base) {
        return d->driver && !nodes_is_vfio_driver(d->driver) &&
                        (d->class >> 16 == base || d->class >> 8 == CLASS_USB);
}

/* sysfs links spell out the way from the root bus down. */
static bool hangs_on(const char *target, const PciDevice *d) {
        const char *at = strstr(target, d->name);

        return at && at > target && at[-1] == '/' && at[strlen(d->name)] == '/';
}

/* Returns 1 if a controller of the subsystem that it belongs to hangs on the function. */
static int hangs_on_subsystem(int root, const char *target, const PciDevice *d) {
        _cleanup_strv_ char **controllers = NULL;
        int r = nvme_list_controllers(root, target, &controllers);

        STRV_FOREACH(path, controllers) {
                _cleanup_free_ char *link = NULL;

                if (fs_readlink(root, *path, &link) >= 0 && hangs_on(link, d))
                        return 1;
        }
        return r;
}

/* The names in a directory of links to devices that hang on the function. */
static int list_below(int root, const char *class, const PciDevice *d, char ***ret) {
        _cleanup_close_ int dir = fs_open(root, class, O_RDONLY | O_DIRECTORY, 0);
        _cleanup_strv_ char **names = NULL, **found = NULL;
        int r;

        r = dir < 0 ? dir : fs_list_fd(dir, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *target = NULL;

                if (fs_readlink_at(dir, *name, &target) < 0)
                        continue;
                r = hangs_on(target, d) ? 1 : hangs_on_subsystem(root, target, d);
                if (r > 0)
                        r = strv_extend(&found, *name);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(found);
        return 0;
}

int below_disks(int root, const PciDevice *d, char ***ret) {
        return may_have(d, CLASS_DISKS) ? list_below(root, CLASS_BLOCK, d, ret) : 0;
}

/* By number, or, where the file system has a number of its own (btrfs), by name. */
static int tell_mount(int root, const char *disk, const ProcMounts *mounts, char ***l) {
        _cleanup_free_ char *path = NULL, *number = NULL;

        if (str_printf(&path, CLASS_BLOCK "/%s/dev", disk) < 0)
                return -ENOMEM;
        if (fs_read_line(root, path, &number) == -ENOMEM)
                return -ENOMEM;
        for (size_t i = 0; i < mounts->n; i++) {
                const char *source = startswith(mounts->items[i].source, "/dev/");

                if (streq_ptr(mounts->items[i].device, number) || streq_ptr(source, disk))
                        return strv_extendf(l, "%s is mounted on %s", disk, mounts->items[i].point);
        }
        return 0;
}

static int tell_swap(int root, const char *disk, char ***l) {
        _cleanup_free_ char *text = NULL, *line = NULL;

        if (fs_read(root, "/proc/swaps", FS_ATTR_MAX, &text, NULL) < 0)
                return 0;
        if (str_printf(&line, "\n/dev/%s ", disk) < 0)
                return -ENOMEM;
        return strstr(text, line) ? strv_extendf(l, "%s is swap space", disk) : 0;
}

/* Of a volume, a RAID or an encrypted disk, which may be in use or not. */
static int tell_holders(int root, const char *disk, char ***l) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, CLASS_BLOCK "/%s/holders", disk) < 0)
                return -ENOMEM;
        r = fs_list(root, path, &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(name, names) {
                r = strv_extendf(l, "%s is part of %s", disk, *name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int tell_disks(int root, const PciDevice *d, char ***l) {
        _cleanup_(proc_mounts_done) ProcMounts mounts = {};
        _cleanup_strv_ char **disks = NULL;
        int r;

        r = below_disks(root, d, &disks);
        if (r < 0 || !disks)
                return r;
        r = proc_mounts_read(root, &mounts);
        if (r < 0 && (r != -ENOENT || fs_is_host(root)))
                return r;
        r = 0;
        STRV_FOREACH(disk, disks) {
                r = tell_mount(root, *disk, &mounts, l);
                if (r >= 0)
                        r = tell_swap(root, *disk, l);
                if (r >= 0)
                        r = tell_holders(root, *disk, l);
                if (r < 0)
                        return r;
        }
        return r;
}

static int tell_interfaces(int root, const PciDevice *d, char ***l) {
        _cleanup_strv_ char **names = NULL;
        int r = 0;

        if (may_have(d, CLASS_NETWORK))
                r = list_below(root, CLASS_NET, d, &names);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL;
                uint64_t flags;

                if (str_printf(&path, CLASS_NET "/%s/flags", *name) < 0)
                        return -ENOMEM;
                if (fs_read_hex(root, path, &flags) >= 0 && flags & IFF_UP)
                        r = strv_extendf(l, "the interface %s is up", *name);
                if (r < 0)
                        return r;
        }
        return r;
}

int below_users(int root, const PciDevice *d, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        int r;

        r = tell_disks(root, d, &l);
        if (r >= 0)
                r = tell_interfaces(root, d, &l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}
