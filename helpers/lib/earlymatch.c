/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "earlymatch.h"
#include "fs.h"
#include "strv.h"

#define ANY_DIGIT "[0-9a-f]"
#define ANY_BUS   ANY_DIGIT ANY_DIGIT

/* One hop below the root bus. In a domain of its own (first: that of the first hop) nothing but slot and
 * function is firm. */
static int match_hop(Bdf b, Bdf first, bool whole_slot, char **ret) {
        char function[] = "[0-7]", domain[9];
        _cleanup_free_ char *free_domain = NULL;
        _cleanup_strv_ char **digits = NULL;
        int r = 0;

        (void) snprintf(domain, sizeof(domain), "%04x", (unsigned) b.domain);
        for (size_t i = 0; b.domain != first.domain && i < strlen(domain) && r >= 0; i++)
                r = strv_extend(&digits, ANY_DIGIT);
        if (digits && r >= 0) {
                free_domain = strv_join(digits, "");
                r = free_domain ? 0 : -ENOMEM;
        }
        if (!whole_slot)
                (void) snprintf(function, sizeof(function), "%x", (unsigned) (b.function & 7));
        if (r >= 0)
                r = str_printf(ret, "/%s:" ANY_BUS ":%02x.%s", free_domain ?: domain, (unsigned) b.slot,
                               function);
        return r;
}

/* A component of the path that is no function: "pci10000:e0" below one is the root of another domain. */
static int match_other(const char *name, bool below, char **ret) {
        _cleanup_strv_ char **parts = NULL;
        const char *number = startswith(name, "pci");
        int r;

        /* What would be more than itself in a pattern, or in a rule at all. */
        if (strpbrk(name, "*?[]|\"\\$%"))
                return -EINVAL;
        if (!below || !number)
                return str_printf(ret, "/%s", name);
        r = strv_extend(&parts, "/pci");
        for (const char *c = number; *c && r >= 0; c++)
                r = strv_extend(&parts, *c == ':' ? ":" : ANY_DIGIT);
        if (r < 0)
                return r;
        *ret = strv_join(parts, "");
        return *ret ? 0 : -ENOMEM;
}

/* -EINVAL if the path is none that can be matched. */
static int match_path(const PciDevice *d, bool whole_slot, char **ret) {
        _cleanup_strv_ char **names = NULL, **pattern = NULL;
        _cleanup_free_ char *joined = NULL;
        Bdf first = {}, b;
        bool below = false;
        size_t n;
        int r;

        r = strv_split(strempty(d->devpath), "/", &names);
        n = strv_length(names);
        if (r >= 0 && (n < 2 || !streq(names[n - 1], d->name)))
                return -EINVAL;
        for (size_t i = 0; i < n && r >= 0; i++) {
                _cleanup_free_ char *part = NULL;
                bool last = i + 1 == n;

                if (bdf_parse(names[i], &b) < 0)
                        r = match_other(names[i], below, &part);
                else if (below)
                        r = match_hop(b, first, last && whole_slot, &part);
                else if (last && whole_slot)
                        r = str_printf(&part, "/%04x:%02x:%02x.[0-7]", (unsigned) b.domain, (unsigned) b.bus,
                                       (unsigned) b.slot);
                else
                        r = str_printf(&part, "/%s", names[i]);
                if (r >= 0 && !below && bdf_parse(names[i], &first) >= 0)
                        below = true;
                if (r >= 0)
                        r = strv_extend(&pattern, part);
        }
        if (r < 0)
                return r;
        joined = strv_join(pattern, "");
        return joined ? str_printf(ret, "DEVPATH==\"%s\"", joined) : -ENOMEM;
}

int earlymatch_function(const PciDevice *d, bool whole_slot, char **ret) {
        int r = match_path(d, whole_slot, ret);

        if (r != -EINVAL)
                return r;
        return whole_slot ? str_printf(ret, "KERNEL==\"%.*s[0-7]\"", (int) strlen(d->name) - 1, d->name)
                          : str_printf(ret, "KERNEL==\"%s\"", d->name);
}

int earlymatch_section(const char *name, char **ret) {
        const char *below = startswith(name, "pci-");
        _cleanup_strv_ char **hops = NULL;
        _cleanup_free_ char *devpath = NULL;
        PciDevice d = {};
        Bdf b = {};
        int r;

        r = strv_split(below ?: name, "/", &hops);
        if (r < 0 || !hops)
                return r;
        if (bdf_parse(hops[0], &b) < 0)
                return 0;
        if (below)
                r = str_printf(&devpath, "/devices/pci%04x:%02x/%s", (unsigned) b.domain, (unsigned) b.bus,
                               hops[0]);
        for (size_t i = 1; i < strv_length(hops) && r >= 0; i++) {
                _cleanup_free_ char *above = TAKE_PTR(devpath), *hop = NULL;

                r = str_printf(&hop, "%04x:00:%s", (unsigned) b.domain, hops[i]);
                if (r >= 0 && bdf_parse(hop, &b) < 0)
                        return 0;
                if (r >= 0)
                        r = str_printf(&devpath, "%s/%s", above, hop);
        }
        d.devpath = devpath;
        (void) bdf_format(b, d.name);
        return r < 0 ? r : earlymatch_function(&d, true, ret);
}
