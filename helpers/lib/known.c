/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "known.h"
#include "confkey.h"
#include "fs.h"
#include "parse.h"

/* A line per card, "ADDRESS VENDOR:DEVICE SUBVENDOR:SUBDEVICE PATH SECTION" ("-" for no section), between the
 * first and the last. */
#define HEAD "gpuvm-gpus 1"
#define TAIL "end"

enum { KNOWN_MAX = 1024, N_WORDS = 5 };

void known_done(Known *k) {
        for (size_t i = 0; i < k->n; i++) {
                free(k->items[i].card.path);
                free(k->items[i].section);
        }
        free(k->items);
        *k = (Known){};
}

static int add(Known *k, const PciDevice *d, const char *section) {
        KnownGpu *t, g = {};

        t = reallocarray(k->items, k->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        k->items = t;
        g.card = (PciDevice){
                .bdf = d->bdf,
                .vendor = d->vendor,
                .device = d->device,
                .subsystem_vendor = d->subsystem_vendor,
                .subsystem_device = d->subsystem_device,
        };
        (void) bdf_format(d->bdf, g.card.name);
        if (free_and_strdup(&g.card.path, d->path) < 0 || free_and_strdup(&g.section, section) < 0) {
                free(g.card.path);
                return -ENOMEM;
        }
        k->items[k->n++] = g;
        return 0;
}

/* "10de:2684" */
static int parse_ids(const char *s, uint16_t *ret_vendor, uint16_t *ret_device) {
        uint64_t vendor, device;
        char first[5];

        if (strlen(s) != strlen("10de:2684") || s[4] != ':' || strspn(s, "0123456789abcdef:") != strlen(s))
                return -EBADMSG;
        memcpy(first, s, 4);
        first[4] = '\0';
        if (parse_hex(first, UINT16_MAX, &vendor) < 0 || parse_hex(s + 5, UINT16_MAX, &device) < 0)
                return -EBADMSG;
        *ret_vendor = (uint16_t) vendor;
        *ret_device = (uint16_t) device;
        return 0;
}

static int parse_card(const char *line, Known *k) {
        _cleanup_free_ char *section = NULL, *path = NULL;
        _cleanup_strv_ char **words = NULL;
        PciDevice d = {};
        int r;

        r = strv_split(line, " ", &words);
        if (r < 0)
                return r;
        if (strv_length(words) != N_WORDS || bdf_parse(words[0], &d.bdf) < 0 ||
            parse_ids(words[1], &d.vendor, &d.device) < 0 ||
            parse_ids(words[2], &d.subsystem_vendor, &d.subsystem_device) < 0)
                return -EBADMSG;
        /* As a header would have to be. */
        r = confkey_gpu_path(words[3], &path);
        if (r >= 0 && !startswith(path, "pci-"))
                r = -EINVAL;
        if (r >= 0 && !streq(words[4], "-"))
                r = confkey_gpu_path(words[4], &section);
        if (r < 0)
                return r == -EINVAL ? -EBADMSG : r;
        d.path = path;
        return add(k, &d, section);
}

int known_format(const Known *k, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_extend(&lines, HEAD "\n");
        for (size_t i = 0; i < k->n && r >= 0; i++) {
                const PciDevice *d = &k->items[i].card;

                r = strv_extendf(&lines, "%s %04x:%04x %04x:%04x %s %s\n", d->name, (unsigned) d->vendor,
                                 (unsigned) d->device, (unsigned) d->subsystem_vendor,
                                 (unsigned) d->subsystem_device, d->path, k->items[i].section ?: "-");
        }
        if (r >= 0)
                r = strv_extend(&lines, TAIL "\n");
        if (r < 0)
                return r;
        *ret = strv_join(lines, "");
        return *ret ? 0 : -ENOMEM;
}

int known_parse(const char *data, size_t size, Known *ret) {
        _cleanup_free_ char *text = strndup(data, size), *again = NULL;
        _cleanup_(known_done) Known k = {};
        _cleanup_strv_ char **lines = NULL;
        size_t n;
        int r;

        if (!text)
                return -ENOMEM;
        r = strv_split(text, "\n", &lines);
        n = strv_length(lines);
        if (r >= 0 && (n < 2 || n > KNOWN_MAX + 2 || !streq(lines[0], HEAD) || !streq(lines[n - 1], TAIL)))
                return -EBADMSG;
        for (size_t i = 1; i + 1 < n && r >= 0; i++)
                r = parse_card(lines[i], &k);
        if (r >= 0)
                r = known_format(&k, &again);
        if (r < 0)
                return r;
        if (strlen(again) != size || memcmp(again, data, size) != 0)
                return -EBADMSG;
        *ret = k;
        k = (Known){};
        return 0;
}

static const KnownGpu *find_section(const Known *k, const char *section) {
        for (size_t i = 0; i < k->n; i++)
                if (streq_ptr(k->items[i].section, section))
                        return &k->items[i];
        return NULL;
}

static const PciDevice *find_path(const PciBus *bus, const char *path) {
        for (size_t i = 0; i < bus->n; i++)
                if (streq_ptr(bus->devices[i].path, path))
                        return &bus->devices[i];
        return NULL;
}

static bool is_at_home(const PciBus *bus, const KnownGpu *g) {
        const PciDevice *d = find_path(bus, g->card.path);

        return d && pci_same_kind(d, &g->card);
}

/* It was there before, and is nothing that moved. */
static bool was_there(const Known *k, const PciDevice *d) {
        for (size_t i = 0; i < k->n; i++)
                if (streq_ptr(d->path, k->items[i].card.path) && pci_same_kind(&k->items[i].card, d))
                        return true;
        return false;
}

/* A card of that kind which can only be the one that moved: not there before, and no section of its own says
 * what it is. */
static bool is_newcomer(const Known *k, const Conf *c, const PciDevice *d, const KnownGpu *moved) {
        if (!pci_same_kind(d, &moved->card) || d->virtual_function || !d->path || was_there(k, d))
                return false;
        for (size_t i = 0; i < c->n_gpus; i++)
                if (!find_section(k, c->gpus[i].path) &&
                    (streq(c->gpus[i].path, d->path) || strcasecmp(c->gpus[i].path, d->name) == 0))
                        return false;
        return true;
}

/* How many sections look for a card of that kind. */
static size_t count_missing(const Known *k, const PciBus *bus, const Conf *c, const KnownGpu *moved) {
        size_t n = 0;

        for (size_t i = 0; i < c->n_gpus; i++) {
                const KnownGpu *g = find_section(k, c->gpus[i].path);

                n += g && pci_same_kind(&g->card, &moved->card) && !is_at_home(bus, g);
        }
        return n;
}

/* What would be another without the section: then it matters whom it is about. */
static bool matters(const Conf *c, const ConfGpu *s) {
        return s->accept_siblings || (s->mode_set && s->mode != c->gpu_mode);
}

/* The new card where the section points to, or NULL. */
static const PciDevice *find_usurper(const Known *k, const PciBus *bus, const ConfGpu *s, const KnownGpu *g) {
        const PciDevice *d = find_path(bus, g->card.path);
        Bdf b;

        if (!d && bdf_parse(s->path, &b) >= 0)
                d = pci_find(bus, b);
        return d && pci_is_display(d) && !was_there(k, d) ? d : NULL;
}

static int refuse(char ***refusals, const KnownGpu *g, const char *where, const char *why) {
        return strv_extendf(
                        refusals,
                        "[Gpu %s] was about the GPU %04x:%04x (subsystem %04x:%04x) in slot %s, which is not "
                        "there any more, and %s %s",
                        g->section, (unsigned) g->card.vendor, (unsigned) g->card.device,
                        (unsigned) g->card.subsystem_vendor, (unsigned) g->card.subsystem_device,
                        g->card.path, where, why);
}

/* The card is not where it was. */
static int follow_move(const Known *k, const PciBus *bus, Conf *c, ConfGpu *s, const KnownGpu *g,
                       char ***notes, char ***refusals) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *joined = NULL;
        const PciDevice *found = NULL;
        int r = 0;

        for (size_t i = 0; i < bus->n && r >= 0; i++)
                if (is_newcomer(k, c, &bus->devices[i], g)) {
                        found = &bus->devices[i];
                        r = strv_extendf(&names, "%s (%s)", found->name, found->path);
                }
        if (r >= 0 && strv_length(names) == 1 && count_missing(k, bus, c, g) == 1) {
                r = free_and_strdup(&s->card, found->path);
                return r < 0 ? r
                             : strv_extendf(notes,
                                            "The GPU of [Gpu %s] moved from slot %s and is %s now: write [Gpu %s] "
                                            "into gpuvm.conf",
                                            s->path, g->card.path, found->name, found->path);
        }
        joined = strv_join(names, " and ");
        if (r < 0 || !joined || free_and_strdup(&s->card, "") < 0)
                return r < 0 ? r : -ENOMEM;
        if (names)
                return matters(c, s) ? refuse(refusals, g, joined, "may be it") : 0;
        found = find_usurper(k, bus, s, g);
        if (found && matters(c, s))
                return refuse(refusals, g, found->name, "is another card");
        return strv_extendf(notes, "The GPU of [Gpu %s] is not in this machine now", s->path);
}

int known_resolve(const Known *k, const PciBus *bus, Conf *c, char ***ret_notes, char ***ret_refusals) {
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        int r = 0;

        for (size_t i = 0; i < c->n_gpus && r >= 0; i++) {
                ConfGpu *s = &c->gpus[i];
                const KnownGpu *g = find_section(k, s->path);
                const PciDevice *d = g ? find_path(bus, g->card.path) : NULL;

                if (!g)
                        continue;
                s->vendor = g->card.vendor;
                s->device = g->card.device;
                s->subsystem_vendor = g->card.subsystem_vendor;
                s->subsystem_device = g->card.subsystem_device;
                if (!is_at_home(bus, g)) {
                        r = follow_move(k, bus, c, s, g, &notes, &refusals);
                        continue;
                }
                r = free_and_strdup(&s->card, g->card.path);
                if (r >= 0 && !streq(s->path, d->path) && strcasecmp(s->path, d->name) != 0)
                        r = strv_extendf(
                                        &notes,
                                        "The GPU of [Gpu %s] has the address %s now: write [Gpu %s] into gpuvm.conf",
                                        s->path, d->name, d->path);
        }
        if (r < 0)
                return r;
        *ret_notes = TAKE_PTR(notes);
        *ret_refusals = TAKE_PTR(refusals);
        return 0;
}

/* One that makes no sense is as good as none. */
static int load(int root, Known *ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r;

        r = fs_read(root, KNOWN_PATH, FS_ATTR_MAX, &text, &size);
        if (r >= 0)
                r = known_parse(text, size, ret);
        return r == -ENOENT || r == -EBADMSG || r == -EFBIG ? 0 : r;
}

int known_apply(int root, Conf *c, char ***ret_notes, char ***ret_refusals) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_(known_done) Known k = {};
        int r;

        *ret_notes = *ret_refusals = NULL;
        if (c->n_gpus == 0)
                return 0;
        r = load(root, &k);
        if (r >= 0 && k.n > 0)
                r = pci_scan(root, &bus);
        return r < 0 || k.n == 0 ? r : known_resolve(&k, &bus, c, ret_notes, ret_refusals);
}

int known_follow(Phase *p, Conf *c) {
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        _cleanup_free_ char *joined = NULL;
        int r;

        r = known_apply(p->root, c, &notes, &refusals);
        if (r < 0)
                return phase_fail(p, r, "Make " KNOWN_PATH " and /sys/bus/pci readable",
                                  "Cannot tell which GPUs the sections of gpuvm.conf are about");
        STRV_FOREACH(n, notes)
                phase_note(p, "%s", *n);
        if (!refusals)
                return 0;
        joined = strv_join(refusals, "; ");
        return phase_fail(p, 0, KNOWN_REMEDY, "%s", strna(joined));
}

/* What the section means now, or NULL. */
static const PciDevice *find_meant(const PciBus *bus, const ConfGpu *s) {
        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];

                if (s->card ? streq_ptr(d->path, s->card)
                            : streq_ptr(d->path, s->path) || strcasecmp(d->name, s->path) == 0)
                        return d;
        }
        return NULL;
}

/* Each section with its card; one whose card is away keeps it, for it may come back. */
static int add_sections(Known *now, const Known *old, const PciBus *bus, const Conf *c) {
        int r = 0;

        for (size_t i = 0; i < c->n_gpus && r >= 0; i++) {
                const ConfGpu *s = &c->gpus[i];
                const PciDevice *d = find_meant(bus, s);
                const KnownGpu *g = find_section(old, s->path);

                if (d && d->path && pci_is_display(d))
                        r = add(now, d, s->path);
                else if (g)
                        r = add(now, &g->card, g->section);
        }
        return r;
}

/* The other GPUs: what was there before is nothing that moved. */
static int add_others(Known *now, const PciBus *bus) {
        int r = 0;

        for (size_t i = 0; i < bus->n && r >= 0; i++) {
                const PciDevice *d = &bus->devices[i];
                bool there = false;

                for (size_t k = 0; k < now->n && d->path; k++)
                        there = there || streq(now->items[k].card.path, d->path);
                if (pci_is_nvidia_gpu(d) && d->path && !there)
                        r = add(now, d, NULL);
        }
        return r;
}

int known_save(int root, const PciBus *bus, const Conf *c) {
        _cleanup_(known_done) Known old = {}, now = {};
        _cleanup_free_ char *text = NULL;
        int r;

        if (c->n_gpus == 0)
                return fs_remove(root, KNOWN_PATH);
        r = load(root, &old);
        if (r >= 0)
                r = add_sections(&now, &old, bus, c);
        if (r >= 0)
                r = add_others(&now, bus);
        if (r >= 0)
                r = known_format(&now, &text);
        return r < 0 ? r : fs_write_if_changed(root, KNOWN_PATH, text, strlen(text), 0644);
}
