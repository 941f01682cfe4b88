/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The record of a route: what is read is written the same. */

#include "route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *again = NULL;
        Route r, s;

        assert(text);
        if (route_parse(text, &r) < 0)
                return 0;
        assert(route_format(&r, &again) == 0);
        assert(route_parse(again, &s) == 0);
        assert(memcmp(&r, &s, sizeof(r)) == 0);
        return 0;
}
