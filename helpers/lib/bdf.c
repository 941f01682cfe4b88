/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bdf.h"

/* Reads exactly digits hex digits and moves behind them; more than 64 bits cannot come together here. */
static int eat_hex(const char **s, size_t min, size_t max, uint64_t *ret) {
        static const char digits[] = "0123456789abcdef";
        uint64_t v = 0;
        size_t n = 0;

        for (; n <= max; n++) {
                char c = (*s)[n] >= 'A' && (*s)[n] <= 'F' ? (char) ((*s)[n] - 'A' + 'a') : (*s)[n];
                const char *d = c ? strchr(digits, c) : NULL;

                if (!d)
                        break;
                v = v << 4 | (uint64_t) (d - digits);
        }
        if (n < min || n > max)
                return -EINVAL;
        *s += n;
        *ret = v;
        return 0;
}

int bdf_parse(const char *s, Bdf *ret) {
        uint64_t domain, bus, slot, function;

        if (eat_hex(&s, 4, 8, &domain) < 0 || *s++ != ':' || eat_hex(&s, 2, 2, &bus) < 0 || *s++ != ':' ||
            eat_hex(&s, 2, 2, &slot) < 0 || *s++ != '.' || eat_hex(&s, 1, 1, &function) < 0 || *s)
                return -EINVAL;
        if (slot > 0x1f || function > 7)
                return -EINVAL;
        *ret = (Bdf){ (uint32_t) domain, (uint8_t) bus, (uint8_t) slot, (uint8_t) function };
        return 0;
}

const char *bdf_format(Bdf b, char buf[static BDF_STRING_MAX]) {
        (void) snprintf(buf, BDF_STRING_MAX, "%04x:%02x:%02x.%x", (unsigned) b.domain, (unsigned) b.bus,
                        (unsigned) (b.slot & 0x1f), (unsigned) (b.function & 7));
        return buf;
}

int bdf_compare(Bdf a, Bdf b) {
        uint64_t x = (uint64_t) a.domain << 16 | (uint64_t) a.bus << 8 |
                        (uint64_t) (a.slot << 3 | a.function);
        uint64_t y = (uint64_t) b.domain << 16 | (uint64_t) b.bus << 8 |
                        (uint64_t) (b.slot << 3 | b.function);

        return (x > y) - (x < y);
}
