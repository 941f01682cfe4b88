/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/sysmacros.h>

#include "below.h"
#include "fs.h"
#include "nodes.h"
#include "parse.h"
#include "strv.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define NVIDIA_GPUS "/proc/driver/nvidia/gpus"

enum {
        NVIDIA_MAJOR = 195,     /* assigned in Documentation/admin-guide/devices.txt */
        NVIDIA_MINOR_MAX = 247, /* above are the control nodes, which belong to no GPU */
};

void nodes_done(Nodes *s) {
        for (size_t i = 0; i < s->n; i++)
                free(s->list[i].name);
        free(s->list);
        *s = (Nodes){};
}

static int add_node(Nodes *s, dev_t number, const char *format, const char *name) {
        Node *t = reallocarray(s->list, s->n + 1, sizeof(*t));
        _cleanup_free_ char *text = NULL;
        int r;

        if (!t)
                return -ENOMEM;
        s->list = t;
        r = str_printf(&text, format, name);
        if (r < 0)
                return r;
        s->list[s->n++] = (Node){ .number = number, .name = TAKE_PTR(text) };
        return 0;
}

/* The "MAJOR:MINOR" in a sysfs file. Returns 1 if it is there. */
static int read_number(int root, const char *path, dev_t *ret) {
        _cleanup_free_ char *line = NULL;
        unsigned major_number, minor_number;
        char *colon;
        int r;

        r = fs_read_line(root, path, &line);
        if (r < 0)
                return r == -ENOENT || r == -ENOTDIR || r == -ENODEV ? 0 : r;
        colon = strchr(line, ':');
        if (!colon)
                return -EINVAL;
        *colon = '\0';
        if (parse_uint(line, UINT32_MAX, &major_number) < 0 ||
            parse_uint(colon + 1, UINT32_MAX, &minor_number) < 0)
                return -EINVAL;
        *ret = makedev(major_number, minor_number);
        return 1;
}

/* Every "dev" in the directories in DIR whose names start with prefix and, if deeper, one level below them.
 * format: how a user is told the name. */
static int add_nodes_below(int root, Nodes *s, const char *dir, const char *prefix, const char *format,
                           bool deeper) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, dir, &names);
        if (r < 0)
                return r == -ENOENT || r == -ENOTDIR || r == -ENODEV ? 0 : r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL, *below = NULL;
                dev_t number;

                if (!startswith(*name, prefix))
                        continue;
                if (str_printf(&path, "%s/%s/dev", dir, *name) < 0 ||
                    str_printf(&below, "%s/%s", dir, *name) < 0)
                        return -ENOMEM;
                r = read_number(root, path, &number);
                if (r > 0)
                        r = add_node(s, number, format, *name);
                /* "device" leads back up to the function. */
                if (r >= 0 && deeper && !streq(*name, "device") && !streq(*name, "subsystem"))
                        r = add_nodes_below(root, s, below, "", format, false);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The number N of /dev/nvidiaN. */
static int add_nvidia(int root, Nodes *s, const PciDevice *d) {
        _cleanup_free_ char *path = NULL, *text = NULL, *name = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        if (str_printf(&path, NVIDIA_GPUS "/%s/information", d->name) < 0)
                return -ENOMEM;
        r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r == -ENOMEM)
                return r;
        if (r >= 0 && strv_split(text, "\n", &lines) < 0)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                const char *value = startswith(*line, "Device Minor:");
                unsigned n;

                if (!value || parse_uint(value + strspn(value, " \t"), NVIDIA_MINOR_MAX, &n) < 0)
                        continue;
                if (str_printf(&name, "/dev/nvidia%u", n) < 0)
                        return -ENOMEM;
                return add_node(s, makedev(NVIDIA_MAJOR, n), "%s", name);
        }
        s->any_nvidia = true;
        return 0;
}

static int add_vfio(int root, Nodes *s, const PciDevice *d) {
        _cleanup_free_ char *path = NULL, *name = NULL;
        dev_t number;
        int r;

        s->any_vfio = true;
        if (d->iommu_group < 0)
                return 0;
        if (str_printf(&path, "/sys/class/vfio/%d/dev", d->iommu_group) < 0 ||
            str_printf(&name, "/dev/vfio/%d", d->iommu_group) < 0)
                return -ENOMEM;
        r = read_number(root, path, &number);
        if (r <= 0)
                return r;
        s->vfio_major = major(number);
        return add_node(s, number, "%s", name);
}

bool nodes_is_vfio_driver(const char *driver) {
        return endswith(driver, "vfio-pci") || endswith(driver, "vfio_pci");
}

/* The node of an I2C adapter: as long as one is open, the kernel does not let go of the adapter, and the
 * removal of its driver waits. */
static int add_i2c(int root, Nodes *s, const char *dir, const char *adapter) {
        _cleanup_free_ char *below = NULL;

        if (str_printf(&below, "%s/%s/i2c-dev", dir, adapter) < 0)
                return -ENOMEM;
        return add_nodes_below(root, s, below, "i2c-", "%s", false);
}

/* What hangs on one connector: the channel to the monitor, raw and as an I2C adapter. */
static int add_connector(int root, Nodes *s, const char *dir) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = add_nodes_below(root, s, dir, "drm_dp_aux", "%s", false);
        if (r >= 0)
                r = fs_list(root, dir, &names);
        if (r < 0)
                return r == -ENOENT || r == -ENOTDIR || r == -ENODEV ? 0 : r;
        STRV_FOREACH(name, names) {
                r = startswith(*name, "i2c-") ? add_i2c(root, s, dir, *name) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The connectors of each card: drm/card1/card1-DP-1. */
static int add_connectors(int root, Nodes *s, const char *drm) {
        _cleanup_strv_ char **cards = NULL;
        int r;

        r = fs_list(root, drm, &cards);
        STRV_FOREACH(card, cards) {
                _cleanup_strv_ char **names = NULL;
                _cleanup_free_ char *dir = NULL;

                if (!startswith(*card, "card"))
                        continue;
                if (str_printf(&dir, "%s/%s", drm, *card) < 0)
                        return -ENOMEM;
                r = fs_list(root, dir, &names);
                STRV_FOREACH(name, names) {
                        _cleanup_free_ char *connector = NULL;

                        if (!startswith(*name, *card))
                                continue;
                        if (str_printf(&connector, "%s/%s", dir, *name) < 0)
                                return -ENOMEM;
                        r = add_connector(root, s, connector);
                        if (r < 0)
                                return r;
                }
                if (r < 0)
                        break;
        }
        return r == -ENOENT || r == -ENOTDIR || r == -ENODEV ? 0 : r;
}

static int add_entry(int root, Nodes *s, const char *device, const char *name) {
        static const struct {
                const char *dir, *format;
                bool deeper;
        } classes[] = {
                { "drm", "drm/%s", false },          { "sound", "snd/%s", true },
                { "graphics", "%s", false },         { "drm_dp_aux_dev", "%s", false },
                { "vfio-dev", "vfio/%s", false },    { "nvme", "%s", false },
                { "infiniband_verbs", "%s", false },
        };

        if (startswith(name, "i2c-"))
                return add_i2c(root, s, device, name);
        for (size_t i = 0; i < ELEMENTSOF(classes); i++) {
                _cleanup_free_ char *dir = NULL;
                int r;

                if (!streq(name, classes[i].dir))
                        continue;
                if (str_printf(&dir, "%s/%s", device, name) < 0)
                        return -ENOMEM;
                r = add_nodes_below(root, s, dir, "", classes[i].format, classes[i].deeper);
                return r >= 0 && streq(name, "drm") ? add_connectors(root, s, dir) : r;
        }
        return 0;
}

/* Of what goes along with a GPU because somebody has accepted that. */
static int add_disks(int root, Nodes *s, const PciDevice *d) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = below_disks(root, d, &names);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL;
                dev_t number;

                if (str_printf(&path, "/sys/class/block/%s/dev", *name) < 0)
                        return -ENOMEM;
                r = read_number(root, path, &number);
                if (r == 0)
                        continue;
                if (r > 0)
                        r = add_node(s, number, "/dev/%s", *name);
                if (r < 0)
                        return r;
                s->list[s->n - 1].block = true;
        }
        return r;
}

static int add_function(int root, Nodes *s, const PciDevice *d) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *device = NULL;
        int r = 0;

        if (!d->driver)
                return 0;
        if (str_printf(&device, PCI_DEVICES "/%s", d->name) < 0)
                return -ENOMEM;
        if (!d->names)
                r = fs_list(root, device, &names);
        if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ENODEV)
                return r;
        STRV_FOREACH(name, d->names ?: names) {
                r = add_entry(root, s, device, *name);
                if (r < 0)
                        return r;
        }
        r = add_disks(root, s, d);
        if (r < 0)
                return r;
        if (streq(d->driver, "nvidia") && pci_is_nvidia_gpu(d))
                return add_nvidia(root, s, d);
        return nodes_is_vfio_driver(d->driver) ? add_vfio(root, s, d) : 0;
}

/* The name of the node with this number, or NULL. */
const char *nodes_match(const Nodes *s, const struct stat *st) {
        if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
                return NULL;
        for (size_t i = 0; i < s->n; i++)
                if (s->list[i].number == st->st_rdev && s->list[i].block == S_ISBLK(st->st_mode))
                        return s->list[i].name;
        if (S_ISCHR(st->st_mode) && s->any_nvidia && major(st->st_rdev) == NVIDIA_MAJOR &&
            minor(st->st_rdev) <= NVIDIA_MINOR_MAX)
                return "an NVIDIA GPU";
        return NULL;
}

int nodes_of(int root, const PciDevice *const *devices, size_t n, Nodes *ret) {
        _cleanup_(nodes_done) Nodes s = {};

        for (size_t i = 0; i < n; i++) {
                int r = add_function(root, &s, devices[i]);

                if (r < 0)
                        return r;
        }
        *ret = s;
        s = (Nodes){};
        return 0;
}
