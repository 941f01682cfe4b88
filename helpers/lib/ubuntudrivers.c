/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ubuntudrivers.h"

enum { BRANCH_DIGITS = 3 };

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyz0123456789.+-"
#define PROVIDED   "(kernel modules provided by "

/* "580-server-open" and what follows. Returns where it ends, or NULL. */
static const char *eat_variant(const char *s, UbuntuDriver *d) {
        const char *t;

        if (strspn(s, "0123456789") != BRANCH_DIGITS)
                return NULL;
        for (d->branch = 0; s[0] >= '0' && s[0] <= '9'; s++)
                d->branch = d->branch * 10 + (unsigned) (*s - '0');
        if ((t = startswith(s, "-server"))) {
                d->server = true;
                s = t;
        }
        if ((t = startswith(s, "-open"))) {
                d->open = true;
                s = t;
        }
        return s;
}

/* Modules of another branch or variant would not go with the libraries. */
static bool same_variant(const UbuntuDriver *d, const char *package) {
        const char *s = startswith(package, "linux-modules-nvidia-");
        UbuntuDriver other = {};

        s = s ? eat_variant(s, &other) : NULL;
        return s && s[0] == '-' && s[1] && other.branch == d->branch && other.server == d->server &&
                        other.open == d->open;
}

static int parse_modules(const char *rest, UbuntuDriver *d) {
        const char *s = strstr(rest, PROVIDED);
        _cleanup_free_ char *name = NULL;

        if (!s)
                return 0;
        s += strlen(PROVIDED);
        name = strndup(s, strspn(s, NAME_BYTES));
        if (!name)
                return -ENOMEM;
        if (s[strlen(name)] == ')' && same_variant(d, name))
                d->modules = TAKE_PTR(name);
        return 0;
}

int ubuntu_drivers_add_line(UbuntuDrivers *l, const char *line) {
        const char *s = startswith(line, "nvidia-driver-") ?: startswith(line, "nvidia-headless-no-dkms-");
        UbuntuDriver d = {}, *t;
        int r;

        s = s ? eat_variant(s, &d) : NULL;
        if (!s || (*s && *s != ',' && *s != ' '))
                return 0;
        t = reallocarray(l->items, l->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        l->items = t;
        r = parse_modules(s, &d);
        if (r < 0)
                return r;
        l->items[l->n++] = d;
        return 1;
}

void ubuntu_drivers_done(UbuntuDrivers *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i].modules);
        free(l->items);
        *l = (UbuntuDrivers){};
}
