/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands in a label: whatever it is, one sample comes out, on one line, and its label reads back. */

#include "ini.h"
#include "metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of the quoted text; nothing in it is what the format does not have. */
static const char *end_of_label(const char *c) {
        for (; *c != '"'; c++) {
                assert((uint8_t) *c >= 0x20 && *c != 0x7f);
                if (*c == '\\') {
                        c++;
                        assert(*c == '\\' || *c == '"' || *c == 'n');
                }
        }
        return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *value = strndup((const char *) data, size), *text = NULL;
        _cleanup_(metrics_done) Metrics m = {};
        const char *end;

        assert(value);
        metrics_add(&m, "a", METRICS_LABELED({ "l", value }), 1);
        assert(metrics_text(&m, &text) == 0);
        assert(strncmp(text, "a{l=\"", 5) == 0);
        end = end_of_label(text + 5);
        assert(strcmp(end, "\"} 1\n") == 0);
        assert(ini_is_utf8(text, strlen(text)));
        return 0;
}
