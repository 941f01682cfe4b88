/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The record of a hand-over: what is read comes out as it went in, each function once, and no driver's name
 * leads out of the drivers' directory. */

#include "handover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *once = NULL, *twice = NULL;
        _cleanup_(handover_done) Handover h = {}, again = {};

        if (handover_parse(text, &h) < 0)
                return 0;
        for (size_t i = 0; i < h.n; i++) {
                const char *driver = strempty(h.list[i].driver);

                check(handover_find(&h, h.list[i].bdf) == &h.list[i]);
                check(!strchr(driver, '/') && !streq(driver, ".."));
        }
        check(handover_format(&h, &once) == 0 && handover_parse(once, &again) == 0);
        check(handover_format(&again, &twice) == 0 && streq(once, twice) && again.n == h.n);
        return 0;
}
