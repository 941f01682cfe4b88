/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <strings.h>

#include "fs.h"
#include "strv.h"
#include "vmdiff.h"

#define GIB (UINT64_C(1) << 30)

VmWish vmdiff_wish(const VmFile *f) {
        return (VmWish){
                .kind = vmfile_value(f, VMKEY_KIND),
                .name = f->name,
                .cpus = vmfile_value(f, VMKEY_CPUS),
                .memory = vmfile_value(f, VMKEY_MEMORY),
                .disk = vmfile_value(f, VMKEY_DISK),
                .ip = vmfile_value(f, VMKEY_ADDRESS),
                .gateway = vmfile_value(f, VMKEY_GATEWAY),
                .mac = vmfile_value(f, VMKEY_MAC),
                .network = vmfile_value(f, VMKEY_NETWORK),
                .hugepages = vmfile_value(f, VMKEY_HUGEPAGES),
                .server = vmfile_flag(f, VMKEY_SERVER),
                .pin = vmfile_flag(f, VMKEY_PIN),
        };
}

const char *vmchange_to_string(VmChange c) {
        static const char *const names[] = { [VMCHANGE_NOW] = "now",
                                             [VMCHANGE_RESTART] = "restart",
                                             [VMCHANGE_ANEW] = "anew" };

        return (size_t) c < ELEMENTSOF(names) ? names[c] : NULL;
}

void vmdifferences_done(VmDifferences *l) {
        for (size_t i = 0; i < l->n; i++) {
                free(l->items[i].is);
                free(l->items[i].wanted);
        }
        l->n = 0;
}

typedef struct Comparison {
        const VmFile *f;
        VmDifferences l;
} Comparison;

static int add(Comparison *c, VmKey key, VmChange how, const char *is, const char *wanted) {
        VmDifference d = { .key = key,
                           .is = strdup(is ?: "none"),
                           .wanted = strdup(wanted ?: "none"),
                           .how = how };

        c->l.items[c->l.n++] = d;
        return d.is && d.wanted ? 0 : -ENOMEM;
}

static int compare_text(Comparison *c, VmKey key, VmChange how, const char *is, const char *wanted) {
        if (!vmfile_value(c->f, key) || strcasecmp(strempty(is), strempty(wanted)) == 0)
                return 0;
        return add(c, key, how, is, wanted);
}

static int compare_word(Comparison *c, VmKey key, VmChange how, const char *is) {
        return compare_text(c, key, how, is, vmfile_value(c->f, key));
}

static int compare_number(Comparison *c, VmKey key, VmChange how, uint64_t is, uint64_t wanted,
                          const char *unit) {
        char a[32], b[32];

        if (!vmfile_value(c->f, key) || is == wanted)
                return 0;
        (void) snprintf(a, sizeof(a), "%" PRIu64 "%s", is, unit);
        (void) snprintf(b, sizeof(b), "%" PRIu64 "%s", wanted, unit);
        return add(c, key, how, a, b);
}

static int compare_flag(Comparison *c, VmKey key, VmChange how, bool is) {
        bool wanted = vmfile_flag(c->f, key);

        return compare_text(c, key, how, is ? "yes" : "no", wanted ? "yes" : "no");
}

static const char *page_name(uint64_t kib) {
        return kib == 0 ? "none" : kib == 2048 ? "2M" : kib == 1048576 ? "1G" : "other";
}

static int compare_size(Comparison *c, const VmPlan *p, const VmDefined *d) {
        int r;

        /* Where its CPUs and its memory are was chosen when it was made. */
        r = compare_number(c, VMKEY_CPUS, d->pinned ? VMCHANGE_ANEW : VMCHANGE_RESTART, d->cpus, p->cpus, "");
        if (r >= 0)
                r = compare_number(c, VMKEY_MEMORY, VMCHANGE_RESTART, d->memory / 1024, p->memory / 1024,
                                   " MiB");
        if (r >= 0 && d->disk > 0)
                r = compare_number(c, VMKEY_DISK, p->disk > d->disk ? VMCHANGE_NOW : VMCHANGE_ANEW,
                                   d->disk / GIB, p->disk / GIB, " GiB");
        if (r >= 0)
                r = compare_text(c, VMKEY_HUGEPAGES, VMCHANGE_RESTART, page_name(d->page),
                                 page_name(p->page));
        if (r >= 0)
                r = compare_flag(c, VMKEY_PIN, VMCHANGE_ANEW, d->pinned);
        return r;
}

static int compare_system(Comparison *c, const VmDefined *d) {
        const char *release = vmdefined_release(d);
        int r;

        r = compare_word(c, VMKEY_KIND, VMCHANGE_ANEW, d->metadata.kind);
        if (r >= 0)
                r = compare_word(c, VMKEY_DESCRIPTION, VMCHANGE_RESTART, d->description);
        if (r >= 0 && release)
                r = compare_word(c, VMKEY_RELEASE, VMCHANGE_ANEW, release);
        if (r >= 0)
                r = compare_word(c, VMKEY_FIRMWARE, VMCHANGE_ANEW, d->bios ? "bios" : "uefi");
        return r;
}

/* A file may leave its prefix length to the host's network. */
static int compare_address(Comparison *c, const char *address) {
        const char *wanted = vmfile_value(c->f, VMKEY_ADDRESS),
                   *rest = wanted && address ? startswith(address, wanted) : NULL;

        return rest && *rest == '/' ? 0 : compare_word(c, VMKEY_ADDRESS, VMCHANGE_ANEW, address);
}

static int compare_network(Comparison *c, const VmDefined *d) {
        const Metadata *m = &d->metadata;
        int r;

        r = compare_word(c, VMKEY_NETWORK, VMCHANGE_RESTART, d->network);
        if (r >= 0)
                r = compare_word(c, VMKEY_MAC, VMCHANGE_RESTART, d->mac);
        if (r >= 0)
                r = compare_address(c, m->address);
        if (r >= 0)
                r = compare_word(c, VMKEY_GATEWAY, VMCHANGE_ANEW, m->gateway);
        return r < 0 ? r : compare_word(c, VMKEY_USER, VMCHANGE_ANEW, m->user);
}

/* Its guest was set up with it, or without. Paths have capitals. */
static int compare_store(Comparison *c, const VmDefined *d) {
        const char *wanted = vmfile_value(c->f, VMKEY_MODEL_STORE);

        return !wanted || streq_ptr(wanted, d->store)
                        ? 0
                        : add(c, VMKEY_MODEL_STORE, VMCHANGE_ANEW, d->store, wanted);
}

static bool is_same_set(char *const *a, char *const *b) {
        STRV_FOREACH(i, a)
                if (!strv_contains(b, *i))
                        return false;
        STRV_FOREACH(i, b)
                if (!strv_contains(a, *i))
                        return false;
        return true;
}

static char *gpus_text(const char *wish, char *const *gpus) {
        return wish ? strdup(wish) : gpus && *gpus ? strv_join(gpus, " ") : strdup("none");
}

/* What is asked for by number or model is chosen when it starts; what is named can be moved now. */
static int compare_gpus(Comparison *c, char *const *gpus, const VmDefined *d) {
        _cleanup_free_ char *is = NULL, *wanted = NULL, *wish = NULL;
        const Metadata *m = &d->metadata;
        int r = vmfile_gpu_wish(c->f, &wish);

        if (r < 0 || (!wish && !gpus))
                return r;
        if (wish ? streq_ptr(wish, m->gpu_wish) && !m->gpus : !m->gpu_wish && is_same_set(gpus, m->gpus))
                return 0;
        is = gpus_text(m->gpu_wish, m->gpus);
        wanted = gpus_text(wish, gpus);
        if (!is || !wanted)
                return -ENOMEM;
        return add(c, VMKEY_GPU, m->gpus || (gpus && *gpus) ? VMCHANGE_NOW : VMCHANGE_RESTART, is, wanted);
}

int vmdiff(const VmFile *f, const VmPlan *wanted, char *const *gpus, const VmDefined *d, VmDifferences *ret) {
        Comparison c = { .f = f };
        int r;

        r = compare_system(&c, d);
        if (r >= 0)
                r = compare_size(&c, wanted, d);
        if (r >= 0)
                r = compare_gpus(&c, gpus, d);
        if (r >= 0)
                r = compare_network(&c, d);
        if (r >= 0)
                r = compare_store(&c, d);
        if (r < 0) {
                vmdifferences_done(&c.l);
                return r;
        }
        *ret = c.l;
        return 0;
}
