/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "planvm.h"
#include "confvalid.h"
#include "fs.h"
#include "strv.h"

#define TEMPLATE GPUVM_UNITDIR "/gpuvm-vm@.service"

enum { GPUS_MAX = 64 }; /* of one machine that are looked at */

/* A GPU that a machine names. */
typedef struct Named {
        char *name;          /* an address in full, or a stable path */
        const PciDevice *is; /* NULL: not on the bus */
} Named;

typedef struct Machine {
        const VmFile *file;
        Named gpus[GPUS_MAX];
        size_t n_gpus;
        bool wanted; /* some unit wants it */
} Machine;

typedef struct Planner {
        Plan *p;
        Machine *machines;
        size_t n;
        ConfProblem problem;
        void *userdata;
} Planner;

static void planner_done(Planner *a) {
        for (size_t i = 0; i < a->n; i++)
                for (size_t k = 0; k < a->machines[i].n_gpus; k++)
                        free(a->machines[i].gpus[k].name);
        free(a->machines);
}

/* Returns 1 if the word names one GPU, 0 if it says how many or which kind. */
static int read_name(const char *word, char **ret) {
        int r = confvalid_address(word, ret);

        if (r != -EINVAL)
                return r < 0 ? r : 1;
        if (!confvalid_gpu_path(word))
                return 0;
        *ret = strdup(word);
        return *ret ? 1 : -ENOMEM;
}

static int add_gpu(Machine *m, const char *word, const PciBus *bus) {
        Named g = {};
        int r = read_name(word, &g.name);

        if (r <= 0)
                return r;
        for (size_t i = 0; i < bus->n && !g.is; i++)
                if (streq(bus->devices[i].name, g.name) || streq_ptr(bus->devices[i].path, g.name))
                        g.is = &bus->devices[i];
        m->gpus[m->n_gpus++] = g;
        return 0;
}

static int read_machines(Planner *a, const Catalog *c, const PciBus *bus) {
        int r = 0;

        a->machines = calloc(c->n + 1, sizeof(*a->machines));
        if (!a->machines)
                return -ENOMEM;
        for (size_t i = 0; i < c->n && r >= 0; i++) {
                const VmFile *f = &c->files[i];
                Machine *m = &a->machines[a->n];

                if (f->n_problems > 0)
                        continue;
                a->n++;
                m->file = f;
                m->wanted = f->values[VMKEY_WANTED_BY];
                STRV_FOREACH(word, f->values[VMKEY_GPU])
                        if (r >= 0 && m->n_gpus < GPUS_MAX)
                                r = add_gpu(m, *word, bus);
        }
        return r;
}

/* All functions of a slot and all of a group go to one machine. */
static bool is_same(const Named *a, const Named *b) {
        if (streq(a->name, b->name))
                return true;
        return a->is && b->is &&
                        (pci_same_slot(a->is, b->is) ||
                         (a->is->iommu_group >= 0 && a->is->iommu_group == b->is->iommu_group));
}

/* The name of a GPU of the first that the second cannot have as well, or NULL. */
static const char *find_shared(const Machine *a, const Machine *b) {
        for (size_t i = 0; i < a->n_gpus; i++)
                for (size_t k = 0; k < b->n_gpus; k++)
                        if (is_same(&a->gpus[i], &b->gpus[k]))
                                return a->gpus[i].name;
        return NULL;
}

static int tell_both_wanted(const Planner *a, const Machine *m, const Machine *other, const char *gpu) {
        VmFilePlace here = vmfile_place(m->file, VMKEY_WANTED_BY),
                    there = vmfile_place(other->file, VMKEY_WANTED_BY);
        _cleanup_free_ char *text = NULL;

        if (!a->problem)
                return 0;
        if (str_printf(&text,
                       "%s shares GPU %s, or its IOMMU group, with %s, which starts with the host as well "
                       "(%s:%u): only %s does",
                       m->file->name, gpu, other->file->name, there.file, there.line, other->file->name) < 0)
                return -ENOMEM;
        a->problem(here.file, here.line, text, a->userdata);
        return 0;
}

/* With Conflicts= alone one would start while the other one still stops; an order in either direction makes
 * systemd stop first (job_compare() of systemd). So both are written with the later one of the two. */
static int add_conflicts(Planner *a, size_t i, char ***lines) {
        Machine *m = &a->machines[i];
        int r = 0;

        for (size_t k = 0; k < i && r >= 0; k++) {
                const Machine *other = &a->machines[k];
                const char *gpu = find_shared(m, other);

                if (!gpu)
                        continue;
                r = strv_extendf(lines, "Conflicts=gpuvm-vm@%s.service\nAfter=gpuvm-vm@%s.service\n",
                                 other->file->name, other->file->name);
                if (r >= 0 && m->wanted && other->wanted) {
                        m->wanted = false;
                        r = tell_both_wanted(a, m, other, gpu);
                }
        }
        return r;
}

/* Not Wants=: the unit's own process starts them, and so knows which ones it has taken from the host. */
static int add_order(const Machine *m, char ***lines) {
        int r = 0;

        for (size_t i = 0; i < m->n_gpus && r >= 0; i++)
                if (m->gpus[i].is)
                        r = strv_extendf(lines, "After=gpuvm-vfio@%s.service\n", m->gpus[i].is->name);
        return r;
}

/* What is mounted there is shared as it is when the machine starts. */
static int add_mount(const Machine *m, char ***lines) {
        const char *store = vmfile_value(m->file, VMKEY_MODEL_STORE);

        return store ? strv_extendf(lines, "RequiresMountsFor=%s\n", store) : 0;
}

static int add_dropin(Planner *a, const Machine *m, char *const *lines) {
        _cleanup_free_ char *joined = strv_join(lines, ""), *path = NULL, *text = NULL;

        if (!joined || str_printf(&path, "gpuvm-vm@%s.service.d/" PLAN_DROPIN, m->file->name) < 0 ||
            str_printf(&text, PLAN_DROPIN_HEAD "SourcePath=%s\n%s", m->file->files[0], joined) < 0)
                return -ENOMEM;
        return plan_add(a->p, (PlanEntry){ .path = TAKE_PTR(path), .text = TAKE_PTR(text) });
}

static int add_links(Planner *a, const Machine *m) {
        int r = 0;

        STRV_FOREACH(unit, m->file->values[VMKEY_WANTED_BY]) {
                PlanEntry e = {};

                if (r < 0 || !m->wanted)
                        break;
                if (str_printf(&e.path, "%s.wants/gpuvm-vm@%s.service", *unit, m->file->name) < 0)
                        return -ENOMEM;
                e.target = strdup(TEMPLATE);
                r = plan_add(a->p, e);
        }
        return r;
}

static int add_machine(Planner *a, size_t i) {
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = add_order(&a->machines[i], &lines);
        if (r >= 0)
                r = add_mount(&a->machines[i], &lines);
        if (r >= 0)
                r = add_conflicts(a, i, &lines);
        if (r >= 0)
                r = add_dropin(a, &a->machines[i], lines);
        return r < 0 ? r : add_links(a, &a->machines[i]);
}

int planvm_add(Plan *p, const Catalog *c, const PciBus *bus, ConfProblem problem, void *userdata) {
        _cleanup_(planner_done) Planner a = { .p = p, .problem = problem, .userdata = userdata };
        int r;

        r = read_machines(&a, c, bus);
        for (size_t i = 0; i < a.n && r >= 0; i++)
                r = add_machine(&a, i);
        if (r >= 0)
                plan_sort(p);
        return r;
}

int planvm_apart(const Catalog *c, const PciBus *bus, const char *name, char ***l) {
        _cleanup_(planner_done) Planner a = {};
        const Machine *m = NULL;
        int r;

        r = read_machines(&a, c, bus);
        for (size_t i = 0; i < a.n; i++)
                if (streq(a.machines[i].file->name, name))
                        m = &a.machines[i];
        for (size_t i = 0; m && i < a.n && r >= 0; i++)
                if (m != &a.machines[i] && find_shared(m, &a.machines[i]))
                        r = strv_extend(l, a.machines[i].file->name);
        return r;
}

bool planvm_needs_bus(const Catalog *c) {
        for (size_t i = 0; i < c->n; i++)
                STRV_FOREACH(word, c->files[i].values[VMKEY_GPU]) {
                        _cleanup_free_ char *name = NULL;

                        if (read_name(*word, &name) != 0)
                                return true;
                }
        return false;
}
