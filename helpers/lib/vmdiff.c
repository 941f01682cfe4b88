/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <strings.h>

#include "fs.h"
#include "guestwish.h"
#include "imagesource.h"
#include "strv.h"
#include "vmdiff.h"
#include "vmtold.h"

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

/* By whatever name it has: "bookworm", "1.13.9". */
static int compare_release(Comparison *c, const VmDefined *d) {
        ImageKind kind = imagesource_kind_of(d->metadata.kind);
        VmKey key = kind == IMAGE_TALOS ? VMKEY_TALOS_VERSION : VMKEY_RELEASE;
        const char *is = vmdefined_release(d), *wanted = vmfile_value(c->f, key);
        const ImageRelease *release = wanted ? imagesource_release(kind, wanted) : NULL;

        if (!is || !wanted)
                return 0;
        if (streq(is, release ? release->version : wanted) ||
            (kind == IMAGE_TALOS && streq(is + (*is == 'v'), wanted + (*wanted == 'v'))))
                return 0;
        return add(c, key, VMCHANGE_ANEW, is, wanted);
}

/* Of a machine of before that was written down the image's own name alone is known. */
static int compare_image(Comparison *c, const Metadata *m, const VmFile *was) {
        const char *wanted = vmfile_value(c->f, VMKEY_IMAGE),
                   *is = vmfile_value(was, VMKEY_IMAGE) ?: m->image,
                   *slash = wanted ? strrchr(wanted, '/') : NULL;

        if (!wanted || !is || streq(is, wanted) || (!m->told && slash && streq(is, slash + 1)))
                return 0;
        return add(c, VMKEY_IMAGE, VMCHANGE_ANEW, is, wanted);
}

static int compare_system(Comparison *c, const VmDefined *d, const VmFile *was) {
        int r;

        r = compare_word(c, VMKEY_KIND, VMCHANGE_ANEW, d->metadata.kind);
        if (r >= 0)
                r = compare_word(c, VMKEY_DESCRIPTION, VMCHANGE_RESTART, d->description);
        if (r >= 0)
                r = compare_release(c, d);
        if (r >= 0)
                r = compare_image(c, &d->metadata, was);
        if (r >= 0 && streq(d->metadata.kind, "ubuntu"))
                r = compare_flag(c, VMKEY_SERVER, VMCHANGE_ANEW, !d->screen);
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

        /* An address of its own is written down in the guest, and is none of another network. */
        r = compare_word(c, VMKEY_NETWORK, m->address ? VMCHANGE_ANEW : VMCHANGE_RESTART, d->network);
        if (r >= 0) /* its guest knows its interface by that, and would not know another one */
                r = compare_word(c, VMKEY_MAC, VMCHANGE_ANEW, d->mac);
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

/* A file's path means something from everywhere only if it is absolute. */
static int compare_rom(Comparison *c, const VmDefined *d) {
        const char *wanted = vmfile_value(c->f, VMKEY_ROM);

        if (!wanted || !d->rom || streq(wanted, d->rom) ||
            !(*wanted == '/' || streq(wanted, "on") || streq(wanted, "off")))
                return 0;
        return add(c, VMKEY_ROM, VMCHANGE_RESTART, d->rom, wanted);
}

/* What stands for a key of the guest's that nobody asked for. */
static const char *standard(const Metadata *m, VmKey k) {
        const GuestWish w = { .llm = streq(m->kind, "llm"), .gpu = m->gpus || m->gpu_wish };

        if (k == VMKEY_ENGINE)
                return guest_engine_to_string(guestwish_engine(&w));
        if (k == VMKEY_CUDA_TOOLKIT)
                return guestwish_toolkit(&w) ?: "no";
        for (GuestKey g = 0; g < _GUEST_KEY_MAX; g++)
                if (streq_ptr(vmkey_rows[k].option, guestwish_option(g)))
                        return guestwish_value(&w, g);
        return NULL;
}

/* As it was when the machine was made, which is what its guest was told. */
static int compare_told(Comparison *c, const Metadata *m, const VmFile *was, VmKey k) {
        const char *is = vmfile_value(was, k) ?: standard(m, k);
        _cleanup_free_ char *old = NULL, *new = NULL;

        if (vmkey_rows[k].type == VMKEY_FLAG)
                return compare_flag(c, k, VMCHANGE_ANEW, vmfile_flag(was, k));
        if (vmkey_rows[k].type < VMKEY_WORDS)
                return streq_ptr(is, vmfile_value(c->f, k))
                                ? 0
                                : add(c, k, VMCHANGE_ANEW, is, vmfile_value(c->f, k));
        if (is_same_set(was->values[k], c->f->values[k]))
                return 0;
        old = was->values[k] ? strv_join(was->values[k], " ") : strdup("none");
        new = strv_join(c->f->values[k], " ");
        return old && new ? add(c, k, VMCHANGE_ANEW, old, new) : -ENOMEM;
}

static int compare_all_told(Comparison *c, const Metadata *m, const VmFile *was) {
        int r = 0;

        for (VmKey k = 0; k < _VMKEY_MAX && r >= 0; k++)
                if (c->f->values[k] && vmtold_has(k) && k != VMKEY_IMAGE)
                        r = compare_told(c, m, was, k);
        return r;
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
        _cleanup_(vmfile_done) VmFile was = {};
        Comparison c = { .f = f };
        int r;

        r = vmtold_read(d->metadata.told, &was);
        if (r >= 0)
                r = compare_system(&c, d, &was);
        if (r >= 0)
                r = compare_size(&c, wanted, d);
        if (r >= 0)
                r = compare_gpus(&c, gpus, d);
        if (r >= 0)
                r = compare_rom(&c, d);
        if (r >= 0)
                r = compare_network(&c, d);
        if (r >= 0)
                r = compare_store(&c, d);
        if (r >= 0 && d->metadata.told)
                r = compare_all_told(&c, &d->metadata, &was);
        if (r < 0) {
                vmdifferences_done(&c.l);
                return r;
        }
        *ret = c.l;
        return 0;
}
