/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Netstate and netpeer: the kernel's answers, whole or not, and sshd's configuration. */

#include "netpeer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_state(const uint8_t *data, size_t size) {
        NetState s = {};
        int r = netstate_parse(&s, data, size);

        check(r == 0 || r == -EBADMSG);
        for (size_t i = 0; i < s.n_links; i++)
                check(memchr(s.links[i].name, '\0', sizeof(s.links[i].name)) &&
                      netstate_link(&s, s.links[i].index) == &s.links[i]);
        for (size_t i = 0; i < s.n_routes; i++) {
                check(s.routes[i].prefix <= 8 * net_address_size(s.routes[i].family));
                (void) netstate_gateway_is_onlink(&s, &s.routes[i]);
                check(net_address_to_string(s.routes[i].gateway_family, s.routes[i].gateway));
        }
        for (size_t i = 0; i < s.n_addresses; i++)
                check(s.addresses[i].prefix <= 8 * net_address_size(s.addresses[i].family));
        netstate_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint16_t any[] = { 22, 0 };
        uint16_t ports[NETPEER_PORTS_MAX + 1] = { 22 };
        char *text = strndup((const char *) data, size);
        NetPeers p = {};
        int r;

        check(text);
        check_state(data, size);
        r = netpeer_parse(&p, any, data, size);
        check(r == 0 || r == -EBADMSG);
        netpeer_done(&p);
        netpeer_sshd_ports(text, ports);
        check(ports[NETPEER_PORTS_MAX] == 0 && ports[0] == 22);
        free(text);
        return 0;
}
