/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "claims.h"
#include "cmdline.h"
#include "fs.h"
#include "strv.h"

#define DRIVERCTL "/etc/driverctl.d"

void claims_done(Claims *c) {
        for (size_t i = 0; i < c->n; i++) {
                free(c->items[i].source);
                free(c->items[i].what);
                free(c->items[i].driver);
        }
        free(c->items);
        *c = (Claims){};
}

static int add(Claims *c, const char *source, const char *what, const char *driver) {
        Claim *t = reallocarray(c->items, c->n + 1, sizeof(*t));
        Claim n = {};

        if (!t)
                return -ENOMEM;
        c->items = t;
        n.source = strdup(source);
        n.what = strdup(what);
        n.driver = strdup(driver);
        t[c->n++] = n;
        return n.source && n.what && n.driver ? 0 : -ENOMEM;
}

/* One file per device, "pci-0000:01:00.0", with the driver's name in it. */
static int read_driverctl(int root, Claims *c) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, DRIVERCTL, &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL, *driver = NULL;
                const char *address = startswith(*n, "pci-");

                if (!address)
                        continue;
                r = str_printf(&path, DRIVERCTL "/%s", *n);
                if (r >= 0)
                        r = fs_read_line(root, path, &driver);
                if (r >= 0)
                        r = add(c, path, address, driver);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}

/* "options vfio-pci ... ids=10de:2684,10de:22ba ..." */
static int read_options(const char *path, const char *line, Claims *c) {
        _cleanup_strv_ char **words = NULL;
        int r;

        r = strv_split(line, " \t", &words);
        if (r < 0 || strv_length(words) < 3 || !streq(words[0], "options") ||
            !(streq(words[1], "vfio-pci") || streq(words[1], "vfio_pci")))
                return r;
        STRV_FOREACH(w, words + 2) {
                const char *ids = startswith(*w, "ids=");

                if (isempty(ids))
                        continue;
                r = add(c, path, ids, "vfio-pci");
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_modprobe(int root, const char *dir, Claims *c) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, dir, &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL, *text = NULL;
                _cleanup_strv_ char **lines = NULL;

                if (!endswith(*n, ".conf"))
                        continue;
                if (str_printf(&path, "%s/%s", dir, *n) < 0)
                        return -ENOMEM;
                r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
                if (r >= 0)
                        r = strv_split(text, "\n", &lines);
                STRV_FOREACH(l, lines)
                        if (r >= 0)
                                r = read_options(path, *l, c);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}

int claims_read(int root, char *const *cmdline, Claims *ret) {
        static const char *const dirs[] = { "/etc/modprobe.d", "/run/modprobe.d",
                                            "/usr/local/lib/modprobe.d" };
        _cleanup_(claims_done) Claims c = {};
        const char *ids;
        int r;

        r = read_driverctl(root, &c);
        for (size_t i = 0; i < ELEMENTSOF(dirs) && r >= 0; i++)
                r = read_modprobe(root, dirs[i], &c);
        ids = cmdline ? cmdline_get(cmdline, "vfio-pci.ids") : NULL;
        if (r >= 0 && !isempty(ids))
                r = add(&c, "the kernel command line", ids, "vfio-pci");
        if (r < 0)
                return r;
        *ret = c;
        c = (Claims){};
        return 0;
}

/* "10de:2684,10de:22ba:1458:1458": vendor and device of each, subsystem and class where somebody cares. */
static bool lists_ids(const char *what, const PciDevice *d) {
        char id[sizeof("10de:2684")];

        (void) snprintf(id, sizeof(id), "%04x:%04x", (unsigned) d->vendor, (unsigned) d->device);
        for (const char *w = what; *w; w += strcspn(w, ","), w += *w == ',')
                if (strncasecmp(w, id, strlen(id)) == 0 && strchr(":, ", w[strlen(id)]))
                        return true;
        return false;
}

int claims_on_vfio(int root, const PciDevice *d) {
        _cleanup_strv_ char **cmdline = NULL;
        _cleanup_(claims_done) Claims c = {};
        int r;

        r = cmdline_read(root, &cmdline);
        if (r >= 0 || r == -ENOENT)
                r = claims_read(root, cmdline, &c);
        for (size_t i = 0; i < c.n && r == 0; i++)
                r = startswith(c.items[i].driver, "vfio") &&
                                (streq(c.items[i].what, d->name) || lists_ids(c.items[i].what, d));
        return r;
}
