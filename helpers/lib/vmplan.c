/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>

#include "cloudinit.h"
#include "fs.h"
#include "guestnet.h"
#include "parse.h"
#include "strv.h"
#include "vmplanwork.h"

void vmhost_done(VmHost *h) {
        for (size_t i = 0; i < h->n_gpus; i++) {
                strv_free(h->gpus[i].members);
                free(h->gpus[i].model);
                free(h->gpus[i].used_by);
                free(h->gpus[i].shared);
                free(h->gpus[i].refused);
                free(h->gpus[i].busy);
        }
        free(h->gpus);
        vmtopology_done(&h->topology);
        free(h->bridge);
        free(h->gateway);
        free(h->gateway6);
        strv_free(h->networks);
        strv_free(h->dns);
        strv_free(h->names);
        strv_free(h->addresses);
        strv_free(h->macs);
        strv_free(h->offers);
        *h = (VmHost){};
}

void vmplan_done(VmPlan *p) {
        for (size_t i = 0; i < p->n_choices; i++)
                free(p->choices[i].value);
        free(p->name);
        free(p->gpus);
        gpuwish_done(&p->gpu_wish);
        free(p->gpu_wish_text);
        vmplace_done(&p->place);
        free(p->mac);
        free(p->bridge);
        free(p->network);
        free(p->address);
        free(p->gateway);
        free(p->warning);
        *p = (VmPlan){};
}

int vmplan_choose(Making *m, const char *what, const char *why, const char *format, ...) {
        VmChoice *c = &m->p.choices[m->p.n_choices];
        va_list ap;
        int n;

        assert(m->p.n_choices < VMPLAN_CHOICES);
        va_start(ap, format);
        n = vasprintf(&c->value, format, ap);
        va_end(ap);
        if (n < 0) {
                c->value = NULL;
                return -ENOMEM;
        }
        c->what = what;
        c->why = why;
        m->p.n_choices++;
        return 0;
}

int vmplan_name(const char *prefix, char *const *taken, char **ret) {
        for (unsigned i = 1; i < 100000; i++) {
                _cleanup_free_ char *name = NULL;

                if (str_printf(&name, "%s-%02u", prefix, i) < 0)
                        return -ENOMEM;
                if (!strv_contains(taken, name)) {
                        *ret = TAKE_PTR(name);
                        return 0;
                }
        }
        return -EEXIST;
}

static int make_name(Making *m) {
        const char *name = m->w->name, *prefix = m->w->kind;
        int r;

        if (!name) {
                if (streq(prefix, "ubuntu") && !m->w->server)
                        prefix = "ubuntu-desktop";
                r = vmplan_name(prefix, m->h->names, &m->p.name);
                return r < 0 ? r : vmplan_choose(m, "name", "the lowest that is free", "%s", m->p.name);
        }
        /* It names files and units, and the guest is called by it. */
        if (cloudinit_check_hostname(name) < 0)
                return vmplan_refuse(m, -EINVAL,
                                     "'%s' is no name for a machine: letters, digits and '-', at most 63",
                                     name);
        if (strv_contains(m->h->names, name))
                return vmplan_refuse(m, -EEXIST, "There is a machine '%s' already. Choose another --name",
                                     name);
        m->p.name = strdup(name);
        return m->p.name ? vmplan_choose(m, "name", ASKED, "%s", name) : -ENOMEM;
}

static int make_cpus(Making *m) {
        const char *why = "half of the host's";

        m->p.cpus = MAX(m->h->cpus / 2, (unsigned) VMPLAN_CPUS_MIN);
        if (m->w->cpus) {
                why = ASKED;
                if (parse_uint(m->w->cpus, 4096, &m->p.cpus) < 0 || m->p.cpus == 0)
                        return vmplan_refuse(m, -EINVAL, "'%s' is no number of CPUs for --cpus", m->w->cpus);
                if (m->p.cpus > m->h->cpus)
                        return vmplan_refuse(m, -EINVAL, "--cpus=%u is more than the %u that the host has",
                                             m->p.cpus, m->h->cpus);
        }
        return vmplan_choose(m, "cpus", why, "%u", m->p.cpus);
}

/* A number without a unit is MiB, as virsh and virt-install have it. */
static int parse_memory(const char *s, uint64_t unit, uint64_t *ret_bytes) {
        uint64_t n;

        if (s[strspn(s, "0123456789")] != '\0')
                return parse_size(s, ret_bytes);
        if (parse_u64(s, &n) < 0 || n > UINT64_MAX / unit)
                return -EINVAL;
        *ret_bytes = n * unit;
        return 0;
}

static int make_pages(Making *m) {
        const char *s = m->w->hugepages;

        if (!s)
                return 0;
        m->p.page = streq(s, "2M") ? 2048 : streq(s, "1G") ? 1048576 : 0;
        if (m->p.page == 0)
                return vmplan_refuse(m, -EINVAL, "'%s' is no size of hugepages: 2M or 1G", s);
        return vmplan_choose(m, "pages", ASKED, "%s", s);
}

/* Hugepages are set apart before. */
bool vmplan_pins_memory(const VmPlan *p) {
        return vmplan_has_gpu(p) && p->page == 0;
}

/* VFIO pins all of a guest's memory: what is not free now is not going to be. Called after the GPUs. */
static int make_memory(Making *m) {
        const char *why = "half of the host's";
        uint64_t bytes, available = m->h->available;

        m->p.memory = MAX(m->h->memory / 2 / 1024, (uint64_t) VMPLAN_MEMORY_MIN) * 1024;
        if (m->w->memory) {
                why = ASKED;
                if (parse_memory(m->w->memory, 1024 * 1024, &bytes) < 0 || bytes < 128 * 1024 * 1024)
                        return vmplan_refuse(m, -EINVAL,
                                             "'%s' is no size for --memory; '16G' would be, or MiB",
                                             m->w->memory);
                m->p.memory = bytes / 1024;
        }
        if (vmplan_pins_memory(&m->p) && m->p.memory + VMPLAN_MEMORY_HOST > available)
                return vmplan_refuse(
                                m, -ENOSPC,
                                "%" PRIu64
                                " MiB of memory are not free: a guest with a GPU has all of its own at once, and "
                                "%" PRIu64 " MiB are available. Give less by --memory, or stop something",
                                m->p.memory / 1024, available / 1024);
        return vmplan_choose(m, "memory", why, "%" PRIu64 " MiB", m->p.memory / 1024);
}

static int make_disk(Making *m) {
        const uint64_t gib = UINT64_C(1) << 30;
        const char *why = "standard, thin";

        m->p.disk = VMPLAN_DISK * gib;
        if (m->w->disk) {
                why = ASKED;
                if (parse_memory(m->w->disk, gib, &m->p.disk) < 0 || m->p.disk < VMPLAN_DISK_MIN * gib)
                        return vmplan_refuse(m, -EINVAL,
                                             "'%s' is no size for --disk; '50G' would be, at least %dG",
                                             m->w->disk, VMPLAN_DISK_MIN);
        }
        if (m->h->disk_free > 0 && m->p.disk > m->h->disk_free &&
            str_printf(&m->p.warning,
                       "The disk may grow to %" PRIu64 " GiB, and there is room for %" PRIu64 " GiB",
                       m->p.disk / gib, m->h->disk_free / gib) < 0)
                return -ENOMEM;
        return vmplan_choose(m, "disk", why, "%" PRIu64 " GiB", m->p.disk / gib);
}

/* Of all its GPUs; -1: of several, or none. */
static int gpu_node(const VmPlan *p) {
        for (size_t i = 1; i < p->n_gpus; i++)
                if (p->gpus[i]->numa_node != p->gpus[0]->numa_node)
                        return -1;
        return p->n_gpus > 0 ? p->gpus[0]->numa_node : -1;
}

static int choose_pins(Making *m) {
        _cleanup_free_ char *text = NULL;
        int r = vmplace_pins(&m->p.place, m->p.cpus, &text);

        return r < 0 ? r : vmplan_choose(m, "pinned", ASKED, "%s", text);
}

static int make_place(Making *m) {
        const VmPlaceWish w = { .cpus = m->p.cpus,
                                .memory_kib = m->p.memory,
                                .page_kib = m->p.page,
                                .node = gpu_node(&m->p),
                                .pin = m->w->pin };
        VmPlace *p = &m->p.place;
        int r;

        r = vmplace_make(&m->h->topology, &w, p, m->reterr);
        if (r >= 0 && p->why)
                r = p->node >= 0 ? vmplan_choose(m, "near", p->why, "node %d, CPUs %s", p->node, p->cpus)
                                 : vmplan_choose(m, "near", p->why, "anywhere");
        return r >= 0 && p->pins ? choose_pins(m) : r;
}

int vmplan_make(const VmHost *h, const VmWish *w, const char *uuid, VmPlan *ret, char **reterr) {
        Making m = { .h = h, .w = w, .reterr = reterr };
        int r;

        *reterr = NULL;
        (void) snprintf(m.p.uuid, sizeof(m.p.uuid), "%s", uuid);
        r = make_name(&m);
        if (r >= 0)
                r = make_cpus(&m);
        if (r >= 0)
                r = vmplan_make_gpus(&m);
        if (r >= 0)
                r = make_pages(&m);
        if (r >= 0)
                r = make_memory(&m);
        if (r >= 0)
                r = make_place(&m);
        if (r >= 0)
                r = make_disk(&m);
        if (r >= 0)
                r = vmplan_make_network(&m);
        if (r < 0) {
                vmplan_done(&m.p);
                return r;
        }
        *ret = m.p;
        return 0;
}

/* As for a host that has whatever there can be. */
int vmplan_imagine(const VmWish *w, VmPlan *ret, char **reterr) {
        static const char uuid[] = "00000000-0000-4000-8000-000000000000";
        static char *cores[] = { (char *) "1-8191", NULL };
        VmNode node = { .cpus = (char *) "0-8191", .free_2m = UINT32_MAX, .free_1g = UINT32_MAX };
        const VmHost anything = { .cpus = 8192,
                                  .memory = UINT64_C(1) << 40,
                                  .available = UINT64_MAX,
                                  .network = NETWORK_NAT,
                                  .topology = { .nodes = &node, .n_nodes = 1, .cores = cores } };
        _cleanup_(gpuwish_done) GpuWish wish = {};
        _cleanup_free_ char *whole = NULL;
        const char *why = NULL;
        VmWish some = *w;
        int r;

        some.gpus = NULL;
        some.no_gpu = true;
        if (w->gpus && w->no_gpu)
                return str_printf(reterr, "Either --gpu or --no-gpu") < 0 ? -ENOMEM : -EINVAL;
        r = gpuwish_parse(w->gpus, &wish, &why);
        if (r == -EINVAL)
                return str_printf(reterr, "--gpu: %s", why) < 0 ? -ENOMEM : r;
        if (r < 0)
                return r;
        /* The host's network and gateway are not known yet. */
        if (w->ip && str_printf(&whole, strchr(w->ip, '/') ? "%s" : "%s/32", w->ip) < 0)
                return -ENOMEM;
        if (whole && guestnet_check_address(whole) >= 0)
                some.ip = w->gateway ? whole : NULL;
        return vmplan_make(&anything, &some, uuid, ret, reterr);
}

int vmplan_check(const VmWish *w, char **reterr) {
        _cleanup_(vmplan_done) VmPlan p = {};

        return vmplan_imagine(w, &p, reterr);
}
