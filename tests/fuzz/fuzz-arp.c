/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Frames of anybody on the link, and addresses of the command line. The first byte says which. */

#include "arp.h"
#include "iprange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_frame(int family, const uint8_t *data, size_t size) {
        static const uint8_t from[6] = { 2, 0, 0, 0, 0, 1 }, zero[16];
        ArpFrame f;
        ArpWord w;
        int r;

        r = arp_read(family, data, size, from, &w);
        check(r == 0 || r == 1 || r == -EBADMSG);
        if (r <= 0)
                return;
        check(memcmp(w.address, zero, sizeof(zero)) != 0 || family == AF_INET6);
        if (family == AF_INET)
                check(memcmp(w.address + 4, zero, 12) == 0);
        /* What is asked for it can be read. */
        arp_ask(family, w.address, w.mac, NULL, &f);
        check(f.size <= sizeof(f.data));
        if (family == AF_INET || w.address[0] != 0xff)
                check(arp_read(family, f.data, f.size, from, &w) == 1 && w.wants);
}

static void check_range(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        IpRange r, again;

        check(text);
        if (iprange_parse(text, &r) < 0)
                return;
        check(iprange_count(&r) > 0 && iprange_has(&r, r.family, r.first) &&
              iprange_has(&r, r.family, r.last));
        check(iprange_parse(iprange_text(&r).text, &again) == 0 && memcmp(&r, &again, sizeof(r)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        if (*data == '4' || *data == '6')
                check_frame(*data == '4' ? AF_INET : AF_INET6, data + 1, size - 1);
        else
                check_range(data + 1, size - 1);
        return 0;
}
