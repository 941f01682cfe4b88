/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Apt's sources in both forms; what is added can be read again, and then nothing is missing. */

#include "aptsource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_text(const char *text, bool deb822) {
        static const char *const wanted[] = { "contrib", "non-free", NULL };
        _cleanup_(aptsources_done) AptSources l = {};
        _cleanup_free_ char *more = NULL, *again = NULL;

        check(aptsources_parse(&l, text, deb822) == 0);
        for (size_t i = 0; i < l.n; i++) {
                check(l.items[i].uris && l.items[i].suites);
                check(aptsources_have_uri(&l, l.items[i].uris[0]));
        }
        if (aptsources_add_components(&l, "bookworm", wanted, &more) <= 0)
                return;
        check(aptsources_parse(&l, more, true) == 0);
        check(aptsources_add_components(&l, "bookworm", wanted, &again) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        check_text(text, false);
        check_text(text, true);
        return 0;
}
