/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Netstate and netpeer: the kernel's recorded answers, what is read out of them, and a look at this machine.
 */

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/neighbour.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <sched.h>

#include "netlink.h"
#include "netpeer.h"
#include "netstate.h"
#include "tests/netrecord.h"
#include "tests/tree.h"

TEST(plain_uplink) {
        _cleanup_(netstate_done) NetState s = {};
        const NetRoute *v4, *v6;
        const NetLink *l;

        netrecord_load("plain", &s);
        l = netstate_named(&s, "eth0");
        ASSERT(l && netstate_link(&s, l->index) == l);
        ASSERT_STREQ(l->kind, "veth");
        ASSERT_STREQ(l->port_kind, "");
        ASSERT_STREQ(net_mac_to_string(l->mac), "52:54:00:12:34:56");
        ASSERT_EQ(l->mtu, 1500);
        ASSERT_EQ(l->type, 1);
        ASSERT(l->flags & IFF_UP);
        ASSERT(!netstate_has_ports(&s, l->index));
        v4 = netstate_default(&s, AF_INET);
        ASSERT(v4 && v4->link == l->index && v4->has_gateway && !v4->onlink && !v4->many);
        ASSERT_STREQ(net_address_to_string(AF_INET, v4->gateway), "192.0.2.1");
        ASSERT_EQ(v4->metric, 100);
        ASSERT_EQ(v4->origin, RTPROT_DHCP);
        ASSERT(!netstate_gateway_is_onlink(&s, v4));
        ASSERT(netstate_neighbour(&s, l->index, AF_INET, v4->gateway) == NUD_REACHABLE);
        ASSERT_EQ(netstate_neighbour(&s, l->index + 1, AF_INET, v4->gateway), 0);
        ASSERT_STREQ(net_mac_to_string(s.neighbours[0].mac), "52:54:00:00:00:01");
        v6 = netstate_default(&s, AF_INET6);
        ASSERT(v6 && v6->link == l->index);
        ASSERT_STREQ(net_address_to_string(AF_INET6, v6->gateway), "fe80::1");
        ASSERT(!netstate_gateway_is_onlink(&s, v6));
}

TEST(addresses_have_prefix_and_scope) {
        _cleanup_(netstate_done) NetState s = {};
        unsigned global = 0, local = 0;
        int eth0;

        netrecord_load("plain", &s);
        eth0 = netstate_named(&s, "eth0")->index;
        for (size_t i = 0; i < s.n_addresses; i++) {
                const NetAddress *a = &s.addresses[i];

                if (a->link != eth0)
                        continue;
                local += a->link_local;
                global += !a->link_local && a->prefix == (a->family == AF_INET ? 24 : 64);
                ASSERT(!a->dynamic);
                if (a->family == AF_INET)
                        ASSERT_STREQ(net_address_to_string(AF_INET, a->bytes), "192.0.2.10");
        }
        ASSERT_EQ(global, 2);
        ASSERT_EQ(local, 1);
}

TEST(gateway_outside_of_the_network) {
        _cleanup_(netstate_done) NetState s = {};
        NetRoute r;

        netrecord_load("onlink", &s);
        ASSERT(netstate_default(&s, AF_INET));
        r = *netstate_default(&s, AF_INET);
        ASSERT(r.onlink);
        ASSERT(netstate_gateway_is_onlink(&s, &r));
        /* As ifupdown's pointopoint makes it: no flag, but no network of ours either. */
        r.onlink = false;
        ASSERT(netstate_gateway_is_onlink(&s, &r));
        r.has_gateway = false;
        ASSERT(!netstate_gateway_is_onlink(&s, &r));
        ASSERT(!netstate_default(&s, AF_INET6));
        /* As ifupdown makes each default route: the flag, and a gateway in our network. */
        netstate_done(&s);
        netrecord_load("plain", &s);
        r = *netstate_default(&s, AF_INET);
        r.onlink = true;
        ASSERT(!netstate_gateway_is_onlink(&s, &r));
}

TEST(bridge_and_its_port) {
        _cleanup_(netstate_done) NetState s = {};
        const NetLink *bridge, *port;

        netrecord_load("bridged", &s);
        bridge = netstate_named(&s, "br0");
        port = netstate_named(&s, "eth0");
        ASSERT(bridge && port && port->master == bridge->index);
        ASSERT_STREQ(bridge->kind, "bridge");
        ASSERT_STREQ(port->port_kind, "bridge");
        ASSERT(netstate_has_ports(&s, bridge->index));
        ASSERT_EQ(netstate_default(&s, AF_INET)->link, bridge->index);
}

TEST(several_gateways) {
        _cleanup_(netstate_done) NetState s = {};
        const NetRoute *r;

        netrecord_load("two-gateways", &s);
        r = netstate_default(&s, AF_INET); /* metric 0 is before 7 */
        ASSERT(r && r->many && r->has_gateway);
        ASSERT_STREQ(net_address_to_string(AF_INET, r->gateway), "192.0.2.1");
        ASSERT_EQ(r->link, netstate_named(&s, "eth0")->index);
}

TEST(ipv6_alone) {
        _cleanup_(netstate_done) NetState s = {};

        netrecord_load("ipv6-only", &s);
        ASSERT(!netstate_default(&s, AF_INET));
        ASSERT(netstate_default(&s, AF_INET6) &&
               !netstate_gateway_is_onlink(&s, netstate_default(&s, AF_INET6)));
}

TEST(half_an_answer_is_none) {
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_free_ char *data = NULL;
        size_t size;

        data = netrecord_read("plain", &size);
        ASSERT_EQ(netstate_parse(&s, data, size - 1), -EBADMSG);
        ASSERT_EQ(netstate_parse(&s, data, 15), -EBADMSG);
        data[0] = data[1] = data[2] = data[3] = 0; /* a message of no length would be read for ever */
        ASSERT_EQ(netstate_parse(&s, data, size), -EBADMSG);
}

TEST(prefixes) {
        static const uint8_t a[4] = { 192, 0, 2, 1 }, b[4] = { 192, 0, 3, 1 };

        ASSERT(net_same_prefix(a, b, 0));
        ASSERT(net_same_prefix(a, b, 23));
        ASSERT(!net_same_prefix(a, b, 24));
        ASSERT(net_same_prefix(a, a, 32));
}

TEST(this_machine) {
        _cleanup_(netstate_done) NetState s = {};
        const NetLink *lo;

        ASSERT_EQ(netstate_read(&s), 0);
        lo = netstate_named(&s, "lo");
        ASSERT(lo && lo->index == 1 && (lo->flags & IFF_LOOPBACK));
}

/* A connection as sock_diag lists it. */
static size_t put_socket(char *to, int state, uint16_t port, uint8_t last, uint64_t acked, unsigned unacked,
                         unsigned retransmits) {
        struct {
                struct nlmsghdr h;
                struct inet_diag_msg m;
                struct rtattr a;
                struct tcp_info info;
        } __attribute__((packed)) s = {};

        s.h = (struct nlmsghdr){ .nlmsg_len = sizeof(s), .nlmsg_type = SOCK_DIAG_BY_FAMILY };
        s.m.idiag_family = AF_INET6;
        s.m.idiag_state = (uint8_t) state;
        s.m.id.idiag_sport = htons(port);
        s.m.id.idiag_dport = htons(50000);
        s.m.id.idiag_src[2] = s.m.id.idiag_dst[2] = htonl(0xffff);
        s.m.id.idiag_src[3] = htonl(0xc000020a);
        s.m.id.idiag_dst[3] = htonl(0xc0000200 | last);
        s.m.id.idiag_cookie[0] = last;
        s.a = (struct rtattr){ .rta_len = RTA_LENGTH(sizeof(s.info)), .rta_type = INET_DIAG_INFO };
        s.info.tcpi_bytes_acked = acked;
        s.info.tcpi_unacked = unacked;
        s.info.tcpi_retransmits = (uint8_t) retransmits;
        memcpy(to, &s, sizeof(s));
        return sizeof(s);
}

TEST(peers_of_sshd) {
        static const uint16_t ports[] = { 22, 2222, 0 };
        _cleanup_(netpeer_done) NetPeers p = {};
        char data[4096];
        size_t n = 0;

        n += put_socket(data + n, 1, 22, 99, 1000, 0, 0);
        n += put_socket(data + n, 1, 80, 98, 0, 0, 0);    /* no port of sshd's */
        n += put_socket(data + n, 10, 2222, 97, 0, 0, 0); /* listens */
        n += put_socket(data + n, 1, 2222, 10, 0, 0, 0);  /* from this machine to itself */
        ASSERT_EQ(netpeer_parse(&p, ports, data, n), 0);
        ASSERT_EQ(p.n, 1);
        ASSERT_EQ(p.items[0].family, AF_INET); /* it was mapped */
        ASSERT_STREQ(net_address_to_string(AF_INET, p.items[0].remote), "192.0.2.99");
        ASSERT_EQ(p.items[0].acked, 1000);
        ASSERT_EQ(netpeer_parse(&p, ports, data, n - 1), -EBADMSG);
}

TEST(flow_of_peers) {
        static const struct {
                uint64_t acked, received;
                unsigned unacked, retransmits;
                NetFlow want;
        } rows[] = {
                { 1001, 10, 0, 0, NETFLOW_MOVES }, { 1000, 11, 9, 9, NETFLOW_MOVES },
                { 1000, 10, 0, 0, NETFLOW_QUIET }, { 1000, 10, 1, 0, NETFLOW_QUIET },
                { 1000, 10, 1, 2, NETFLOW_QUIET }, { 1000, 10, 1, 3, NETFLOW_STUCK },
                { 1000, 10, 0, 9, NETFLOW_QUIET },
        };
        NetPeer was[] = { { .cookie = 1, .acked = 1000, .received = 10 },
                          { .cookie = 2, .acked = 1000, .received = 10 } };
        const NetPeers before = { was, 1 }, two = { was, 2 }, none = {};

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                NetPeer now = { .cookie = 1,
                                .acked = rows[i].acked,
                                .received = rows[i].received,
                                .unacked = rows[i].unacked,
                                .retransmits = rows[i].retransmits };
                const NetPeers after = { &now, 1 };

                ASSERT_EQ(netpeer_compare(&before, &after), rows[i].want);
                ASSERT_EQ(netpeer_compare(&two, &after), rows[i].want); /* the other one went home */
        }
        ASSERT_EQ(netpeer_compare(&before, &none), NETFLOW_GONE);
        ASSERT_EQ(netpeer_compare(&none, &before), NETFLOW_NONE);
        ASSERT_STREQ(netflow_to_string(NETFLOW_STUCK), "stuck");
}

TEST(ports_of_sshd) {
        uint16_t ports[NETPEER_PORTS_MAX + 1];
        int root = tree_new();

        tree_put("/etc/ssh/sshd_config",
                 "#Port 22\nport 2222\nPort=2223\nListenAddress 192.0.2.1:2224\n"
                 "ListenAddress [2001:db8::1]:2225\nListenAddress 2001:db8::2\nPort x\n"
                 "ListenAddress 192.0.2.2\nPort 70000\nPort\nGatewayPorts yes\n");
        tree_put("/etc/ssh/sshd_config.d/a.conf", "Port 2226\nPort 22\n");
        tree_put("/etc/ssh/sshd_config.d/b.conf~", "Port 1\n");
        tree_put("/etc/systemd/system/ssh.socket.d/l.conf", "[Socket]\nListenStream=\nListenStream=2227\n");
        ASSERT_EQ(netpeer_ports(root, ports), 0);
        for (size_t i = 1; i < 7; i++)
                ASSERT_EQ(ports[i], 2221 + (int) i);
        ASSERT_EQ(ports[0], 22);
        ASSERT_EQ(ports[7], 0);
}

/* A real connection, as the kernel lists it. */
TEST(peers_of_this_machine) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } },
                           from = { .sin_family = AF_INET, .sin_addr = { htonl(0x7f000002) } };
        _cleanup_close_ int server = socket(AF_INET, SOCK_STREAM, 0),
                            client = socket(AF_INET, SOCK_STREAM, 0);
        _cleanup_(netpeer_done) NetPeers before = {}, after = {};
        uint16_t ports[2] = {};
        socklen_t n = sizeof(to);

        ASSERT_EQ(bind(server, (struct sockaddr *) &to, n), 0);
        ASSERT_EQ(bind(client, (struct sockaddr *) &from, n), 0);
        ASSERT_EQ(listen(server, 1), 0);
        ASSERT_EQ(getsockname(server, (struct sockaddr *) &to, &n), 0);
        ASSERT_EQ(connect(client, (struct sockaddr *) &to, n), 0);
        ports[0] = ntohs(to.sin_port);
        if (netpeer_read(ports, &before) == -ENOENT)
                SKIP("no inet_diag in this kernel");
        ASSERT_EQ(before.n, 1);
        ASSERT_STREQ(net_address_to_string(AF_INET, before.items[0].remote), "127.0.0.2");
        ASSERT_EQ(write(client, "hello", 5), 5);
        ASSERT_EQ(netpeer_read(ports, &after), 0);
        ASSERT_EQ(netpeer_compare(&before, &after), NETFLOW_MOVES);
        ASSERT_EQ(after.items[0].received - before.items[0].received, 5);
}
