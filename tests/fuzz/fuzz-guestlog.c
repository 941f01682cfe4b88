/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a guest writes on its serial console: whatever it is, a line for the journal is text, has an end, and
 * obeys nothing. */

#include "guestlog.h"
#include "ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *line, void *userdata) {
        size_t n = strlen(line);

        (void) userdata;
        assert(n > 0 && n <= GUESTLINE_MAX);
        assert(ini_is_utf8(line, n));
        for (size_t i = 0; i < n; i++) {
                assert((uint8_t) line[i] >= 0x20 || line[i] == '\t');
                assert(line[i] != 0x7f);
                assert((uint8_t) line[i] != 0xc2 || (uint8_t) line[i + 1] >= 0xa0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        GuestLines whole = {}, single = {};

        guestlines_feed(&whole, (const char *) data, size, 1, check, NULL);
        for (size_t i = 0; i < size; i++)
                guestlines_feed(&single, (const char *) data + i, 1, i, check, NULL);
        assert(whole.n == single.n && memcmp(whole.line, single.line, whole.n) == 0);
        guestlines_flush(&whole, 1, check, NULL);
        return 0;
}
