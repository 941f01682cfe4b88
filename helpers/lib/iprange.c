/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>

#include "iprange.h"
#include "parse.h"

/* An address as a number. */
__extension__ typedef unsigned __int128 Number;

static size_t size_of(int family) {
        return family == AF_INET6 ? 16 : 4;
}

static Number load(int family, const uint8_t *address) {
        Number n = 0;

        for (size_t i = 0; i < size_of(family); i++)
                n = n << 8 | address[i];
        return n;
}

static void store(int family, Number n, uint8_t *address) {
        memset(address, 0, 16);
        for (size_t i = size_of(family); i > 0; i--, n >>= 8)
                address[i - 1] = (uint8_t) n;
}

/* n bytes of s, without blanks or a prefix length. Returns the family or -EINVAL. */
static int parse_address(const char *s, size_t n, uint8_t ret[static 16]) {
        char text[INET6_ADDRSTRLEN];
        int family;

        if (n >= sizeof(text))
                return -EINVAL;
        memcpy(text, s, n);
        text[n] = '\0';
        family = strchr(text, ':') ? AF_INET6 : AF_INET;
        memset(ret, 0, 16);
        return inet_pton(family, text, ret) == 1 ? family : -EINVAL;
}

int iprange_parse(const char *s, IpRange *ret) {
        size_t n = strcspn(s, "-/");
        IpRange r = {};
        unsigned prefix;

        r.family = parse_address(s, n, r.first);
        if (r.family < 0)
                return -EINVAL;
        if (s[n] == '/') {
                if (parse_uint(s + n + 1, (unsigned) (8 * size_of(r.family)), &prefix) < 0)
                        return -EINVAL;
                iprange_network(r.family, r.first, prefix, ret);
                return 0;
        }
        if (s[n] == '\0')
                memcpy(r.last, r.first, sizeof(r.last));
        else if (parse_address(s + n + 1, strlen(s + n + 1), r.last) != r.family ||
                 load(r.family, r.first) > load(r.family, r.last))
                return -EINVAL;
        *ret = r;
        return 0;
}

void iprange_network(int family, const uint8_t *address, unsigned prefix, IpRange *ret) {
        unsigned host = (unsigned) (8 * size_of(family)) - prefix;
        /* A shift by all bits is undefined: in two steps. */
        Number rest = host == 0 ? 0 : ((((Number) 1 << (host - 1)) - 1) << 1 | 1);
        Number first = load(family, address) & ~rest;

        *ret = (IpRange){ .family = family };
        store(family, first + (host > 1), ret->first);
        store(family, first + rest - (host > 1 && family == AF_INET), ret->last);
}

uint64_t iprange_count(const IpRange *r) {
        Number n = load(r->family, r->last) - load(r->family, r->first);

        return n >= UINT64_MAX ? UINT64_MAX : (uint64_t) n + 1;
}

bool iprange_has(const IpRange *r, int family, const uint8_t *address) {
        Number n;

        if (family != r->family)
                return false;
        n = load(family, address);
        return n >= load(family, r->first) && n <= load(family, r->last);
}

uint64_t iprange_place(const IpRange *r, const uint8_t *address) {
        return (uint64_t) (load(r->family, address) - load(r->family, r->first));
}

void iprange_at(const IpRange *r, uint64_t place, uint8_t ret[static 16]) {
        store(r->family, load(r->family, r->first) + place, ret);
}

int iprange_cut(const IpRange *a, const IpRange *b, IpRange *ret) {
        Number first, last;

        if (a->family != b->family)
                return 0;
        first = MAX(load(a->family, a->first), load(b->family, b->first));
        last = MIN(load(a->family, a->last), load(b->family, b->last));
        if (first > last)
                return 0;
        *ret = (IpRange){ .family = a->family };
        store(a->family, first, ret->first);
        store(a->family, last, ret->last);
        return 1;
}

IpRangeText iprange_text(const IpRange *r) {
        char first[INET6_ADDRSTRLEN], last[INET6_ADDRSTRLEN];
        IpRangeText t;

        (void) inet_ntop(r->family, r->first, first, sizeof(first));
        (void) inet_ntop(r->family, r->last, last, sizeof(last));
        (void) snprintf(t.text, sizeof(t.text), "%s%s%s", first, streq(first, last) ? "" : "-",
                        streq(first, last) ? "" : last);
        return t;
}
