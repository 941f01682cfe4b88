/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpuchoice.h"
#include "fs.h"
#include "nodes.h"
#include "strv.h"

enum { RANKS = 4 };

void gpuchoice_done(GpuChoice *c) {
        for (size_t i = 0; c->why && i < c->s->n; i++)
                free(c->why[i]);
        free(c->why);
        free(c->passes);
        free(c->own);
        *c = (GpuChoice){};
}

_printf_(4, 5) static int refuse(GpuChoice *c, size_t i, bool passes, const char *format, ...) {
        va_list ap;
        int r;

        if (c->why[i])
                return 0;
        c->passes[i] = passes;
        va_start(ap, format);
        r = vasprintf(&c->why[i], format, ap);
        va_end(ap);
        if (r >= 0)
                return 0;
        c->why[i] = NULL;
        return -ENOMEM;
}

/* What can be told without asking anybody. */
static int look(GpuChoice *c, size_t i, const char *machine) {
        const GpuState *g = &c->s->list[i];
        const PciBus *bus = &c->s->bus;
        int r = 0;

        if (streq_ptr(g->machine, machine))
                r = refuse(c, i, false, "it has that one by name");
        else if (g->machine)
                r = refuse(c, i, true, "machine '%s' has it", g->machine);
        else if (g->stuck)
                r = refuse(c, i, false, "it is stuck: %s", g->stuck);
        else if (g->refused)
                r = refuse(c, i, false, "it cannot be given to a machine: %s", g->refused);
        for (size_t k = 0; k < bus->n && r >= 0; k++)
                if (pci_is_nvswitch(&bus->devices[k]))
                        r = refuse(c, i, false,
                                   "it is on a board with NVSwitches, whose GPUs go together, by name");
        return r;
}

int gpuchoice_init(const GpuStates *s, const GpuWish *wish, const char *machine, char *const *own,
                   GpuChoice *ret) {
        _cleanup_(gpuchoice_done) GpuChoice c = {
                .s = s,
                .wish = wish,
                .why = calloc(s->n + 1, sizeof(*c.why)),
                .passes = calloc(s->n + 1, sizeof(*c.passes)),
                .own = calloc(s->n + 1, sizeof(*c.own)),
        };
        int r = c.why && c.passes && c.own ? 0 : -ENOMEM;

        for (size_t i = 0; i < s->n && r >= 0; i++) {
                c.own[i] = own && strv_contains(own, s->list[i].gpu->name);
                r = look(&c, i, machine);
        }
        if (r < 0)
                return r;
        *ret = c;
        c = (GpuChoice){};
        return 0;
}

int gpuchoice_refuse(GpuChoice *c, const char *gpu, bool passes, const char *why) {
        for (size_t i = 0; i < c->s->n; i++)
                if (streq(c->s->list[i].gpu->name, gpu))
                        return refuse(c, i, passes, "%s", why);
        return 0;
}

/* What shares an IOMMU group goes together. */
static bool goes_with(const GpuChoice *c, size_t i, size_t k) {
        const PciDevice *a = c->s->list[i].gpu, *b = c->s->list[k].gpu;

        return i == k || (a->iommu_group >= 0 && a->iommu_group == b->iommu_group);
}

static bool is_first(const GpuChoice *c, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (goes_with(c, i, k))
                        return false;
        return true;
}

static bool fits(const GpuChoice *c, size_t i) {
        return gpuwish_fits(c->wish, c->s->list[i].name);
}

/* How many of a group count, 0 if it cannot be had. waited: once all has passed that may. */
static unsigned count(const GpuChoice *c, size_t first, bool waited) {
        unsigned n = 0;

        for (size_t i = first; i < c->s->n; i++) {
                if (!goes_with(c, first, i))
                        continue;
                if (c->why[i] && !(waited && c->passes[i]))
                        return 0;
                n += fits(c, i);
        }
        return n;
}

static unsigned rank(const GpuChoice *c, size_t i) {
        const char *driver = c->s->list[i].gpu->driver;

        return c->own[i] ? 0 : !driver ? 2 : nodes_is_vfio_driver(driver) ? 1 : 3;
}

static int take_group(const GpuChoice *c, size_t first, bool *taken, char ***l) {
        int r = 0;

        for (size_t i = first; i < c->s->n && r >= 0; i++)
                if (goes_with(c, first, i)) {
                        taken[i] = true;
                        r = strv_extend(l, c->s->list[i].gpu->name);
                }
        return r;
}

/* Groups of that rank; larger: also those that have more than what is left to be found. */
static int pick(const GpuChoice *c, unsigned of, bool larger, unsigned *left, bool *taken, char ***l) {
        int r = 0;

        for (size_t i = 0; i < c->s->n && r >= 0 && *left > 0; i++) {
                unsigned n = is_first(c, i) && !taken[i] && rank(c, i) == of ? count(c, i, false) : 0;

                if (n == 0 || (n > *left && !larger))
                        continue;
                r = take_group(c, i, taken, l);
                *left -= MIN(n, *left);
        }
        return r;
}

int gpuchoice_pick(const GpuChoice *c, char ***ret) {
        _cleanup_free_ bool *taken = calloc(c->s->n + 1, sizeof(*taken));
        _cleanup_strv_ char **l = NULL;
        unsigned left = c->wish->n;
        int r = taken ? 0 : -ENOMEM;

        for (unsigned i = 0; i < 2 * RANKS && r >= 0; i++)
                r = pick(c, i % RANKS, i >= RANKS, &left, taken, &l);
        if (r < 0 || left > 0)
                return r;
        strv_sort(l);
        *ret = TAKE_PTR(l);
        return 1;
}

bool gpuchoice_may_wait(const GpuChoice *c) {
        unsigned n = 0;

        for (size_t i = 0; i < c->s->n; i++)
                n += is_first(c, i) ? count(c, i, true) : 0;
        return n >= c->wish->n;
}

/* The one of its group that is in the way, or itself. */
static size_t find_blocker(const GpuChoice *c, size_t i) {
        for (size_t k = 0; k < c->s->n && !c->why[i]; k++)
                if (goes_with(c, i, k) && c->why[k])
                        return k;
        return i;
}

static int describe(const GpuChoice *c, size_t i, char ***l) {
        const GpuState *g = &c->s->list[i];
        size_t k = find_blocker(c, i);

        if (k != i)
                return strv_extendf(l, "%s %s goes with %s of its IOMMU group: %s", g->gpu->name,
                                    strempty(g->name), c->s->list[k].gpu->name, c->why[k]);
        return strv_extendf(l, "%s %s: %s", g->gpu->name, strempty(g->name),
                            c->why[i]                    ? c->why[i]
                                            : fits(c, i) ? "free"
                                                         : "another model");
}

int gpuchoice_describe(const GpuChoice *c, char **ret) {
        _cleanup_free_ char *wish = NULL, *all = NULL;
        _cleanup_strv_ char **l = NULL;
        int r;

        r = gpuwish_format(c->wish, &wish);
        for (size_t i = 0; i < c->s->n && r >= 0; i++)
                r = describe(c, i, &l);
        if (r < 0)
                return r;
        all = l ? strv_join(l, "; ") : strdup("the host has none");
        return all ? MIN(str_printf(ret, "%s: %s", wish, all), 0) : -ENOMEM;
}
