/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "strv.h"
#include "vmplanwork.h"

static int add_gpu(Making *m, const VmGpu *g) {
        const VmGpu **all = reallocarray(m->p.gpus, m->p.n_gpus + 1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        m->p.gpus = all;
        m->p.gpus[m->p.n_gpus++] = g;
        return 0;
}

/* What shares an IOMMU group goes together, or stays where it is. */
static bool goes_with(const VmGpu *g, const VmGpu *other) {
        return other == g || strv_contains(g->members, other->name);
}

static bool is_planned(const Making *m, const VmGpu *g) {
        for (size_t i = 0; i < m->p.n_gpus; i++)
                if (m->p.gpus[i] == g)
                        return true;
        return false;
}

/* By the machine that it is shared with, which goes off before. */
static bool is_busy(const VmGpu *g) {
        return g->busy && !(g->shared && g->held);
}

/* asked: it was named, so it need not be proven here that nobody uses it; its unit does that. */
static bool is_free(const VmGpu *g, bool asked) {
        return !g->used_by && !g->refused && !is_busy(g) && (asked || !g->asleep);
}

/* It and all GPUs that go with it. Returns 1, or 0 with the first one that is not free. */
static int take_group(Making *m, const VmGpu *g, bool asked, const VmGpu **ret_taken) {
        for (size_t i = 0; i < m->h->n_gpus; i++)
                if (goes_with(g, &m->h->gpus[i]) && !is_free(&m->h->gpus[i], asked)) {
                        *ret_taken = &m->h->gpus[i];
                        return 0;
                }
        for (size_t i = 0; i < m->h->n_gpus; i++)
                if (goes_with(g, &m->h->gpus[i]) && !is_planned(m, &m->h->gpus[i]) &&
                    add_gpu(m, &m->h->gpus[i]) < 0)
                        return -ENOMEM;
        return 1;
}

static int refuse_gpu(Making *m, const VmGpu *g, const VmGpu *taken) {
        _cleanup_free_ char *with = NULL, *all = NULL;

        if (taken != g) {
                all = strv_join(g->members, ", ");
                if (!all ||
                    str_printf(&with, "GPU %s goes with all of its IOMMU group (%s), or not at all: ",
                               g->name, all) < 0)
                        return -ENOMEM;
        }
        if (taken->used_by)
                return vmplan_refuse(m, -EBUSY, "%sGPU %s belongs to machine '%s'", strempty(with),
                                     taken->name, taken->used_by);
        if (taken->refused)
                return vmplan_refuse(m, -EBUSY, "%sGPU %s cannot go to a machine: %s", strempty(with),
                                     taken->name, taken->refused);
        return vmplan_refuse(m, -EBUSY, "%sGPU %s is in use: %s", strempty(with), taken->name,
                             strempty(taken->busy));
}

static int take_named_gpu(Making *m, char *const *name) {
        const VmGpu *taken, *g = NULL;
        int r;

        for (char *const *before = m->w->gpus; before != name; before++)
                if (streq(*before, *name))
                        return vmplan_refuse(m, -EINVAL, "GPU %s is asked for twice", *name);
        for (size_t i = 0; i < m->h->n_gpus && !g; i++)
                if (streq(m->h->gpus[i].name, *name))
                        g = &m->h->gpus[i];
        if (!g)
                return vmplan_refuse(m, -EINVAL, "There is no GPU '%s' here; 'vmctl gpu status' shows them",
                                     *name);
        r = take_group(m, g, true, &taken);
        return r == 0 ? refuse_gpu(m, g, taken) : r;
}

/* One line for all of them: in JSON it is one member. */
static int choose_gpus(Making *m, const char *why) {
        _cleanup_strv_ char **l = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < m->p.n_gpus; i++)
                if (strv_extend(&l, m->p.gpus[i]->name) < 0)
                        return -ENOMEM;
        text = l ? strv_join(l, " ") : strdup("none");
        return text ? vmplan_choose(m, "gpu", why, "%s", text) : -ENOMEM;
}

static int take_any_gpu(Making *m) {
        const VmGpu *taken;
        int r = 0;

        for (size_t i = 0; i < m->h->n_gpus && r == 0; i++)
                r = take_group(m, &m->h->gpus[i], false, &taken);
        if (r < 0)
                return r;
        return choose_gpus(m,
                           m->h->n_gpus == 0        ? "the host has none"
                                           : r == 0 ? "none is free"
                                           : m->p.n_gpus == 1
                                           ? "the first that is free"
                                           : "the first that are free, of one IOMMU group");
}

bool vmplan_has_gpu(const VmPlan *p) {
        return p->n_gpus > 0 || p->gpu_wish.n > 0;
}

bool vmplan_may_have(const VmPlan *p, const VmGpu *g) {
        for (size_t i = 0; i < p->n_gpus; i++)
                if (p->gpus[i] == g)
                        return true;
        return p->gpu_wish.n > 0 && gpuwish_fits(&p->gpu_wish, g->model);
}

/* Which are free is another question at each start. */
static int make_wish(Making *m) {
        unsigned n = 0;
        int r;

        for (size_t i = 0; i < m->h->n_gpus; i++)
                n += gpuwish_fits(&m->p.gpu_wish, m->h->gpus[i].model);
        r = gpuwish_format(&m->p.gpu_wish, &m->p.gpu_wish_text);
        if (r < 0)
                return r;
        if (n < m->p.gpu_wish.n)
                return vmplan_refuse(
                                m, -EINVAL,
                                "'%s' is asked for, and this host has %u such GPU%s; 'vmctl gpu status' shows them",
                                m->p.gpu_wish_text, n, n == 1 ? "" : "s");
        return vmplan_choose(m, "gpu", "asked for; chosen at each start", "%s", m->p.gpu_wish_text);
}

int vmplan_make_gpus(Making *m) {
        const char *why = NULL;
        int r = 0;

        if (m->w->no_gpu && m->w->gpus)
                return vmplan_refuse(m, -EINVAL, "Either --gpu or --no-gpu");
        if (m->w->no_gpu)
                return choose_gpus(m, ASKED);
        if (!m->w->gpus)
                return take_any_gpu(m);
        r = gpuwish_parse(m->w->gpus, &m->p.gpu_wish, &why);
        if (r == -EINVAL)
                return vmplan_refuse(m, r, "--gpu: %s", why);
        if (r != 0)
                return r < 0 ? r : make_wish(m);
        STRV_FOREACH(name, m->w->gpus)
                if (r >= 0)
                        r = take_named_gpu(m, name);
        if (r < 0)
                return r;
        return choose_gpus(m,
                           m->p.n_gpus == strv_length(m->w->gpus) ? ASKED
                                                                  : "asked for, with all of the IOMMU group");
}
