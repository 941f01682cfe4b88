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

/* What graphics cards have beside the GPU. The vendor tells it from the other functions of a processor with
 * graphics in it, which the host may need. */
static bool is_part(const PciDevice *d) {
        return d->class >> 8 == 0x0403 || d->class >> 8 == 0x0c03 || d->class >> 8 == 0x0c80;
}

static bool has_part(const PciDevice *gpu, const PciDevice *a, const PciDevice *b) {
        return (bdf_compare(a->bdf, gpu->bdf) == 0 || pci_is_nvidia_gpu(a)) && pci_is_display(a) &&
                        pci_same_slot(a, b) && a->vendor == b->vendor && is_part(b);
}

bool pcigroup_belongs(const PciDevice *gpu, const PciDevice *a, const PciDevice *b) {
        return has_part(gpu, a, b) || has_part(gpu, b, a);
}

static int compare_devices(const void *a, const void *b) {
        return bdf_compare(((const PciDevice *) a)->bdf, ((const PciDevice *) b)->bdf);
}

/* Also while they are not sorted yet. */
static PciDevice *find(const PciBus *bus, Bdf bdf) {
        for (size_t i = 0; i < bus->n; i++)
                if (bdf_compare(bus->devices[i].bdf, bdf) == 0)
                        return &bus->devices[i];
        return NULL;
}

/* Takes the function over. */
static int append(PciBus *bus, PciDevice *d) {
        PciDevice *t = reallocarray(bus->devices, bus->n + 1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        bus->devices = t;
        t[bus->n++] = *d;
        *d = (PciDevice){};
        return 1;
}

/* Returns 1 if the function was added, 0 if it is gone. */
static int add(int root, int all, PciBus *bus, Bdf bdf, int group) {
        _cleanup_(pci_device_done) PciDevice d = { .bdf = bdf };
        int r;

        r = pci_read_brief(root, all, &d);
        d.iommu_group = group;
        return r > 0 ? append(bus, &d) : r;
}

/* All functions of the group that are not there yet. */
static int add_group(int root, int all, PciBus *bus, int group) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = list_members(root, group, &names);
        STRV_FOREACH(name, names) {
                Bdf bdf;

                if (r >= 0 && bdf_parse(*name, &bdf) >= 0 && !find(bus, bdf))
                        r = add(root, all, bus, bdf, group);
        }
        return MIN(r, 0);
}

/* Whether functions of its slot may belong to it that have other groups. */
static bool may_have_more(const PciDevice *gpu, const PciDevice *d) {
        return is_part(d) || pci_is_nvidia_gpu(d) || bdf_compare(d->bdf, gpu->bdf) == 0;
}

/* A function of the bus's i-th one's slot: with its group, if it belongs to that. */
static int add_from_slot(int root, int all, PciBus *bus, Bdf gpu, size_t i, Bdf bdf) {
        _cleanup_(pci_device_done) PciDevice d = { .bdf = bdf };
        int r, group;

        r = pci_read_brief(root, all, &d);
        if (r <= 0 || !pcigroup_belongs(find(bus, gpu), &bus->devices[i], &d))
                return MIN(r, 0);
        r = group_of(&d, &group);
        if (r < 0 || group < 0)
                return r;
        d.iommu_group = group;
        r = append(bus, &d);
        return r < 0 ? r : add_group(root, all, bus, group);
}

static int add_parts(int root, int all, PciBus *bus, Bdf gpu) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list_fd(all, &names);
        for (size_t i = 0; i < bus->n && r >= 0; i++) {
                if (!may_have_more(find(bus, gpu), &bus->devices[i]))
                        continue;
                STRV_FOREACH(name, names) {
                        PciDevice other = {};

                        if (r >= 0 && bdf_parse(*name, &other.bdf) >= 0 &&
                            pci_same_slot(&other, &bus->devices[i]) && !find(bus, other.bdf))
                                r = add_from_slot(root, all, bus, gpu, i, other.bdf);
                }
        }
        return r;
}

int pcigroup_read(int root, Bdf bdf, PciBus *ret) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_close_ int all = pci_open(root);
        int r;

        r = all == -ENOENT ? 0 : all < 0 ? all : add(root, all, &bus, bdf, -1);
        if (r > 0)
                r = group_of(&bus.devices[0], &bus.devices[0].iommu_group);
        if (r >= 0 && bus.n > 0 && bus.devices[0].iommu_group >= 0) {
                r = add_group(root, all, &bus, bus.devices[0].iommu_group);
                if (r >= 0)
                        r = add_parts(root, all, &bus, bdf);
        }
        if (r < 0)
                return r;
        if (bus.n > 1)
                qsort(bus.devices, bus.n, sizeof(PciDevice), compare_devices);
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

int pcigroup_look_again(int root, Bdf bdf, PciBus *bus) {
        int r = bus->n > 0 && bus->devices[0].iommu_group >= 0;

        for (size_t i = 0; i < bus->n && r > 0; i++)
                r = look_again(&bus->devices[i]);
        if (r > 0)
                return 0;
        return r < 0 && r != -ENOENT && r != -ENODEV ? r : pcigroup_read_again(root, bdf, bus);
}

int pcigroup_read_again(int root, Bdf bdf, PciBus *bus) {
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
