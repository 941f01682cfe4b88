/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iommu.h"
#include "fs.h"
#include "strv.h"

#define IOMMU_GROUPS "/sys/kernel/iommu_groups"
#define ACPI_TABLES  "/sys/firmware/acpi/tables"

int iommu_count_groups(int root, size_t *ret) {
        _cleanup_strv_ char **groups = NULL;
        size_t n = 0;
        int r;

        r = fs_list(root, IOMMU_GROUPS, &groups);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(g, groups) {
                _cleanup_free_ char *path = NULL, *name = NULL;

                if (str_printf(&path, IOMMU_GROUPS "/%s/name", *g) < 0)
                        return -ENOMEM;
                /* VFIO's "no IOMMU" mode makes groups that isolate nothing. */
                r = fs_read_line(root, path, &name);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !streq(name, "vfio-noiommu"))
                        n++;
        }
        *ret = n;
        return 0;
}

int iommu_firmware(int root, const char **ret) {
        static const struct {
                const char *path, *name;
        } tables[] = {
                { ACPI_TABLES "/DMAR", "intel" },
                { ACPI_TABLES "/IVRS", "amd" },
                { ACPI_TABLES "/IORT", "arm-smmu" },
        };

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                int r = fs_exists(root, tables[i].path);

                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = tables[i].name;
                        return 0;
                }
        }
        *ret = NULL;
        return 0;
}

void iommu_verdict_done(IommuVerdict *v) {
        free(v->members);
        free(v->endpoints);
        free(v->blocker);
        *v = (IommuVerdict){};
}

static bool is_accepted(char *const *accept_siblings, const PciDevice *d) {
        return accept_siblings && strv_contains(accept_siblings, d->name);
}

const IommuKeep *iommu_keep_find(const IommuKeep *keep, size_t n_keep, const PciDevice *d,
                                 char *const *accept_siblings) {
        for (size_t i = 0; i < n_keep; i++)
                if (bdf_compare(keep[i].bdf, d->bdf) == 0)
                        return keep[i].consent && is_accepted(accept_siblings, d) ? NULL : &keep[i];
        return NULL;
}

int iommu_keep_describe(const IommuKeep *k, char **ret) {
        char address[BDF_STRING_MAX];

        if (!k->consent)
                return str_printf(ret, "%s, which the host needs itself", k->why);
        return str_printf(ret, "%s, which the host needs itself (AcceptSiblings=%s gives it away)", k->why,
                          bdf_format(k->bdf, address));
}

const char *iommu_remedy(const IommuVerdict *v) {
        return v->consent
                        ? "If SSH is enough for you, name the GPU's own address in AcceptSiblings= of its "
                          "section in /etc/gpuvm.conf; else add a serial console (console=ttyS0) or another "
                          "display"
                        : "Put the GPU into another slot, or change the firmware's PCIe settings";
}

/* A function of a card that holds one of these GPUs: the GPU itself, its audio, USB and UCSI. Another
 * vendor's display in the group, the console perhaps, is no companion. */
static bool is_companion(const IommuVerdict *v, const PciDevice *gpu, const PciDevice *d) {
        for (size_t i = 0; i < v->n_members; i++) {
                const PciDevice *g = v->members[i];

                if ((g == gpu || pci_is_nvidia_gpu(g)) && pci_same_slot(g, d) &&
                    (g->iommu_group == d->iommu_group || pcigroup_belongs(gpu, g, d)))
                        return true;
        }
        return false;
}

/* The kernel grants a group to VFIO when each of its devices is on a VFIO driver, on none, or on one of the
 * two that manage no DMA on the host's behalf. */
static bool is_harmless(const PciDevice *d) {
        return !d->driver || streq(d->driver, "pci-stub") || streq(d->driver, "pcieport") ||
                        endswith(d->driver, "vfio-pci") || endswith(d->driver, "vfio_pci");
}

static const char *kind(const PciDevice *d) {
        if (pci_is_nvswitch(d))
                return "an NVSwitch";
        if (pci_is_bridge(d))
                return "a bridge";
        switch (d->class >> 8) {
        case 0x0101:
        case 0x0104:
        case 0x0106:
        case 0x0107:
        case 0x0108:
                return "a disk controller";
        case 0x0c03:
                return "a USB controller";
        case 0x0c05:
                return "an SMBus controller";
        }
        switch (d->class >> 16) {
        case 0x02:
                return "a network card";
        case 0x03:
                return "a display controller";
        case 0x04:
                return "a multimedia device";
        default:
                return "a device";
        }
}

/* Adds d to the endpoints, passes it over, or adds to the list why the group cannot go. */
static int judge(const PciDevice *gpu, const PciDevice *d, const IommuKeep *keep, size_t n_keep,
                 char *const *accept_siblings, IommuVerdict *v, char ***blockers) {
        const IommuKeep *k = iommu_keep_find(keep, n_keep, d, accept_siblings);
        bool bridge = pci_is_bridge(d);

        if (k) {
                _cleanup_free_ char *what = NULL;

                v->consent = v->consent || k->consent;
                return iommu_keep_describe(k, &what) < 0 ? -ENOMEM
                                                         : strv_extendf(blockers, "%s, %s", d->name, what);
        }
        if (!bridge && (is_companion(v, gpu, d) || is_accepted(accept_siblings, d))) {
                v->endpoints[v->n_endpoints++] = d;
                return 0;
        }
        if (is_harmless(d))
                return 0;
        if (bridge)
                return strv_extendf(
                                blockers,
                                "%s, %s in use by the driver %s, with which the kernel grants the group to no VM",
                                d->name, kind(d), d->driver);
        return strv_extendf(
                        blockers,
                        "%s, %s in use by the host's driver %s, which would go along (AcceptSiblings=%s allows that)",
                        d->name, kind(d), d->driver, d->name);
}

/* One group of them. */
static int tell_blockers(const PciDevice *gpu, const PciDevice *first, char *const *blockers, char ***told) {
        _cleanup_free_ char *list = NULL;

        if (!blockers)
                return 0;
        list = strv_join(blockers, "; ");
        if (!list)
                return -ENOMEM;
        if (first->iommu_group != gpu->iommu_group)
                return strv_extendf(told, "IOMMU group %d, where another function of the card is, holds %s",
                                    first->iommu_group, list);
        return strv_extendf(told, "IOMMU group %d %sholds %s", gpu->iommu_group,
                            startswith(list, gpu->name) ? "" : "also ", list);
}

static bool is_member(const IommuVerdict *v, const PciDevice *d) {
        for (size_t i = 0; i < v->n_members; i++)
                if (v->members[i]->iommu_group == d->iommu_group)
                        return true;
        return false;
}

static void add_group(const PciBus *bus, int group, IommuVerdict *v) {
        for (size_t i = 0; i < bus->n; i++)
                if (bus->devices[i].iommu_group == group)
                        v->members[v->n_members++] = &bus->devices[i];
}

/* Group after group. What belongs to a function that goes along goes along as well. */
static void find_members(const PciBus *bus, const PciDevice *gpu, IommuVerdict *v) {
        add_group(bus, gpu->iommu_group, v);
        for (size_t i = 0; i < v->n_members; i++)
                for (size_t k = 0; k < bus->n; k++) {
                        const PciDevice *d = &bus->devices[k];

                        if (d->iommu_group >= 0 && pcigroup_belongs(gpu, v->members[i], d) &&
                            !is_member(v, d))
                                add_group(bus, d->iommu_group, v);
                }
}

static int judge_members(const PciDevice *gpu, const IommuKeep *keep, size_t n_keep,
                         char *const *accept_siblings, IommuVerdict *v) {
        _cleanup_strv_ char **told = NULL;
        int r = 0;

        for (size_t i = 0; i < v->n_members && r >= 0;) {
                const PciDevice *first = v->members[i];
                _cleanup_strv_ char **blockers = NULL;

                for (; i < v->n_members && v->members[i]->iommu_group == first->iommu_group && r >= 0; i++)
                        r = judge(gpu, v->members[i], keep, n_keep, accept_siblings, v, &blockers);
                if (r >= 0)
                        r = tell_blockers(gpu, first, blockers, &told);
        }
        if (r < 0 || !told)
                return r;
        v->blocker = strv_join(told, "; ");
        return v->blocker ? 0 : -ENOMEM;
}

static int compare(const void *a, const void *b) {
        return bdf_compare((*(const PciDevice *const *) a)->bdf, (*(const PciDevice *const *) b)->bdf);
}

static const PciDevice *find_owner(const IommuVerdict *v, const PciDevice *gpu) {
        for (size_t i = 0; i < v->n_endpoints; i++)
                if (pci_is_nvidia_gpu(v->endpoints[i]))
                        return v->endpoints[i];
        return gpu;
}

int iommu_group_check(const PciBus *bus, const PciDevice *gpu, const IommuKeep *keep, size_t n_keep,
                      char *const *accept_siblings, IommuVerdict *ret) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        if (gpu->iommu_group < 0)
                return -ENODEV;
        v.members = calloc(bus->n + 1, sizeof(*v.members));
        v.endpoints = calloc(bus->n + 1, sizeof(*v.endpoints));
        if (!v.members || !v.endpoints)
                return -ENOMEM;
        find_members(bus, gpu, &v);
        r = judge_members(gpu, keep, n_keep, accept_siblings, &v);
        if (r < 0)
                return r;
        qsort(v.members, v.n_members, sizeof(*v.members), compare);
        qsort(v.endpoints, v.n_endpoints, sizeof(*v.endpoints), compare);
        v.viable = !v.blocker;
        v.owner = find_owner(&v, gpu);
        *ret = v;
        v = (IommuVerdict){};
        return 0;
}
