/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pcigroup.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

/* The group of a function whose directory is open: -1 for none, or if the function is gone. */
static int group_of(const PciDevice *d, int *ret) {
        _cleanup_free_ char *name = NULL;
        unsigned v;
        int r;

        r = fs_readlink_name_at(d->dir, "iommu_group", &name);
        if (r == -ENOMEM)
                return r;
        *ret = r < 0 || parse_uint(name, INT32_MAX, &v) < 0 ? -1 : (int) v;
        return 0;
}

static int list_members(int root, int group, char ***ret) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, "/sys/kernel/iommu_groups/%d/devices", group) < 0)
                return -ENOMEM;
        return fs_list(root, path, ret);
}

static int compare_devices(const void *a, const void *b) {
        return bdf_compare(((const PciDevice *) a)->bdf, ((const PciDevice *) b)->bdf);
}

/* Returns 1 if the function was added, 0 if it is gone. */
static int add(int root, PciBus *bus, Bdf bdf) {
        PciDevice *d = &bus->devices[bus->n];
        int r;

        *d = (PciDevice){ .bdf = bdf };
        r = pci_read_brief(root, d);
        if (r <= 0)
                pci_device_done(d);
        else
                bus->n++;
        return r;
}

static int add_others(int root, PciBus *bus, int group, char *const *names) {
        const PciDevice *first = &bus->devices[0];

        STRV_FOREACH(name, names) {
                Bdf bdf;
                int r;

                if (bdf_parse(*name, &bdf) < 0 || bdf_compare(bdf, first->bdf) == 0)
                        continue;
                r = add(root, bus, bdf);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < bus->n; i++)
                bus->devices[i].iommu_group = group;
        qsort(bus->devices, bus->n, sizeof(PciDevice), compare_devices);
        return 0;
}

int pcigroup_read(int root, Bdf bdf, PciBus *ret) {
        _cleanup_(pci_bus_done) PciBus bus = { .devices = calloc(1, sizeof(PciDevice)) };
        _cleanup_strv_ char **names = NULL;
        PciDevice *t;
        int r, group = -1;

        if (!bus.devices)
                return -ENOMEM;
        r = add(root, &bus, bdf);
        if (r > 0)
                r = group_of(&bus.devices[0], &group);
        if (r >= 0 && group >= 0) {
                r = list_members(root, group, &names);
                t = r < 0 ? NULL : reallocarray(bus.devices, strv_length(names) + 1, sizeof(PciDevice));
                if (t)
                        bus.devices = t;
                r = r < 0 ? r : t ? add_others(root, &bus, group, names) : -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = bus;
        bus = (PciBus){};
        return 0;
}

/* Returns 1 with the driver as it is now, 0 if another function is at the address, or it has another group:
 * then there is nothing in the directory that was opened, or another link. */
static int look_again(PciDevice *d) {
        int r, group;

        free(d->driver);
        d->driver = NULL;
        r = fs_readlink_name_at(d->dir, "driver", &d->driver);
        if (r != -ENOENT)
                return r < 0 ? r : 1;
        r = group_of(d, &group);
        return r < 0 ? r : group == d->iommu_group;
}

int pcigroup_read_again(int root, Bdf bdf, PciBus *bus) {
        _cleanup_strv_ char **names = NULL;
        int r = 0;

        if (bus->n > 0 && bus->devices[0].iommu_group >= 0)
                r = list_members(root, bus->devices[0].iommu_group, &names);
        if (r >= 0 && bus->n > 0 && strv_length(names) == bus->n) {
                for (size_t i = 0; i < bus->n && r >= 0; i++) {
                        r = strv_contains(names, bus->devices[i].name) ? look_again(&bus->devices[i]) : 0;
                        if (r == 0)
                                break;
                }
                if (r > 0)
                        return 0;
        }
        if (r < 0 && r != -ENOENT && r != -ENODEV)
                return r;
        pci_bus_done(bus);
        return pcigroup_read(root, bdf, bus);
}

int pcigroup_list(PciBus *bus, const PciDevice *d) {
        PciDevice *own = &bus->devices[d - bus->devices];
        char **names = NULL;
        int r;

        if (own->names && lseek(own->dir, 0, SEEK_SET) < 0)
                return -errno;
        r = fs_list_fd(own->dir, &names);
        if (r < 0)
                return r;
        strv_free(own->names);
        own->names = names;
        return 0;
}
