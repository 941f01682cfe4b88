/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpustate.h"
#include "fs.h"
#include "gpuname.h"
#include "keep.h"
#include "nodes.h"
#include "parse.h"
#include "poison.h"
#include "strv.h"

enum { DESCRIBED_MAX = 3 };

const char *gpu_owner_to_string(GpuOwner o) {
        static const char *const names[_GPU_OWNER_MAX] = {
                [GPU_OWNER_NOBODY] = "nobody",   [GPU_OWNER_HOST] = "host",   [GPU_OWNER_FREE] = "free",
                [GPU_OWNER_MACHINE] = "machine", [GPU_OWNER_STUCK] = "stuck",
        };

        return (unsigned) o < _GPU_OWNER_MAX ? names[o] : NULL;
}

static void state_done(GpuState *g) {
        free(g->machine);
        free(g->refused);
        free(g->stuck);
        free(g->name);
        free(g->power);
        free(g->link);
        holders_done(&g->holders);
}

void gpustate_done(GpuStates *s) {
        for (size_t i = 0; i < s->n; i++)
                state_done(&s->list[i]);
        free(s->list);
        pci_bus_done(&s->bus);
        *s = (GpuStates){};
}

static void add_function(GpuState *g, const PciDevice *d) {
        if (!pci_is_bridge(d) && g->n_functions < ELEMENTSOF(g->functions))
                g->functions[g->n_functions++] = d;
}

static int judge_group(const PciBus *bus, const KeepList *keep, const Conf *c, GpuState *g) {
        char *const *accepted = conf_gpu_accept_siblings(c, g->gpu->name, g->gpu->path);
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, g->gpu, keep->items, keep->n, accepted, &v);
        if (r == -ENODEV) {
                for (size_t i = 0; i < bus->n; i++)
                        if (pci_same_slot(&bus->devices[i], g->gpu))
                                add_function(g, &bus->devices[i]);
                g->refused = strdup("it has no IOMMU group; 'gpu-vm-bootstrap' turns the IOMMU on");
                return g->refused ? 0 : -ENOMEM;
        }
        if (r < 0)
                return r;
        for (size_t i = 0; i < v.n_members; i++)
                add_function(g, v.members[i]);
        return v.viable ? 0 : free_and_strdup(&g->refused, strempty(v.blocker));
}

static int read_attribute(int root, const PciDevice *d, const char *attribute, char **ret) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = str_printf(&path, "/sys/bus/pci/devices/%s/%s", d->name, attribute);
        if (r >= 0)
                r = fs_read_line(root, path, ret);
        return r == -ENOMEM ? r : 0;
}

/* One that sleeps without power would answer that its link is as good as none. */
static int read_link(int root, GpuState *g) {
        _cleanup_free_ char *speed = NULL, *width = NULL;
        int r;

        r = read_attribute(root, g->gpu, "power_state", &g->power);
        if (r < 0 || streq_ptr(g->power, "D3cold"))
                return r;
        r = read_attribute(root, g->gpu, "current_link_speed", &speed);
        if (r >= 0)
                r = read_attribute(root, g->gpu, "current_link_width", &width);
        if (r < 0 || !speed || !width || startswith(speed, "Unknown") || streq(width, "0"))
                return r;
        r = str_printf(&g->link, "%s x%s", speed, width);
        return MIN(r, 0);
}

/* "GeForce RTX 4090", or what NVIDIA's driver calls it where the database is older than the card. */
static int read_name(int root, GpuState *g) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        const char *model;
        int r;

        r = g->gpu->modalias ? gpuname_read(g->gpu->modalias, &g->name) : 0;
        if (r < 0 || g->name || !streq_ptr(g->gpu->driver, "nvidia"))
                return r;
        r = str_printf(&path, "/proc/driver/nvidia/gpus/%s/information", g->gpu->name);
        if (r >= 0)
                r = fs_read_line(root, path, &text);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        model = startswith(text, "Model:");
        return model ? free_and_strdup(&g->name, model + strspn(model, " \t")) : 0;
}

static int read_stuck(int root, GpuState *g) {
        for (size_t i = 0; i < g->n_functions; i++) {
                _cleanup_(poison_done) Poison p = {};
                int r = poison_find(root, g->functions[i], &p);

                if (r == -ENOMEM)
                        return r;
                if (r > 0)
                        return free_and_strdup(&g->stuck, strempty(p.why));
        }
        return 0;
}

static GpuOwner judge_owner(const GpuState *g) {
        if (g->stuck)
                return GPU_OWNER_STUCK;
        if (!g->gpu->driver)
                return GPU_OWNER_NOBODY;
        if (!nodes_is_vfio_driver(g->gpu->driver))
                return GPU_OWNER_HOST;
        return g->machine || g->holders.n > 0 ? GPU_OWNER_MACHINE : GPU_OWNER_FREE;
}

static int read_state(int root, const PciBus *bus, const KeepList *keep, const Conf *c, GpuState *g) {
        int r;

        g->mode = conf_gpu_mode(c, g->gpu->name, g->gpu->path);
        r = judge_group(bus, keep, c, g);
        if (r >= 0)
                r = read_stuck(root, g);
        if (r >= 0)
                r = read_link(root, g);
        if (r >= 0)
                r = read_name(root, g);
        g->owner = judge_owner(g);
        return r;
}

/* What changes hands with it whoever else is in its group. */
static size_t add_own(const GpuState *g, const PciDevice **devices) {
        size_t n = 0;

        for (size_t i = 0; i < g->n_functions; i++)
                if (pci_same_slot(g->functions[i], g->gpu))
                        devices[n++] = g->functions[i];
        return n;
}

/* Mostly nobody has any of them: one look for all tells. */
static int look_for_holders(int root, GpuStates *s) {
        _cleanup_free_ const PciDevice **devices = calloc(s->n * GPU_FUNCTIONS_MAX, sizeof(*devices));
        _cleanup_(holders_done) Holders any = {};
        size_t n = 0;
        int r;

        if (!devices)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++)
                n += add_own(&s->list[i], devices + n);
        r = holders_scan(root, devices, n, &any);
        for (size_t i = 0; i < s->n && r >= 0 && any.n > 0; i++) {
                n = add_own(&s->list[i], devices);
                r = holders_scan(root, devices, n, &s->list[i].holders);
                s->list[i].owner = judge_owner(&s->list[i]);
        }
        s->looked = r >= 0;
        return r;
}

int gpustate_read(int root, const Conf *c, bool holders, GpuStates *ret) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_(keep_done) KeepList keep = {};
        int r;

        r = pci_scan(root, &s.bus);
        if (r < 0)
                return r;
        s.list = calloc(s.bus.n + 1, sizeof(*s.list));
        if (!s.list)
                return -ENOMEM;
        for (size_t i = 0; i < s.bus.n; i++)
                if (pci_is_nvidia_gpu(&s.bus.devices[i]))
                        s.list[s.n++].gpu = &s.bus.devices[i];
        if (s.n > 0)
                r = keep_find(root, &s.bus, &keep);
        for (size_t i = 0; i < s.n && r >= 0; i++)
                r = read_state(root, &s.bus, &keep, c, &s.list[i]);
        if (r >= 0 && holders && s.n > 0)
                r = look_for_holders(root, &s);
        if (r < 0)
                return r;
        *ret = s;
        s = (GpuStates){};
        return 0;
}

/* "01:00.0" and "0000:01:00.0", in any case. */
static bool is_address_of(const PciDevice *d, const char *word) {
        const char *rest = strchr(d->name, ':') + 1;

        return strcasecmp(word, d->name) == 0 ||
                        (startswith(d->name, "0000:") && strcasecmp(word, rest) == 0);
}

int gpustate_find(const GpuStates *s, const char *word, GpuState **ret) {
        GpuState *found = NULL;
        unsigned index;

        if (parse_uint(word, INT32_MAX, &index) >= 0) {
                *ret = index < s->n ? &s->list[index] : NULL;
                return *ret != NULL;
        }
        for (size_t i = 0; i < s->n; i++)
                if (is_address_of(s->list[i].gpu, word) || streq_ptr(s->list[i].gpu->path, word)) {
                        *ret = &s->list[i];
                        return 1;
                }
        for (size_t i = 0; i < s->n && *word; i++)
                if (s->list[i].name && strcasestr(s->list[i].name, word)) {
                        if (found)
                                return -ENOTUNIQ;
                        found = &s->list[i];
                }
        *ret = found;
        return found != NULL;
}

int gpustate_mark_machine(GpuStates *s, const char *machine, char *const *addresses) {
        for (size_t i = 0; i < s->n; i++) {
                GpuState *g = &s->list[i];

                if (!strv_contains(addresses, g->gpu->name))
                        continue;
                if (free_and_strdup(&g->machine, machine) < 0)
                        return -ENOMEM;
                g->owner = judge_owner(g);
        }
        return 0;
}

/* "python3 (812), Xorg (1033) and 2 more" */
static int describe_holders(const Holders *h, char **ret) {
        _cleanup_strv_ char **l = NULL;
        int r = 0;

        for (size_t i = 0; i < h->n && i < DESCRIBED_MAX && r >= 0; i++)
                r = h->list[i].pid > 0 ? strv_extendf(&l, "%s%s (%d)", i > 0 ? ", " : "",
                                                      strna(h->list[i].comm), (int) h->list[i].pid)
                                       : strv_extendf(&l, "%s%s", i > 0 ? ", " : "", h->list[i].what);
        if (r >= 0 && h->n > DESCRIBED_MAX)
                r = strv_extendf(&l, " and %zu more", h->n - DESCRIBED_MAX);
        if (r < 0)
                return r;
        *ret = strv_join(l, "");
        return *ret ? 0 : -ENOMEM;
}

int gpustate_describe_owner(const GpuState *g, bool looked, char **ret) {
        _cleanup_free_ char *who = NULL;
        int r;

        r = describe_holders(&g->holders, &who);
        if (r < 0)
                return r;
        switch (g->owner) {
        case GPU_OWNER_HOST:
                r = str_printf(ret, "host%s%s", *who ? ": " : looked ? ", idle" : "", who);
                break;
        case GPU_OWNER_MACHINE:
                r = str_printf(ret, "machine %s", g->machine ?: who);
                break;
        default:
                *ret = strdup(gpu_owner_to_string(g->owner));
                r = *ret ? 0 : -ENOMEM;
        }
        return MIN(r, 0);
}
