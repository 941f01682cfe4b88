/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "handover.h"
#include "fs.h"
#include "parse.h"
#include "phase.h"
#include "strv.h"

/* A line is "ADDRESS DRIVER OVERRIDE", "-" for none; the override is the rest of the line. After them, for
 * what is so, "d3cold ADDRESS", "persistent ADDRESS", "drained ADDRESS" and "host ADDRESS", and "card ADDRESS
 * NUMBER". */

static void function_done(HandoverFunction *f) {
        free(f->driver);
        free(f->override);
        *f = (HandoverFunction){};
}

void handover_done(Handover *h) {
        for (size_t i = 0; i < h->n; i++)
                function_done(&h->list[i]);
        free(h->list);
        *h = (Handover){};
}

static int file_path(Bdf owner, char **ret) {
        char address[BDF_STRING_MAX];

        return str_printf(ret, RUN_DIR "/vfio/%s", bdf_format(owner, address));
}

HandoverFunction *handover_find(const Handover *h, Bdf bdf) {
        for (size_t i = 0; i < h->n; i++)
                if (bdf_compare(h->list[i].bdf, bdf) == 0)
                        return &h->list[i];
        return NULL;
}

/* Takes it over, unless there is one for the function. */
static int append(Handover *h, HandoverFunction *f) {
        HandoverFunction *t;

        if (handover_find(h, f->bdf))
                return 0;
        t = reallocarray(h->list, h->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        h->list = t;
        t[h->n++] = *f;
        *f = (HandoverFunction){};
        return 1;
}

int handover_add(Handover *h, Bdf bdf, const char *driver, const char *override) {
        _cleanup_(function_done) HandoverFunction f = { .bdf = bdf };

        if (free_and_strdup(&f.driver, driver) < 0 || free_and_strdup(&f.override, override) < 0)
                return -ENOMEM;
        return append(h, &f);
}

static int parse_function(Handover *h, const char *line) {
        const char *driver = strchr(line, ' '), *override = driver ? strchr(driver + 1, ' ') : NULL;
        _cleanup_free_ char *address = NULL, *name = NULL;
        Bdf bdf;
        int r;

        if (!override)
                return -EBADMSG;
        address = strndup(line, (size_t) (driver - line));
        name = strndup(driver + 1, (size_t) (override - driver - 1));
        if (!address || !name)
                return -ENOMEM;
        override++;
        /* A driver's name becomes part of a path. */
        if (bdf_parse(address, &bdf) < 0 || isempty(name) || isempty(override) || strchr(name, '/') ||
            streq(name, ".."))
                return -EBADMSG;
        r = handover_add(h, bdf, streq(name, "-") ? NULL : name, streq(override, "-") ? NULL : override);
        return r < 0 ? r : 0;
}

/* What a mark is called, and where it is. */
static bool *find_mark(HandoverFunction *f, size_t i, const char **ret_name) {
        const struct {
                const char *name;
                bool *mark;
        } marks[] = {
                { "d3cold ", &f->d3cold },
                { "persistent ", &f->persistent },
                { "drained ", &f->drained },
                { "host ", &f->host },
        };

        if (i >= ELEMENTSOF(marks))
                return NULL;
        *ret_name = marks[i].name;
        return marks[i].mark;
}

/* "ADDRESS NUMBER" */
static int parse_card(Handover *h, const char *value) {
        _cleanup_free_ char *address = strndup(value, strcspn(value, " "));
        const char *number = value + strcspn(value, " ");
        HandoverFunction *f;
        Bdf bdf;

        if (!address)
                return -ENOMEM;
        f = bdf_parse(address, &bdf) < 0 ? NULL : handover_find(h, bdf);
        return f && *number && parse_u64(number + 1, &f->card) >= 0 ? 0 : -EBADMSG;
}

static int parse_line(Handover *h, const char *line) {
        HandoverFunction none = {}, *f;
        const char *name, *address = startswith(line, "card ");
        Bdf bdf;

        if (address)
                return parse_card(h, address);

        for (size_t i = 0; find_mark(&none, i, &name); i++) {
                address = startswith(line, name);
                if (!address)
                        continue;
                f = bdf_parse(address, &bdf) < 0 ? NULL : handover_find(h, bdf);
                if (!f)
                        return -EBADMSG;
                *find_mark(f, i, &name) = true;
                return 0;
        }
        return parse_function(h, line);
}

int handover_parse(const char *text, Handover *ret) {
        _cleanup_(handover_done) Handover h = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(line, lines) {
                if (r >= 0)
                        r = parse_line(&h, *line);
        }
        if (r < 0)
                return r;
        *ret = h;
        h = (Handover){};
        return 0;
}

int handover_load(int root, Bdf owner, Handover *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = file_path(owner, &path);
        if (r >= 0)
                r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        return handover_parse(strempty(text), ret);
}

static int format_function(const HandoverFunction *f, char ***l) {
        char address[BDF_STRING_MAX];

        return strv_extendf(l, "%s %s %s\n", bdf_format(f->bdf, address), f->driver ?: "-",
                            f->override ?: "-");
}

static int format_marks(HandoverFunction *f, char ***l) {
        char address[BDF_STRING_MAX];
        const char *name;
        const bool *mark;

        (void) bdf_format(f->bdf, address);
        for (size_t i = 0; (mark = find_mark(f, i, &name)); i++) {
                int r = *mark ? strv_extendf(l, "%s%s\n", name, address) : 0;

                if (r < 0)
                        return r;
        }
        return f->card ? strv_extendf(l, "card %s %llu\n", address, (unsigned long long) f->card) : 0;
}

int handover_format(const Handover *h, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        int r = 0;

        for (size_t i = 0; i < h->n && r >= 0; i++)
                r = format_function(&h->list[i], &lines);
        for (size_t i = 0; i < h->n && r >= 0; i++)
                r = format_marks(&h->list[i], &lines);
        if (r < 0)
                return r;
        *ret = strv_join(lines, "");
        return *ret ? 0 : -ENOMEM;
}

int handover_save(int root, Bdf owner, const Handover *h) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = handover_format(h, &text);
        if (r >= 0)
                r = file_path(owner, &path);
        return r < 0 ? r : fs_write_atomic(root, path, text, strlen(text), 0644);
}

int handover_remove(int root, Bdf owner) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = file_path(owner, &path);
        if (r >= 0)
                r = fs_remove(root, path);
        return r < 0 ? r : 0;
}

/* True if the line is about the card that is there now, or nobody knows. */
static bool is_same_card(int root, const PciDevice *d, const HandoverFunction *f) {
        uint64_t now;

        return f->card == 0 || pci_read_presence(root, d, &now) < 0 || now == f->card;
}

static const PciDevice *find_device(const PciDevice *const *devices, size_t n, Bdf bdf) {
        for (size_t i = 0; i < n; i++)
                if (bdf_compare(devices[i]->bdf, bdf) == 0)
                        return devices[i];
        return NULL;
}

int handover_gather(int root, const PciDevice *const *devices, size_t n, Handover *ret) {
        _cleanup_(handover_done) Handover all = {};
        bool bad = false;

        for (size_t i = 0; i < n; i++) {
                _cleanup_(handover_done) Handover one = {};
                int r = pci_is_display(devices[i]) ? handover_load(root, devices[i]->bdf, &one) : 0;

                bad = bad || r == -EBADMSG;
                for (size_t k = 0; k < one.n && r >= 0; k++) {
                        const PciDevice *d = find_device(devices, n, one.list[k].bdf);

                        if (d && is_same_card(root, d, &one.list[k]))
                                r = append(&all, &one.list[k]);
                }
                if (r < 0 && r != -EBADMSG)
                        return r;
        }
        *ret = all;
        all = (Handover){};
        return bad;
}

int handover_remove_all(int root, const PciDevice *const *devices, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                if (pci_is_display(devices[i]))
                        r = handover_remove(root, devices[i]->bdf);
        return r;
}

/* Moves to ret what is about cards that are there still. ret_gpu: the first GPU of them; else as it is. */
static int take_present(int root, Handover *h, Handover *ret, Bdf *ret_gpu) {
        _cleanup_close_ int all = pci_open(root);
        bool found = false;

        for (size_t i = 0; i < h->n && all >= 0; i++) {
                _cleanup_(pci_device_done) PciDevice d = { .bdf = h->list[i].bdf };
                int r = pci_read_brief(root, all, &d);

                if (r > 0 && is_same_card(root, &d, &h->list[i])) {
                        if (!found && pci_is_display(&d))
                                *ret_gpu = d.bdf;
                        found = found || pci_is_display(&d);
                        r = append(ret, &h->list[i]);
                }
                if (r < 0)
                        return r;
        }
        return all == -ENOENT ? 0 : MIN(all, 0);
}

int handover_forget_gone(int root, Bdf gone) {
        _cleanup_(handover_done) Handover before = {}, rest = {}, there = {};
        Bdf name = gone;
        int r;

        r = handover_load(root, gone, &before);
        if (r == -EBADMSG || (r >= 0 && before.n == 0))
                return handover_remove(root, gone);
        if (r >= 0)
                r = take_present(root, &before, &rest, &name);
        if (r >= 0 && rest.n > 0 && bdf_compare(name, gone) != 0)
                r = handover_load(root, name, &there);
        for (size_t i = 0; i < there.n && r >= 0; i++)
                r = append(&rest, &there.list[i]);
        if (r >= 0 && rest.n > 0)
                r = handover_save(root, name, &rest);
        return r < 0 || (rest.n > 0 && bdf_compare(name, gone) == 0) ? r : handover_remove(root, gone);
}
