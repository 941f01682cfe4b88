/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* dpkg's status file: entries are sorted, have names, and each is found by its own; what is missing is not
 * what is installed. */

#include "dpkg.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(dpkg_done) DpkgStatus s = {};
        bool broken = false;

        check(dpkg_parse((const char *) data, size, &s) == 0);
        for (size_t i = 0; i < s.n; i++) {
                const char *const wanted[] = { s.packages[i].name, NULL };
                _cleanup_strv_ char **missing = NULL;
                const DpkgPackage *p = dpkg_find(&s, s.packages[i].name);

                check(*s.packages[i].name);
                check(i == 0 || strcmp(s.packages[i - 1].name, s.packages[i].name) <= 0);
                check(p && streq(p->name, s.packages[i].name) && p->state >= s.packages[i].state);
                check(dpkg_missing(&s, wanted, &missing) == 0);
                check(!missing == (p->state == PACKAGE_INSTALLED));
                broken |= s.packages[i].state == PACKAGE_BROKEN;
        }
        check(broken == s.broken);
        return 0;
}
