/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "fs.h"
#include "parse.h"
#include "strv.h"
#include "vmplace.h"

#define NODES "/sys/devices/system/node"
#define CPUS  "/sys/devices/system/cpu"

enum { CPU_MAX = 8192, PAGE_2M = 2048, PAGE_1G = 1024 * 1024 };

void vmtopology_done(VmTopology *t) {
        for (size_t i = 0; i < t->n_nodes; i++)
                free(t->nodes[i].cpus);
        free(t->nodes);
        strv_free(t->cores);
        strv_free(t->pinned);
        *t = (VmTopology){};
}

void vmplace_done(VmPlace *p) {
        free(p->cpus);
        free(p->pins);
        *p = (VmPlace){};
}

/* The next range of a list; NULL behind the last one, and for what is none. */
static const char *next_range(const char *list, unsigned *ret_first, unsigned *ret_last) {
        unsigned long first, last;
        char *end;

        if (*list < '0' || *list > '9')
                return NULL;
        first = last = strtoul(list, &end, 10);
        if (*end == '-' && end[1] >= '0' && end[1] <= '9')
                last = strtoul(end + 1, &end, 10);
        if (last < first || last >= CPU_MAX)
                return NULL;
        *ret_first = (unsigned) first;
        *ret_last = (unsigned) last;
        return *end == ',' ? end + 1 : "";
}

bool vmplace_has_cpu(const char *list, unsigned cpu) {
        unsigned first, last;

        while ((list = next_range(list, &first, &last)))
                if (cpu >= first && cpu <= last)
                        return true;
        return false;
}

static unsigned count_cpus(const char *list) {
        unsigned first, last, n = 0;

        while ((list = next_range(list, &first, &last)))
                n += last - first + 1;
        return n;
}

static uint64_t read_number(int root, const char *format, int node) {
        _cleanup_free_ char *path = NULL;
        uint64_t n;

        return str_printf(&path, format, node) >= 0 && fs_read_u64(root, path, &n) >= 0 ? n : 0;
}

/* "Node 0 MemFree:  123 kB", and what can be had again at once: the page cache that nobody has touched
 * lately. */
static uint64_t read_free(int root, int node) {
        static const char *const keys[] = { " MemFree:", " Inactive(file):" };
        _cleanup_free_ char *path = NULL, *text = NULL;
        uint64_t n = 0;

        if (str_printf(&path, NODES "/node%d/meminfo", node) < 0 ||
            fs_read(root, path, FS_FILE_MAX, &text, NULL) < 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const char *at = strstr(text, keys[i]);

                n += at ? strtoull(at + strlen(keys[i]), NULL, 10) : 0;
        }
        return n;
}

static int read_node(int root, int id, VmNode *n) {
        _cleanup_free_ char *path = NULL;
        int r;

        *n = (VmNode){
                .id = id,
                .free_kib = read_free(root, id),
                .free_2m = read_number(root, NODES "/node%d/hugepages/hugepages-2048kB/free_hugepages", id),
                .free_1g = read_number(root, NODES "/node%d/hugepages/hugepages-1048576kB/free_hugepages", id)
        };
        if (str_printf(&path, NODES "/node%d/cpulist", id) < 0)
                return -ENOMEM;
        r = fs_read_line(root, path, &n->cpus);
        if (r < 0 && r != -ENOMEM)
                return free_and_strdup(&n->cpus, "") < 0 ? -ENOMEM : 0;
        return r;
}

static int read_nodes(int root, VmTopology *t) {
        _cleanup_free_ char *list = NULL;
        const char *rest;
        unsigned first, last;

        if (fs_read_line(root, NODES "/online", &list) < 0)
                return 0;
        t->nodes = calloc(count_cpus(list) + 1, sizeof(*t->nodes));
        if (!t->nodes)
                return -ENOMEM;
        for (rest = list; (rest = next_range(rest, &first, &last));)
                for (unsigned id = first; id <= last; id++) {
                        int r = read_node(root, (int) id, &t->nodes[t->n_nodes]);

                        if (r < 0)
                                return r;
                        t->n_nodes++;
                }
        return 0;
}

/* A CPU that does not say who shares its core has it to itself. */
static int read_core(int root, unsigned cpu, VmTopology *t) {
        _cleanup_free_ char *path = NULL, *siblings = NULL;
        unsigned first, last;

        if (str_printf(&path, CPUS "/cpu%u/topology/thread_siblings_list", cpu) < 0)
                return -ENOMEM;
        if (fs_read_line(root, path, &siblings) < 0 && str_printf(&siblings, "%u", cpu) < 0)
                return -ENOMEM;
        if (next_range(siblings, &first, &last) && first != cpu)
                return 0;
        return strv_extend(&t->cores, siblings);
}

static int read_cores(int root, VmTopology *t) {
        _cleanup_free_ char *list = NULL;
        const char *rest;
        unsigned first, last;
        int r = 0;

        if (fs_read_line(root, CPUS "/online", &list) < 0)
                return 0;
        for (rest = list; (rest = next_range(rest, &first, &last));)
                for (unsigned cpu = first; cpu <= last && r >= 0; cpu++)
                        r = read_core(root, cpu, t);
        return r;
}

int vmplace_read(int root, VmTopology *ret) {
        _cleanup_(vmtopology_done) VmTopology t = {};
        int r;

        r = read_nodes(root, &t);
        if (r >= 0)
                r = read_cores(root, &t);
        if (r < 0)
                return r;
        *ret = t;
        t = (VmTopology){};
        return 0;
}

void vmplace_add_free(VmTopology *t, const VmMemory *m) {
        uint64_t *free_2m = &t->free_2m, *free_1g = &t->free_1g;

        for (size_t i = 0; i < t->n_nodes; i++)
                if (t->nodes[i].id == m->node) {
                        free_2m = &t->nodes[i].free_2m;
                        free_1g = &t->nodes[i].free_1g;
                        if (m->page_kib == 0)
                                t->nodes[i].free_kib += m->kib;
                }
        if (m->page_kib == PAGE_2M)
                *free_2m += m->kib / PAGE_2M;
        if (m->page_kib == PAGE_1G)
                *free_1g += m->kib / PAGE_1G;
}

/* Of the host, or of one node. */
static uint64_t free_pages(const VmTopology *t, int node, uint64_t page_kib) {
        uint64_t n = node >= 0 ? 0 : page_kib == PAGE_1G ? t->free_1g : t->free_2m;

        for (size_t i = 0; i < t->n_nodes; i++)
                if (node < 0 || t->nodes[i].id == node)
                        n += page_kib == PAGE_1G ? t->nodes[i].free_1g : t->nodes[i].free_2m;
        return n;
}

static int check_pages(const VmTopology *t, const VmPlaceWish *w, char **reterr) {
        uint64_t want = w->memory_kib / w->page_kib, have = free_pages(t, -1, w->page_kib);
        const char *size = w->page_kib == PAGE_1G ? "1G" : "2M";

        if (w->memory_kib % w->page_kib != 0)
                return str_printf(reterr,
                                  "%" PRIu64 " KiB are no whole number of pages of %s. Give another --memory",
                                  w->memory_kib, size) < 0
                                ? -ENOMEM
                                : -EINVAL;
        if (want <= have)
                return 0;
        return str_printf(reterr,
                          "It needs %" PRIu64 " hugepages of %s, and %" PRIu64
                          " are free. Set some aside: 'sysctl vm.nr_hugepages=N' for those of 2M, 'hugepagesz=1G "
                          "hugepages=N' on the kernel's command line for those of 1G",
                          want, size, have) < 0
                        ? -ENOMEM
                        : -ENOSPC;
}

/* Memory is bound strictly, so that it must all fit. */
static const VmNode *choose_node(const VmTopology *t, const VmPlaceWish *w, const char **ret_why) {
        *ret_why = NULL;
        for (size_t i = 0; t->n_nodes > 1 && i < t->n_nodes; i++) {
                const VmNode *n = &t->nodes[i];
                bool fits = w->page_kib > 0 ? free_pages(t, n->id, w->page_kib) >= w->memory_kib / w->page_kib
                                            : n->free_kib >= w->memory_kib;

                if (w->node < 0 || n->id != w->node)
                        continue;
                *ret_why = !fits ? "where its GPU is there is not that much memory free"
                                : count_cpus(n->cpus) < w->cpus
                                ? "where its GPU is there are not that many CPUs"
                                : "where its GPU is";
                return fits && count_cpus(n->cpus) >= w->cpus ? n : NULL;
        }
        return NULL;
}

/* Whole cores, and the host keeps the first one. */
static bool is_free_core(const VmTopology *t, const char *core, const char *within) {
        unsigned first, last;
        const char *rest = core;

        while ((rest = next_range(rest, &first, &last)))
                for (unsigned cpu = first; cpu <= last; cpu++) {
                        if (cpu == 0 || (within && !vmplace_has_cpu(within, cpu)))
                                return false;
                        STRV_FOREACH(l, t->pinned)
                                if (vmplace_has_cpu(*l, cpu))
                                        return false;
                }
        return true;
}

static int pin(const VmTopology *t, const VmPlaceWish *w, VmPlace *p, char **reterr) {
        unsigned n = 0, first, last;

        p->pins = calloc(w->cpus, sizeof(*p->pins));
        if (!p->pins)
                return -ENOMEM;
        STRV_FOREACH(core, t->cores) {
                const char *rest = *core;

                if (!is_free_core(t, *core, p->cpus))
                        continue;
                while ((rest = next_range(rest, &first, &last)))
                        for (unsigned cpu = first; cpu <= last && n < w->cpus; cpu++)
                                p->pins[n++] = cpu;
        }
        if (n == w->cpus)
                return 0;
        return str_printf(reterr,
                          "%u CPUs are free to be pinned%s, and %u are wanted: the host keeps its first core, and other machines "
                          "have theirs. Give less by --cpus",
                          n, p->cpus ? " where its GPU is" : "", w->cpus) < 0
                        ? -ENOMEM
                        : -ENOSPC;
}

int vmplace_make(const VmTopology *t, const VmPlaceWish *w, VmPlace *ret, char **reterr) {
        _cleanup_(vmplace_done) VmPlace p = { .node = -1 };
        const VmNode *n;
        int r;

        r = w->page_kib > 0 ? check_pages(t, w, reterr) : 0;
        if (r < 0)
                return r;
        n = choose_node(t, w, &p.why);
        if (n) {
                p.node = n->id;
                if (free_and_strdup(&p.cpus, n->cpus) < 0)
                        return -ENOMEM;
        }
        r = w->pin ? pin(t, w, &p, reterr) : 0;
        if (r < 0)
                return r;
        *ret = p;
        p = (VmPlace){};
        return 0;
}

int vmplace_pins(const VmPlace *p, unsigned cpus, char **ret) {
        _cleanup_strv_ char **l = NULL;

        for (unsigned i = 0; i < cpus; i++)
                if (strv_extendf(&l, "%u", p->pins[i]) < 0)
                        return -ENOMEM;
        *ret = strv_join(l, ",");
        return *ret ? 0 : -ENOMEM;
}
