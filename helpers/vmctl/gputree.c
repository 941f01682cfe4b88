/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gputree: GPUs below the root ports and switches that they hang on. */

#include "gpu.h"

enum { DEPTH_MAX = 32 };

typedef struct Row {
        char *path; /* "/devices/pci0000:00/0000:00:01.0" */
        struct libscols_line *line;
} Row;

typedef struct Tree {
        const PciBus *bus;
        GpuState *const *shown;
        size_t n_shown;
        struct libscols_table *table;
        Row *rows;
        size_t n;
} Tree;

static void tree_done(Tree *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->rows[i].path);
        free(t->rows);
}

static struct libscols_line *find(const Tree *t, const char *path) {
        for (size_t i = 0; i < t->n; i++)
                if (streq(t->rows[i].path, path))
                        return t->rows[i].line;
        return NULL;
}

static const char *kind(const PciDevice *d) {
        if (pci_is_nvidia_gpu(d))
                return gpu_arch_to_string(gpu_arch_from_device_id(d->device));
        if (pci_is_bridge(d))
                return "bridge";
        switch (d->class >> 16) {
        case 0x01:
                return "storage";
        case 0x02:
                return "network";
        case 0x03:
                return "display";
        default:
                break;
        }
        switch (d->class >> 8) {
        case 0x0403:
                return "audio";
        case 0x0c03:
                return "USB";
        case 0x0c80:
                return "UCSI";
        case 0x0680:
                return pci_is_nvswitch(d) ? "NVSwitch" : "bridge";
        default:
                return "other";
        }
}

static const GpuState *state_of(const Tree *t, const PciDevice *d) {
        for (size_t i = 0; i < t->n_shown; i++)
                if (t->shown[i]->gpu == d)
                        return t->shown[i];
        return NULL;
}

/* name: the last part of its path, an address or the name of a root bus. */
static struct libscols_line *add_row(Tree *t, struct libscols_line *parent, const char *name) {
        const PciDevice *d = NULL;
        const GpuState *g;
        _cleanup_free_ char *owner = NULL;
        char group[16] = "";
        Bdf b;

        if (bdf_parse(name, &b) >= 0)
                d = pci_find(t->bus, b);
        g = d ? state_of(t, d) : NULL;
        if (g && gpustate_describe_owner(g, &owner) < 0)
                return NULL;
        if (d && d->iommu_group >= 0)
                (void) snprintf(group, sizeof(group), "%d", d->iommu_group);
        return table_add_below(t->table, parent,
                               (const char *const[]){ name, d ? kind(d) : "root bus", g ? g->name : NULL,
                                                      group, d ? d->driver : NULL, owner });
}

/* The device and all that it hangs on, as far as they are not there yet. */
static int add_path(Tree *t, const char *devpath) {
        struct libscols_line *parent = NULL;
        const char *end = strchr(devpath + 1, '/'); /* behind "/devices" */

        for (unsigned i = 0; end && i < DEPTH_MAX; i++) {
                const char *name = end + 1;
                _cleanup_free_ char *path = NULL;
                struct libscols_line *line;

                end = strchr(name, '/');
                path = strndup(devpath, end ? (size_t) (end - devpath) : strlen(devpath));
                line = path ? find(t, path) : NULL;
                if (path && !line) {
                        Row *rows = reallocarray(t->rows, t->n + 1, sizeof(*rows));

                        if (rows)
                                t->rows = rows;
                        line = rows ? add_row(t, parent, strrchr(path, '/') + 1) : NULL;
                        if (line)
                                t->rows[t->n++] = (Row){ TAKE_PTR(path), line };
                }
                if (!line)
                        return -ENOMEM;
                parent = line;
        }
        return 0;
}

int gpu_show_tree(const PciBus *bus, GpuState *const *shown, size_t n) {
        static const char *const columns[] = { "DEVICE", "WHAT", "NAME", "GROUP", "DRIVER", "OWNER", NULL };
        _cleanup_(tree_done) Tree t = { .bus = bus,
                                        .shown = shown,
                                        .n_shown = n,
                                        .table = table_new_tree(columns) };
        int r = 0;

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < shown[i]->n_functions && r >= 0; k++)
                        if (shown[i]->functions[k]->devpath)
                                r = add_path(&t, shown[i]->functions[k]->devpath);
        r = table_print(t.table) ?: r;
        return r < 0 ? log_oom() : 0;
}
