/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "keep.h"
#include "fs.h"
#include "keepsearch.h"
#include "nvme.h"
#include "proc.h"
#include "strv.h"

enum { DEPTH_MAX = 16 }; /* LUKS on LVM on md on partitions is 4 */

void keep_done(KeepList *k) {
        free(k->items);
        strv_free(k->reasons);
        *k = (KeepList){};
}

int keep_add(KeepSearch *s, const PciDevice *d, const char *why) {
        IommuKeep *t;
        int r;

        for (size_t i = 0; i < s->list.n; i++)
                if (bdf_compare(s->list.items[i].bdf, d->bdf) == 0)
                        return 0;
        t = reallocarray(s->list.items, s->list.n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        s->list.items = t;
        r = strv_extend(&s->list.reasons, why);
        if (r < 0)
                return r;
        t[s->list.n] = (IommuKeep){ .bdf = d->bdf, .why = s->list.reasons[s->list.n] };
        s->list.n++;
        return 0;
}

/* sysfs links spell out the way from the root bus down, so the text alone names each function that the thing
 * at its end hangs on: its controller, and one that a whole bus hides behind (VMD). Returns how many there
 * are, those included that the bus here does not have. */
int keep_add_link(KeepSearch *s, const char *path, const char *why) {
        _cleanup_strv_ char **parts = NULL;
        _cleanup_free_ char *target = NULL;
        int r, n = 0;

        r = fs_readlink(s->root, path, &target);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = strv_split(target, "/", &parts);
        if (r < 0)
                return r;
        STRV_FOREACH(p, parts) {
                const PciDevice *d;
                Bdf b;

                if (bdf_parse(*p, &b) < 0)
                        continue;
                d = pci_find(s->bus, b);
                if (d && pci_is_bridge(d))
                        continue;
                r = d ? keep_add(s, d, why) : 0;
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

typedef int (*Follow)(KeepSearch *s, const char *name, const char *why, unsigned depth);

/* Calls follow for each entry of a directory that has the prefix, without it. Returns the sum of the results.
 */
static int for_each(KeepSearch *s, const char *dir, const char *prefix, Follow follow, const char *why,
                    unsigned depth) {
        _cleanup_strv_ char **names = NULL;
        int r, n = 0;

        if (depth >= DEPTH_MAX)
                return 0;
        r = fs_list(s->root, dir, &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(i, names) {
                const char *rest = startswith(*i, prefix);

                if (!rest)
                        continue;
                r = follow(s, rest, why, depth + 1);
                if (r < 0)
                        return r;
                n += r;
        }
        return n;
}

static int add_nvme_controllers(KeepSearch *s, const char *target, const char *why) {
        _cleanup_strv_ char **controllers = NULL;
        int r = nvme_list_controllers(s->root, target, &controllers);

        STRV_FOREACH(path, controllers) {
                r = keep_add_link(s, *path, why);
                if (r < 0)
                        return r;
        }
        return MIN(r, 0);
}

/* A block device by its kernel name. What a stacked one is made of is in its slaves/; a partition of one has
 * no such directory, and its disk is the component before it. */
static int add_block(KeepSearch *s, const char *name, const char *why, unsigned depth) {
        _cleanup_free_ char *link = NULL, *target = NULL, *dir = NULL;
        char *end;
        int r, n;

        if (str_printf(&link, "/sys/class/block/%s", name) < 0)
                return -ENOMEM;
        n = keep_add_link(s, link, why);
        if (n != 0)
                return n;
        r = fs_readlink(s->root, link, &target);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (strstr(target, "/nvme-subsystem/"))
                return add_nvme_controllers(s, target, why);
        if (str_printf(&dir, "%s/slaves", link) < 0)
                return -ENOMEM;
        end = strrchr(target, '/');
        if (!end || fs_exists(s->root, dir) > 0)
                return for_each(s, dir, "", add_block, why, depth);
        *end = '\0';
        end = strrchr(target, '/');
        return end && depth < DEPTH_MAX && !streq(end, "/block") ? add_block(s, end + 1, why, depth + 1) : 0;
}

/* btrfs has a device number of no disk; sysfs lists what each file system is made of. */
static int add_btrfs_peers(KeepSearch *s, const char *name, const char *why) {
        _cleanup_strv_ char **ids = NULL;
        int r;

        r = fs_list(s->root, "/sys/fs/btrfs", &ids);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(id, ids) {
                _cleanup_free_ char *dir = NULL, *member = NULL;

                if (str_printf(&dir, "/sys/fs/btrfs/%s/devices", *id) < 0 ||
                    str_printf(&member, "%s/%s", dir, name) < 0)
                        return -ENOMEM;
                r = fs_exists(s->root, member);
                if (r > 0)
                        r = for_each(s, dir, "", add_block, why, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The kernel name of a mapped device: sysfs knows it where a private /dev lacks /dev/mapper. Returns 1 if
 * found, else 0. */
static int find_mapped(int root, const char *mapped, char **ret) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, "/sys/class/block", &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL, *name = NULL;

                if (!startswith(*n, "dm-"))
                        continue;
                if (str_printf(&path, "/sys/class/block/%s/dm/name", *n) < 0)
                        return -ENOMEM;
                r = fs_read_line(root, path, &name);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !streq(name, mapped))
                        continue;
                *ret = strdup(*n);
                return *ret ? 1 : -ENOMEM;
        }
        return 0;
}

/* What the kernel calls "/dev/sda2" or "/dev/mapper/vg-root" (a link to ../dm-0). */
static int block_name(int root, const char *node, char **ret) {
        const char *mapped = startswith(node, "/dev/mapper/");
        int r;

        r = fs_readlink_name(root, node, ret);
        if (r >= 0 || r == -ENOMEM)
                return r;
        r = mapped ? find_mapped(root, mapped, ret) : 0;
        if (r != 0)
                return r;
        *ret = strdup(strrchr(node, '/') + 1);
        return *ret ? 0 : -ENOMEM;
}

/* Several with colons between them in bcachefs. */
static int add_source(KeepSearch *s, const char *source, const char *why) {
        _cleanup_strv_ char **devices = NULL;
        int r;

        r = strv_split(source, ":", &devices);
        STRV_FOREACH(d, devices) {
                _cleanup_free_ char *name = NULL;

                if (r < 0)
                        return r;
                if (!startswith(*d, "/dev/"))
                        continue;
                r = block_name(s->root, *d, &name);
                if (r >= 0)
                        r = add_block(s, name, why, 0);
                if (r >= 0)
                        r = add_btrfs_peers(s, name, why);
        }
        return r < 0 ? r : 0;
}

/* The kernel does not say which disks a pool of ZFS is made of. Each controller that the host drives may have
 * one: better one too many than a pool without a disk. */
static int add_controllers(KeepSearch *s, const char *why) {
        int r = 0;

        for (size_t i = 0; i < s->bus->n && r >= 0; i++) {
                const PciDevice *d = &s->bus->devices[i];

                if (d->class >> 16 == 0x01 && d->driver && !streq(d->driver, "vfio-pci"))
                        r = keep_add(s, d, why);
        }
        return r;
}

/* With a number of no device: proc, tmpfs, but also btrfs. */
static bool is_unnamed(const ProcMount *m) {
        return startswith(m->device, "0:");
}

static int add_mount(KeepSearch *s, const ProcMount *m) {
        _cleanup_free_ char *why = NULL, *link = NULL, *name = NULL;
        int r;

        if (str_printf(&why, "the disk under %s", m->point) < 0 ||
            str_printf(&link, "/sys/dev/block/%s", m->device) < 0)
                return -ENOMEM;
        if (streq(m->type, "zfs"))
                return add_controllers(s, why);
        if (is_unnamed(m))
                return add_source(s, m->source, why);
        r = keep_add_link(s, link, why);
        if (r != 0)
                return MIN(r, 0);
        r = fs_readlink_name(s->root, link, &name);
        if (r == -ENOMEM)
                return r;
        return r < 0 ? add_source(s, m->source, why) : add_block(s, name, why, 0);
}

/* A disk whose file system has another mount, that of "/" or one above in the table. */
static bool is_told(const ProcMounts *mounts, size_t i, const ProcMount *top) {
        const ProcMount *m = &mounts->items[i];

        if (m == top || is_unnamed(m))
                return m == top;
        for (size_t k = 0; k < i; k++)
                if (streq(mounts->items[k].device, m->device))
                        return true;
        return top && streq(top->device, m->device);
}

static int find_mounts(KeepSearch *s) {
        _cleanup_(proc_mounts_done) ProcMounts mounts = {};
        const ProcMount *top;
        int r;

        r = proc_mounts_read(s->root, &mounts);
        if (r < 0)
                return r == -ENOENT && !fs_is_host(s->root) ? 0 : r;
        top = proc_mounts_find(&mounts, "/");
        if (top)
                r = add_mount(s, top);
        for (size_t i = 0; i < mounts.n && r >= 0; i++)
                if (!is_told(&mounts, i, top))
                        r = add_mount(s, &mounts.items[i]);
        return r;
}

static int find_swaps(KeepSearch *s) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(s->root, "/proc/swaps", FS_ATTR_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(l, lines) {
                if (r < 0)
                        return r;
                (*l)[strcspn(*l, " \t")] = '\0';
                r = add_source(s, *l, "the disk with swap space");
        }
        return r;
}

static int add_interface(KeepSearch *s, const char *name, const char *why, unsigned depth) {
        _cleanup_free_ char *link = NULL;
        int n;

        if (str_printf(&link, "/sys/class/net/%s", name) < 0)
                return -ENOMEM;
        n = keep_add_link(s, link, why);
        return n != 0 ? n : for_each(s, link, "lower_", add_interface, why, depth);
}

static int add_if_up(KeepSearch *s, const char *name, const char *why, unsigned depth) {
        _cleanup_free_ char *path = NULL, *state = NULL, *text = NULL;
        int r;

        if (str_printf(&path, "/sys/class/net/%s/operstate", name) < 0)
                return -ENOMEM;
        r = fs_read_line(s->root, path, &state);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !streq(state, "up"))
                return 0;
        if (str_printf(&text, "%s (%s)", why, name) < 0)
                return -ENOMEM;
        return add_interface(s, name, text, depth);
}

static int find_network(KeepSearch *s) {
        _cleanup_strv_ char **names = NULL;
        int r, n = 0;

        r = proc_default_interfaces(s->root, &names);
        STRV_FOREACH(i, names) {
                _cleanup_free_ char *why = NULL;

                if (str_printf(&why, "the network card of the default route (%s)", *i) < 0)
                        return -ENOMEM;
                r = add_interface(s, *i, why, 0);
                if (r < 0)
                        return r;
                n += r;
        }
        if (r < 0 || n > 0)
                return r;
        return for_each(s, "/sys/class/net", "", add_if_up, "a network card in use", 0);
}

int keep_find(int root, const PciBus *bus, KeepList *ret) {
        KeepSearch s = { .root = root, .bus = bus };
        int r;

        r = find_mounts(&s);
        if (r >= 0)
                r = find_swaps(&s);
        if (r >= 0)
                r = find_network(&s);
        if (r >= 0)
                r = keep_consoles(&s);
        if (r < 0) {
                keep_done(&s.list);
                return r;
        }
        *ret = s.list;
        return 0;
}
