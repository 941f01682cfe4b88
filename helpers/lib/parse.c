/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <strings.h>

#include "parse.h"

int parse_boolean(const char *s) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (strcasecmp(s, yes[i]) == 0)
                        return 1;
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (strcasecmp(s, no[i]) == 0)
                        return 0;
        return -EINVAL;
}

/* Reads digits of the base and moves the pointer behind them. */
static int eat_number(const char **s, unsigned base, uint64_t *ret) {
        const char *p = *s;
        uint64_t v = 0;

        for (; isxdigit((unsigned char) *p); p++) {
                unsigned d = isdigit((unsigned char) *p)
                                ? (unsigned) (*p - '0')
                                : (unsigned) (tolower((unsigned char) *p) - 'a' + 10);

                if (d >= base)
                        break;
                if (__builtin_mul_overflow(v, (uint64_t) base, &v) ||
                    __builtin_add_overflow(v, (uint64_t) d, &v))
                        return -ERANGE;
        }
        if (p == *s)
                return -EINVAL;
        *s = p;
        *ret = v;
        return 0;
}

int parse_u64(const char *s, uint64_t *ret) {
        uint64_t v;
        int r;

        r = eat_number(&s, 10, &v);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        *ret = v;
        return 0;
}

int parse_uint(const char *s, unsigned max, unsigned *ret) {
        uint64_t v;
        int r;

        r = parse_u64(s, &v);
        if (r < 0)
                return r;
        if (v > max)
                return -ERANGE;
        *ret = (unsigned) v;
        return 0;
}

int parse_hex(const char *s, uint64_t max, uint64_t *ret) {
        uint64_t v;
        int r;

        s = startswith(s, "0x") ?: s;
        r = eat_number(&s, 16, &v);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        if (v > max)
                return -ERANGE;
        *ret = v;
        return 0;
}

int parse_size(const char *s, uint64_t *ret) {
        static const char units[] = "KMGT";
        const char *u;
        uint64_t v;
        int r;

        r = eat_number(&s, 10, &v);
        if (r < 0)
                return r;
        if (*s) {
                u = strchr(units, toupper((unsigned char) *s));
                if (!u || s[1])
                        return -EINVAL;
                for (const char *i = units; i <= u; i++)
                        if (__builtin_mul_overflow(v, UINT64_C(1024), &v))
                                return -ERANGE;
        }
        *ret = v;
        return 0;
}

/* Moves behind the unit that s starts with; a missing unit is seconds. Returns its length in µs, 0 for none.
 */
static uint64_t eat_unit(const char **s) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "seconds", USEC_PER_SEC },
                { "second", USEC_PER_SEC },
                { "sec", USEC_PER_SEC },
                { "minutes", 60 * USEC_PER_SEC },
                { "minute", 60 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "msec", USEC_PER_MSEC },
                { "ms", USEC_PER_MSEC },
                { "usec", 1 },
                { "us", 1 },
                { "hours", 3600 * USEC_PER_SEC },
                { "hour", 3600 * USEC_PER_SEC },
                { "hr", 3600 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC },
                { "days", 86400 * USEC_PER_SEC },
                { "day", 86400 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC },
                { "s", USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                const char *e = startswith(*s, units[i].name);

                if (e && !isalpha((unsigned char) *e)) {
                        *s = e;
                        return units[i].usec;
                }
        }
        return isalpha((unsigned char) **s) ? 0 : USEC_PER_SEC;
}

int parse_sec(const char *s, uint64_t *ret_usec) {
        uint64_t sum = 0;

        if (!*s)
                return -EINVAL;
        while (*s) {
                uint64_t v, unit;
                int r;

                r = eat_number(&s, 10, &v);
                if (r < 0)
                        return r;
                s += strspn(s, " ");
                unit = eat_unit(&s);
                if (unit == 0)
                        return -EINVAL;
                if (__builtin_mul_overflow(v, unit, &v) || __builtin_add_overflow(sum, v, &sum))
                        return -ERANGE;
                s += strspn(s, " ");
        }
        *ret_usec = sum;
        return 0;
}
