/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpustate.h"
#include "fs.h"
#include "gpuname.h"
#include "keep.h"
#include "nodes.h"
#include "parse.h"
#include "poison.h"
#include "strv.h"
#include "worker.h"

enum { DESCRIBED_MAX = 3, NAME_PART_MIN = 3, ANSWER_SEC = 5 };

const char *gpu_owner_to_string(GpuOwner o) {
        static const char *const names[_GPU_OWNER_MAX] = {
                [GPU_OWNER_UNKNOWN] = "unknown", [GPU_OWNER_NOBODY] = "nobody",   [GPU_OWNER_HOST] = "host",
                [GPU_OWNER_FREE] = "free",       [GPU_OWNER_MACHINE] = "machine", [GPU_OWNER_STUCK] = "stuck",
        };

        return (unsigned) o < _GPU_OWNER_MAX ? names[o] : NULL;
}

static void state_done(GpuState *g) {
        free(g->functions);
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

/* Those in its slot. */
static int take_slot(const PciBus *bus, GpuState *g) {
        g->functions = calloc(bus->n + 1, sizeof(*g->functions));
        if (!g->functions)
                return -ENOMEM;
        for (size_t i = 0; i < bus->n; i++)
                if (pci_same_slot(&bus->devices[i], g->gpu))
                        g->functions[g->n_functions++] = &bus->devices[i];
        return free_and_strdup(&g->refused, "it has no IOMMU group; 'gpu-vm-bootstrap' turns the IOMMU on");
}

static int judge_group(const PciBus *bus, const KeepList *keep, const Conf *c, GpuState *g) {
        char *const *accepted = conf_gpu_accept_siblings(c, g->gpu->name, g->gpu->path);
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, g->gpu, keep->items, keep->n, accepted, &v);
        if (r < 0)
                return r == -ENODEV ? take_slot(bus, g) : r;
        g->functions = calloc(v.n_members + 1, sizeof(*g->functions));
        if (!g->functions)
                return -ENOMEM;
        for (size_t i = 0; i < v.n_members; i++)
                if (!pci_is_bridge(v.members[i]))
                        g->functions[g->n_functions++] = v.members[i];
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

/* What hangs does not answer, and what sleeps would wake up. */
static bool may_ask_driver(const GpuState *g) {
        return !g->stuck && !streq_ptr(g->power, "D3cold");
}

/* Who asks NVIDIA's driver. */
typedef struct Asker {
        int root;
        Worker *w;         /* NULL: none yet */
        size_t n;          /* GPUs that are left, this one among them */
        uint64_t end_usec; /* of monotonic_usec(), for all of them; 0: it has answered so far */
} Asker;

static void asker_done(Asker *a) {
        if (a->w)
                worker_free(a->w);
}

/* What hangs for one GPU mostly does for all: those behind it share as much time as that one had. */
static uint64_t patience(const Asker *a) {
        uint64_t now = monotonic_usec();

        if (a->end_usec == 0)
                return ANSWER_SEC * USEC_PER_SEC;
        return a->end_usec > now ? (a->end_usec - now) / MAX(a->n, (size_t) 1) : 0;
}

static int note_hang(Asker *a, GpuState *g) {
        if (a->end_usec > 0)
                return free_and_strdup(&g->stuck, "the driver nvidia does not answer, as for another GPU");
        a->end_usec = monotonic_usec() + ANSWER_SEC * USEC_PER_SEC;
        return MIN(str_printf(&g->stuck, "the driver nvidia has not answered for %d s", ANSWER_SEC), 0);
}

/* NVIDIA's driver answers as long as it is well. A child asks it first, which can be left behind: whoever
 * looks for holders asks it again. One child asks for all GPUs, up to one that does not answer. Returns 1 and
 * the first line of what it says, or 0. */
static int ask_driver(Asker *a, GpuState *g, char **ret) {
        uint64_t timeout = patience(a);
        _cleanup_free_ char *path = NULL;
        int r;

        if (!may_ask_driver(g) || !streq_ptr(g->gpu->driver, "nvidia"))
                return 0;
        if (timeout == 0)
                return note_hang(a, g);
        r = str_printf(&path, "/proc/driver/nvidia/gpus/%s/information", g->gpu->name);
        if (r >= 0 && !a->w)
                r = worker_start(a->root, NULL, NULL, &a->w);
        if (r >= 0)
                r = worker_read(a->w, path, timeout, ret);
        if (r == -ETIMEDOUT || r == -ECHILD) { /* the next one gets another child */
                worker_free(a->w);
                a->w = NULL;
        }
        if (r == -ETIMEDOUT)
                return note_hang(a, g);
        return r < 0 ? (r == -ENOMEM ? r : 0) : 1;
}

/* "GeForce RTX 4090", or what NVIDIA's driver calls it where the database is older than the card. */
static int read_name(Asker *a, GpuState *g) {
        _cleanup_free_ char *text = NULL;
        const char *model;
        int r;

        r = g->gpu->modalias ? gpuname_read(g->gpu->modalias, &g->name) : 0;
        if (r >= 0)
                r = ask_driver(a, g, &text);
        if (r <= 0 || g->name)
                return r;
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
        bool seen = g->looked;

        if (g->stuck)
                return GPU_OWNER_STUCK;
        if (!g->gpu->driver)
                return GPU_OWNER_NOBODY;
        if (!nodes_is_vfio_driver(g->gpu->driver))
                return GPU_OWNER_HOST;
        if (g->machine)
                return GPU_OWNER_MACHINE;
        for (size_t i = 0; i < g->holders.n; i++)
                if (g->holders.list[i].pid > 0 && startswith(g->holders.list[i].what, "open "))
                        seen = false; /* files that cannot be read */
                else
                        return GPU_OWNER_MACHINE;
        return seen ? GPU_OWNER_FREE : GPU_OWNER_UNKNOWN;
}

static int read_state(Asker *a, const PciBus *bus, const KeepList *keep, const Conf *c, GpuState *g) {
        int r;

        g->mode = conf_gpu_mode(c, g->gpu->name, g->gpu->path);
        r = judge_group(bus, keep, c, g);
        if (r >= 0)
                r = read_stuck(a->root, g);
        if (r >= 0)
                r = read_link(a->root, g);
        if (r >= 0)
                r = read_name(a, g);
        return r;
}

/* What changes hands with it whoever else is in its group. Where the GPU itself is on VFIO, a driver of the
 * host's has nothing to say about who has it. */
static size_t add_own(const GpuState *g, const PciDevice **devices) {
        bool vfio = g->gpu->driver && nodes_is_vfio_driver(g->gpu->driver);
        size_t n = 0;

        for (size_t i = 0; i < g->n_functions; i++) {
                const PciDevice *d = g->functions[i];

                if (pci_same_slot(d, g->gpu) && (!vfio || (d->driver && nodes_is_vfio_driver(d->driver))))
                        devices[n++] = d;
        }
        return n;
}

/* Mostly nobody has any of them: one look for all tells. */
static int look_for_holders(int root, GpuStates *s) {
        _cleanup_free_ const PciDevice **devices = calloc(s->bus.n + 1, sizeof(*devices));
        _cleanup_(holders_done) Holders any = {};
        size_t n = 0;
        int r;

        if (!devices)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++) {
                s->list[i].looked = may_ask_driver(&s->list[i]);
                if (s->list[i].looked)
                        n += add_own(&s->list[i], devices + n);
        }
        r = holders_scan(root, devices, n, &any);
        for (size_t i = 0; i < s->n && r >= 0 && any.n > 0; i++)
                if (s->list[i].looked) {
                        n = add_own(&s->list[i], devices);
                        r = holders_scan(root, devices, n, &s->list[i].holders);
                }
        return r;
}

int gpustate_read(int root, const Conf *c, bool holders, GpuStates *ret) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_(asker_done) Asker a = { .root = root };
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
        for (size_t i = 0; i < s.n && r >= 0; i++) {
                a.n = s.n - i;
                r = read_state(&a, &s.bus, &keep, c, &s.list[i]);
        }
        if (r >= 0 && holders && s.n > 0)
                r = look_for_holders(root, &s);
        if (r < 0)
                return r;
        for (size_t i = 0; i < s.n; i++)
                s.list[i].owner = judge_owner(&s.list[i]);
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

/* "1" is no A10. */
static bool is_name_of(const GpuState *g, const char *word) {
        return g->name &&
                        (strcasecmp(g->name, word) == 0 ||
                         (strlen(word) >= NAME_PART_MIN && strcasestr(g->name, word)));
}

int gpustate_find(const GpuStates *s, const char *word, GpuState **ret) {
        GpuState *found = NULL;
        unsigned index;

        /* "4090" is a part of a name. */
        if (parse_uint(word, INT32_MAX, &index) >= 0 && index < s->n) {
                *ret = &s->list[index];
                return 1;
        }
        for (size_t i = 0; i < s->n; i++)
                if (is_address_of(s->list[i].gpu, word) || streq_ptr(s->list[i].gpu->path, word)) {
                        *ret = &s->list[i];
                        return 1;
                }
        for (size_t i = 0; i < s->n; i++)
                if (is_name_of(&s->list[i], word)) {
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

                bool its = false;

                for (size_t k = 0; k < g->n_functions; k++)
                        its = its || strv_contains(addresses, g->functions[k]->name);
                if (!its)
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

int gpustate_describe_owner(const GpuState *g, char **ret) {
        const char *name = gpu_owner_to_string(g->owner);
        _cleanup_free_ char *who = NULL;
        int r;

        r = describe_holders(&g->holders, &who);
        if (r < 0)
                return r;
        if (g->owner == GPU_OWNER_MACHINE)
                r = str_printf(ret, "%s %s", name, g->machine ?: who);
        else
                r = str_printf(ret, "%s%s%s", name,
                               *who                                                      ? ": "
                                               : g->owner == GPU_OWNER_HOST && g->looked ? ", idle"
                                                                                         : "",
                               who);
        return MIN(r, 0);
}
