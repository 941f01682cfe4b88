/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>

#include "cloudinit.h"
#include "fs.h"
#include "guestnet.h"
#include "parse.h"
#include "strv.h"
#include "vmplan.h"

#define NAT_NETWORK "default"

#define ASKED "asked for"

/* At work: the plan so far, and where to put what is wrong. */
typedef struct Making {
        const VmHost *h;
        const VmWish *w;
        VmPlan p;
        char **reterr;
} Making;

void vmhost_done(VmHost *h) {
        for (size_t i = 0; i < h->n_gpus; i++) {
                free(h->gpus[i].used_by);
                free(h->gpus[i].refused);
        }
        free(h->gpus);
        free(h->bridge);
        free(h->gateway);
        strv_free(h->dns);
        strv_free(h->names);
        strv_free(h->addresses);
        strv_free(h->macs);
        *h = (VmHost){};
}

void vmplan_done(VmPlan *p) {
        for (size_t i = 0; i < p->n_choices; i++)
                free(p->choices[i].value);
        free(p->name);
        free(p->gpus);
        free(p->mac);
        free(p->bridge);
        free(p->network);
        free(p->address);
        free(p->gateway);
        free(p->warning);
        *p = (VmPlan){};
}

/* To be returned; the sentence is told by who asked for a plan. */
static int refuse(Making *m, int error, const char *format, ...) _printf_(3, 4);
static int refuse(Making *m, int error, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(m->reterr, format, ap);
        va_end(ap);
        if (n < 0) {
                *m->reterr = NULL;
                return -ENOMEM;
        }
        return error;
}

static int choose(Making *m, const char *what, const char *why, const char *format, ...) _printf_(4, 5);
static int choose(Making *m, const char *what, const char *why, const char *format, ...) {
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
                return r < 0 ? r : choose(m, "name", "the lowest that is free", "%s", m->p.name);
        }
        /* It names files and units, and the guest is called by it. */
        if (cloudinit_check_hostname(name) < 0)
                return refuse(m, -EINVAL,
                              "'%s' is no name for a machine: letters, digits and '-', at most 63", name);
        if (strv_contains(m->h->names, name))
                return refuse(m, -EEXIST, "There is a machine '%s' already. Choose another --name", name);
        m->p.name = strdup(name);
        return m->p.name ? choose(m, "name", ASKED, "%s", name) : -ENOMEM;
}

static int make_cpus(Making *m) {
        const char *why = "half of the host's";

        m->p.cpus = MAX(m->h->cpus / 2, (unsigned) VMPLAN_CPUS_MIN);
        if (m->w->cpus) {
                why = ASKED;
                if (parse_uint(m->w->cpus, 4096, &m->p.cpus) < 0 || m->p.cpus == 0)
                        return refuse(m, -EINVAL, "'%s' is no number of CPUs for --cpus", m->w->cpus);
                if (m->p.cpus > m->h->cpus)
                        return refuse(m, -EINVAL, "--cpus=%u is more than the %u that the host has",
                                      m->p.cpus, m->h->cpus);
        }
        return choose(m, "cpus", why, "%u", m->p.cpus);
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

/* VFIO pins all of a guest's memory: what is not free now is not going to be. Called after the GPUs. */
static int make_memory(Making *m) {
        const char *why = "half of the host's";
        uint64_t bytes;

        m->p.memory = MAX(m->h->memory / 2 / 1024, (uint64_t) VMPLAN_MEMORY_MIN) * 1024;
        if (m->w->memory) {
                why = ASKED;
                if (parse_memory(m->w->memory, 1024 * 1024, &bytes) < 0 || bytes < 128 * 1024 * 1024)
                        return refuse(m, -EINVAL, "'%s' is no size for --memory; '16G' would be, or MiB",
                                      m->w->memory);
                m->p.memory = bytes / 1024;
        }
        if (m->p.n_gpus > 0 && m->p.memory + VMPLAN_MEMORY_HOST > m->h->available)
                return refuse(m, -ENOSPC,
                              "%" PRIu64
                              " MiB of memory are not free: a guest with a GPU has all of its own at once, and "
                              "%" PRIu64 " MiB are available. Give less by --memory, or stop something",
                              m->p.memory / 1024, m->h->available / 1024);
        return choose(m, "memory", why, "%" PRIu64 " MiB", m->p.memory / 1024);
}

static int make_disk(Making *m) {
        const uint64_t gib = UINT64_C(1) << 30;
        const char *why = "standard, thin";

        m->p.disk = VMPLAN_DISK * gib;
        if (m->w->disk) {
                why = ASKED;
                if (parse_memory(m->w->disk, gib, &m->p.disk) < 0 || m->p.disk < VMPLAN_DISK_MIN * gib)
                        return refuse(m, -EINVAL, "'%s' is no size for --disk; '50G' would be, at least %dG",
                                      m->w->disk, VMPLAN_DISK_MIN);
        }
        if (m->h->disk_free > 0 && m->p.disk > m->h->disk_free &&
            str_printf(&m->p.warning,
                       "The disk may grow to %" PRIu64 " GiB, and there is room for %" PRIu64 " GiB",
                       m->p.disk / gib, m->h->disk_free / gib) < 0)
                return -ENOMEM;
        return choose(m, "disk", why, "%" PRIu64 " GiB", m->p.disk / gib);
}

static int add_gpu(Making *m, const VmGpu *g) {
        const VmGpu **all = reallocarray(m->p.gpus, m->p.n_gpus + 1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        m->p.gpus = all;
        m->p.gpus[m->p.n_gpus++] = g;
        return 0;
}

static int take_named_gpu(Making *m, const char *name) {
        for (size_t i = 0; i < m->h->n_gpus; i++) {
                const VmGpu *g = &m->h->gpus[i];

                if (!streq(g->name, name))
                        continue;
                if (g->used_by)
                        return refuse(m, -EBUSY, "GPU %s belongs to machine '%s'", name, g->used_by);
                if (g->refused)
                        return refuse(m, -EBUSY, "GPU %s cannot go to a machine: %s", name, g->refused);
                for (size_t k = 0; k < m->p.n_gpus; k++)
                        if (m->p.gpus[k] == g)
                                return refuse(m, -EINVAL, "GPU %s is asked for twice", name);
                return add_gpu(m, g);
        }
        return refuse(m, -EINVAL, "There is no GPU '%s' here; 'lspci -Dd 10de:' shows them", name);
}

static int make_gpus(Making *m) {
        const char *why = ASKED;
        int r = 0;

        if (m->w->no_gpu && m->w->gpus)
                return refuse(m, -EINVAL, "Either --gpu or --no-gpu");
        STRV_FOREACH(name, m->w->gpus)
                if (r >= 0)
                        r = take_named_gpu(m, *name);
        if (!m->w->gpus && !m->w->no_gpu) {
                why = m->h->n_gpus == 0 ? "the host has none" : "none is free";
                for (size_t i = 0; i < m->h->n_gpus && m->p.n_gpus == 0 && r >= 0; i++)
                        if (!m->h->gpus[i].used_by && !m->h->gpus[i].refused) {
                                why = "the first that is free";
                                r = add_gpu(m, &m->h->gpus[i]);
                        }
        }
        if (r < 0)
                return r;
        if (m->p.n_gpus == 0)
                return choose(m, "gpu", why, "none");
        for (size_t i = 0; i < m->p.n_gpus && r >= 0 && i < 4; i++)
                r = choose(m, "gpu", why, "%s", m->p.gpus[i]->name);
        return r;
}

static int make_mac(Making *m, const char *uuid) {
        char mac[sizeof("52:54:00:00:00:00")];

        if (m->w->mac) {
                if (guestnet_check_mac(m->w->mac) < 0)
                        return refuse(m, -EINVAL, "'%s' is no MAC address of a single station", m->w->mac);
                if (strv_contains(m->h->macs, m->w->mac))
                        return refuse(m, -EEXIST, "MAC address %s belongs to another machine", m->w->mac);
                m->p.mac = strdup(m->w->mac);
                return m->p.mac ? choose(m, "mac", ASKED, "%s", m->p.mac) : -ENOMEM;
        }
        for (unsigned attempt = 0; attempt < 100; attempt++) {
                int r = guestnet_mac(uuid, attempt, mac);

                if (r < 0)
                        return r;
                if (strv_contains(m->h->macs, mac))
                        continue;
                m->p.mac = strdup(mac);
                return m->p.mac ? choose(m, "mac", "made from the machine's UUID", "%s", mac) : -ENOMEM;
        }
        return refuse(m, -EEXIST, "No MAC address is free. Give one by --mac");
}

static int make_network(Making *m) {
        if (m->w->network) {
                m->p.network = strdup(m->w->network);
                return m->p.network ? choose(m, "network", ASKED, "%s", m->w->network) : -ENOMEM;
        }
        if (m->h->bridge) {
                m->p.bridge = strdup(m->h->bridge);
                return m->p.bridge ? choose(m, "bridge",
                                            m->h->network == NETWORK_ROUTED ? "the host routes for it"
                                                                            : "the host's network",
                                            "%s", m->h->bridge)
                                   : -ENOMEM;
        }
        m->p.network = strdup(NAT_NETWORK);
        return m->p.network ? choose(m, "network", "behind NAT", NAT_NETWORK) : -ENOMEM;
}

static bool is_taken(char *const *addresses, const char *address) {
        size_t n = strcspn(address, "/");

        STRV_FOREACH(a, addresses)
                if (strcspn(*a, "/") == n && strncmp(*a, address, n) == 0)
                        return true;
        return false;
}

static int make_gateway(Making *m) {
        const char *why = m->w->gateway ? ASKED : "the host's";
        const char *gateway = m->w->gateway ?: m->h->gateway;
        const char *const addresses[] = { m->p.address, NULL };

        if (!gateway)
                return refuse(m, -EINVAL, "The host has no gateway to take over. Give one by --gateway");
        if (guestnet_is_near(gateway, addresses) < 0)
                return refuse(m, -EINVAL, "'%s' is no gateway for %s", gateway, m->p.address);
        m->p.gateway = strdup(gateway);
        return m->p.gateway ? choose(m, "gateway", why, "%s", gateway) : -ENOMEM;
}

static int make_address(Making *m) {
        if (!m->w->ip) {
                /* Nobody gives out leases there. */
                if (m->h->network == NETWORK_ROUTED && !m->w->network)
                        return refuse(m, -EINVAL,
                                      "This host routes single addresses (/32), and nobody gives them out: order one from "
                                      "the hoster, and give it by --ip=ADDRESS/32 and --gateway=%s",
                                      m->h->gateway ?: "ADDRESS");
                if (m->w->gateway)
                        return refuse(m, -EINVAL, "--gateway is for an address given by --ip");
                return choose(m, "address", m->p.bridge ? "by DHCP of the network" : "by DHCP of libvirt",
                              "leased");
        }
        if (guestnet_check_address(m->w->ip) < 0)
                return refuse(m, -EINVAL, "'%s' is no address with prefix length, as 192.0.2.7/24", m->w->ip);
        if (is_taken(m->h->addresses, m->w->ip))
                return refuse(m, -EEXIST, "Address %s belongs to another machine; 'vmctl ip list' shows them",
                              m->w->ip);
        m->p.address = strdup(m->w->ip);
        if (!m->p.address || choose(m, "address", ASKED, "%s", m->w->ip) < 0)
                return -ENOMEM;
        return make_gateway(m);
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
                r = make_gpus(&m);
        if (r >= 0)
                r = make_memory(&m);
        if (r >= 0)
                r = make_disk(&m);
        if (r >= 0)
                r = make_network(&m);
        if (r >= 0)
                r = make_mac(&m, uuid);
        if (r >= 0)
                r = make_address(&m);
        if (r < 0) {
                vmplan_done(&m.p);
                return r;
        }
        *ret = m.p;
        return 0;
}
