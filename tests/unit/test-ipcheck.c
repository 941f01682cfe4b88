/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Iprange, arp, ipknown and ipcheck: ranges, frames to the byte, and what a recorded machine knows of its
 * network. Frames on a link: helper/ip.sh. */

#include <arpa/inet.h>
#include <net/ethernet.h>

#include "arp.h"
#include "ipcheck.h"
#include "strv.h"
#include "tests/netrecord.h"
#include "tests/tree.h"

static const uint8_t our_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint8_t their_mac[6] = { 2, 0x10, 0, 0, 0, 7 };

static IpRange range(const char *s) {
        IpRange r;

        ASSERT_EQ(iprange_parse(s, &r), 0);
        return r;
}

static void address(const char *s, uint8_t ret[static 16]) {
        IpRange r = range(s);

        memcpy(ret, r.first, 16);
}

TEST(ranges) {
        static const struct {
                const char *text, *want;
                uint64_t count;
        } cases[] = {
                { "192.0.2.7", "192.0.2.7", 1 },
                { "192.0.2.7-192.0.2.7", "192.0.2.7", 1 },
                { "192.0.2.7-192.0.3.6", "192.0.2.7-192.0.3.6", 256 },
                { "192.0.2.77/24", "192.0.2.1-192.0.2.254", 254 },
                { "10.0.0.0/8", "10.0.0.1-10.255.255.254", 16777214 },
                { "0.0.0.0/0", "0.0.0.1-255.255.255.254", 4294967294 },
                { "192.0.2.8/30", "192.0.2.9-192.0.2.10", 2 },
                { "192.0.2.8/31", "192.0.2.8-192.0.2.9", 2 },
                { "192.0.2.8/32", "192.0.2.8", 1 },
                { "2001:db8::5", "2001:db8::5", 1 },
                { "2001:db8::-2001:db8::ff", "2001:db8::-2001:db8::ff", 256 },
                { "2001:db8::7/120", "2001:db8::1-2001:db8::ff", 255 },
                { "2001:db8::7/64", "2001:db8::1-2001:db8::ffff:ffff:ffff:ffff", UINT64_MAX },
                { "::/0", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UINT64_MAX },
                { "2001:db8::6/127", "2001:db8::6-2001:db8::7", 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IpRange r = range(cases[i].text);

                ASSERT_STREQ(iprange_text(&r).text, cases[i].want);
                ASSERT(iprange_count(&r) == cases[i].count);
        }
}

TEST(what_is_no_range) {
        static const char *const texts[] = { "",
                                             "-",
                                             "/",
                                             "192.0.2",
                                             "192.0.2.7-",
                                             "192.0.2.7/",
                                             "192.0.2.7/33",
                                             "192.0.2.7/-1",
                                             "192.0.2.9-192.0.2.8",
                                             "192.0.2.9-2001:db8::1",
                                             "192.0.2.1-192.0.2.9/24",
                                             " 192.0.2.7",
                                             "192.0.2.7 ",
                                             "2001:db8::/129",
                                             "eth0" };
        IpRange r;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                ASSERT_EQ(iprange_parse(texts[i], &r), -EINVAL);
}

TEST(places) {
        IpRange r = range("192.0.2.250-192.0.3.5"), b = range("192.0.3.0/24"), both;
        uint8_t a[16];

        iprange_at(&r, 6, a);
        ASSERT_STREQ(net_address_to_string(AF_INET, a), "192.0.3.0");
        ASSERT_EQ(iprange_place(&r, a), 6);
        ASSERT(iprange_has(&r, AF_INET, a) && !iprange_has(&b, AF_INET, a));
        ASSERT(!iprange_has(&r, AF_INET6, a));
        ASSERT_EQ(iprange_cut(&r, &b, &both), 1);
        ASSERT_STREQ(iprange_text(&both).text, "192.0.3.1-192.0.3.5");
        b = range("192.0.4.0/24");
        ASSERT_EQ(iprange_cut(&r, &b, &both), 0);
        b = range("2001:db8::/64");
        ASSERT_EQ(iprange_cut(&r, &b, &both), 0);
        r = range("2001:db8::ffff-2001:db8::1:2");
        iprange_at(&r, 2, a);
        ASSERT_STREQ(net_address_to_string(AF_INET6, a), "2001:db8::1:1");
}

static void hex(const ArpFrame *f, char *ret) {
        for (size_t i = 0; i < f->size; i++)
                ret += sprintf(ret, "%02x", f->data[i]);
}

/* RFC 5227, 2.1.1: the sender's address is zero, and so is the target's hardware address. */
TEST(an_arp_probe) {
        char text[2 * ARP_FRAME_MAX + 1];
        uint8_t a[16];
        ArpWord w;
        ArpFrame f;

        address("192.0.2.7", a);
        arp_ask(AF_INET, a, our_mac, NULL, &f);
        hex(&f, text);
        ASSERT_STREQ(text,
                     "0001080006040001"
                     "52540012345600000000"
                     "000000000000c0000207");
        ASSERT_EQ(f.protocol, ETHERTYPE_ARP);
        ASSERT_STREQ(net_mac_to_string(f.to), "ff:ff:ff:ff:ff:ff");
        ASSERT_EQ(arp_read(AF_INET, f.data, f.size, their_mac, &w), 1);
        ASSERT(w.wants && memcmp(w.address, a, 16) == 0 && memcmp(w.mac, our_mac, 6) == 0);
}

/* The checksums are what tcpdump and the kernel compute. */
TEST(a_neighbour_solicitation) {
        char text[2 * ARP_FRAME_MAX + 1];
        uint8_t a[16], source[16];
        ArpWord w;
        ArpFrame f;

        address("2001:db8::1234:5678", a);
        address("fe80::5054:ff:fe12:3456", source);
        arp_ask(AF_INET6, a, our_mac, source, &f);
        hex(&f, text);
        ASSERT_STREQ(text,
                     "6000000000203aff"
                     "fe80000000000000505400fffe123456"
                     "ff0200000000000000000001ff345678"
                     "8700839300000000"
                     "20010db8000000000000000012345678"
                     "0101525400123456");
        ASSERT_STREQ(net_mac_to_string(f.to), "33:33:ff:34:56:78");
        ASSERT_EQ(arp_read(AF_INET6, f.data, f.size, their_mac, &w), 1);
        ASSERT(!w.wants && memcmp(w.address, source, 16) == 0 && memcmp(w.mac, their_mac, 6) == 0);
        arp_ask(AF_INET6, a, our_mac, NULL, &f);
        ASSERT_EQ(f.size, 64);
        ASSERT_EQ(arp_read(AF_INET6, f.data, f.size, their_mac, &w), 1);
        ASSERT(w.wants && memcmp(w.address, a, 16) == 0);
        f.data[63] ^= 1;
        ASSERT_EQ(arp_read(AF_INET6, f.data, f.size, their_mac, &w), -EBADMSG);
}

/* A reply, a request and an announcement tell whose their sender's address is. */
TEST(words_in_arp) {
        uint8_t a[16];
        ArpFrame f;
        ArpWord w;

        address("192.0.2.7", a);
        arp_ask(AF_INET, a, their_mac, NULL, &f);
        memcpy(f.data + 14, (const uint8_t[]){ 192, 0, 2, 9 }, 4);
        for (uint8_t op = 1; op <= 2; op++) {
                f.data[7] = op;
                ASSERT_EQ(arp_read(AF_INET, f.data, f.size, our_mac, &w), 1);
                ASSERT(!w.wants && memcmp(w.mac, their_mac, 6) == 0);
                ASSERT_STREQ(net_address_to_string(AF_INET, w.address), "192.0.2.9");
        }
        f.data[7] = 3; /* RARP */
        ASSERT_EQ(arp_read(AF_INET, f.data, f.size, our_mac, &w), 0);
        f.data[7] = 2;
        memset(f.data + 14, 0, 4);
        ASSERT_EQ(arp_read(AF_INET, f.data, f.size, our_mac, &w), 0);
        f.data[7] = 1;
        for (size_t i = 0; i < f.size; i++)
                ASSERT_EQ(arp_read(AF_INET, f.data, i, our_mac, &w), -EBADMSG);
        for (size_t i = 0; i < 6; i++) {
                f.data[i] ^= 4;
                ASSERT_EQ(arp_read(AF_INET, f.data, f.size, our_mac, &w), -EBADMSG);
                f.data[i] ^= 4;
        }
}

static IpState state_of(const IpCheck *c, const char *s) {
        IpRange r = range(s);

        ASSERT(iprange_has(&c->range, r.family, r.first));
        return c->entries[iprange_place(&c->range, r.first)].state;
}

TEST(what_a_machine_knows) {
        static const char networkd[] =
                        "[Network]\nDHCPServer=yes\n[DHCPServer]\nPoolOffset=200\nPoolSize=20\n";
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_(ipknown_done) IpKnown k = {};
        _cleanup_(ipcheck_done) IpCheck c = {};
        _cleanup_free_ char *said = NULL;
        size_t n = 0;

        netrecord_load("plain", &s);
        ASSERT_EQ(ipknown_add(&k, IP_RESERVED, "192.0.2.20/24", "talos-01"), 0);
        ASSERT_EQ(ipknown_add(&k, IP_CLAIMED, "192.0.2.20", NULL), 0);
        ASSERT_EQ(ipknown_add(&k, IP_LEASED, "192.0.1.0-192.0.2.2", "lan"), 0);
        ASSERT_EQ(ipknown_add(&k, IP_RESERVED, "nonsense", "x"), 0);
        ASSERT_EQ(k.n, 3);
        ASSERT_EQ(ipcheck_plan(&s, "eth0", NULL, networkd, &k, &c, &said), 0);
        ASSERT_EQ(c.n, 254);
        ASSERT_EQ(c.prefix, 24);
        ASSERT(c.has_source && !c.leased);
        ASSERT_EQ(state_of(&c, "192.0.2.1"), IP_LEASED); /* whoever knows of it is asked first */
        ASSERT_EQ(state_of(&c, "192.0.2.2"), IP_LEASED);
        ASSERT_EQ(state_of(&c, "192.0.2.3"), IP_FREE);
        ASSERT_EQ(state_of(&c, "192.0.2.10"), IP_HOST);
        ASSERT_EQ(state_of(&c, "192.0.2.20"), IP_RESERVED);
        ASSERT_STREQ(c.entries[19].whose, "talos-01");
        ASSERT_EQ(state_of(&c, "192.0.2.199"), IP_FREE);
        ASSERT_EQ(state_of(&c, "192.0.2.200"), IP_LEASED);
        ASSERT_EQ(state_of(&c, "192.0.2.219"), IP_LEASED);
        ASSERT_EQ(state_of(&c, "192.0.2.220"), IP_FREE);
        for (size_t i = 0; i < c.n; i++)
                n += c.entries[i].state == IP_FREE;
        ASSERT_EQ(n, 254 - 2 - 1 - 1 - 20);
}

TEST(what_is_asked_for) {
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_(ipcheck_done) IpCheck c = {};
        const IpKnown none = {};
        IpRange r = range("192.0.1.254-192.0.3.0");
        char *said = NULL;

        netrecord_load("plain", &s);
        ASSERT_EQ(ipcheck_plan(&s, "eth0", &r, NULL, &none, &c, &said), 0);
        ASSERT_EQ(state_of(&c, "192.0.1.255"), IP_FREE);
        ASSERT_EQ(state_of(&c, "192.0.2.0"), IP_SPECIAL);
        ASSERT_EQ(state_of(&c, "192.0.2.1"), IP_GATEWAY);
        ASSERT_EQ(state_of(&c, "192.0.2.255"), IP_SPECIAL);
        ASSERT_EQ(state_of(&c, "192.0.3.0"), IP_FREE);
        ipcheck_done(&c);
        r = range("2001:db8::1-2001:db8::20");
        ASSERT_EQ(ipcheck_plan(&s, "eth0", &r, NULL, &none, &c, &said), 0);
        ASSERT_EQ(state_of(&c, "2001:db8::10"), IP_HOST);
        ASSERT_EQ(c.prefix, 64);
        r = range("2001:db8::/64");
        ipcheck_done(&c);
        ASSERT_EQ(ipcheck_plan(&s, "eth0", &r, NULL, &none, &c, &said), -E2BIG);
        ASSERT(strstr(said, "too many"));
        free(said);
        ASSERT_EQ(ipcheck_plan(&s, "eth9", NULL, NULL, &none, &c, &said), -ENODEV);
        free(said);
        ASSERT_EQ(ipcheck_plan(&s, "lo", NULL, NULL, &none, &c, &said), -ENODEV);
        free(said);
        netstate_done(&s);
        netrecord_load("onlink", &s);
        ASSERT_EQ(ipcheck_plan(&s, "eth0", NULL, NULL, &none, &c, &said), -EADDRNOTAVAIL);
        ASSERT(strstr(said, "/32"));
        free(said);
}

TEST(networks_of_libvirt) {
        char *networks[] = {
                (char *) "<network><name>lan</name><bridge name='br9'/></network>",
                (char *) "<network><name>default</name><bridge name='virbr0'/><ip address='192.168.122.1'><dhcp>"
                         "<range start='192.168.122.2' end='192.168.122.99'/><range start='x' end='y'/>"
                         "<host mac='52:54:00:00:00:01' ip='192.168.122.200'/></dhcp></ip>"
                         "<ip family='ipv6' address='fd00::1'><dhcp><range start='fd00::2' end='fd00::9'/></dhcp></ip>"
                         "</network>",
                NULL
        };
        _cleanup_(ipknown_done) IpKnown k = {};
        _cleanup_free_ char *bridge = NULL;
        int r = ipknown_add_network(&k, networks[1]);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(k.n, 3);
        ASSERT_STREQ(iprange_text(&k.items[0].range).text, "192.168.122.2-192.168.122.99");
        ASSERT_STREQ(iprange_text(&k.items[1].range).text, "192.168.122.200");
        ASSERT_STREQ(iprange_text(&k.items[2].range).text, "fd00::2-fd00::9");
        ASSERT_STREQ(k.items[2].whose, "default");
        ASSERT_EQ(ipknown_add_network(&k, "<network"), -EBADMSG);
        ASSERT_EQ(ipknown_network_bridge(networks, "default", &bridge), 0);
        ASSERT_STREQ(bridge, "virbr0");
        free(bridge);
        ASSERT_EQ(ipknown_network_bridge(networks, "none", &bridge), 0);
        ASSERT(!bridge);
}

/* systemd.network(5): zero is the standard, all of the network; the server's own address may be another one.
 */
TEST(networkd_leases) {
        static const struct {
                const char *text, *want;
        } cases[] = {
                { "", NULL },
                { "[Network]\nDHCPServer=no\n", NULL },
                { "[Network]\nDHCPServer=yes\n", "192.0.2.1-192.0.2.254" },
                { "[Network]\nDHCPServer=yes\n[DHCPServer]\nPoolOffset=100\n", "192.0.2.100-192.0.2.254" },
                { "[Network]\nDHCPServer=yes\n[DHCPServer]\nPoolSize=9\n", "192.0.2.1-192.0.2.9" },
                { "[Network]\nDHCPServer=1\n[DHCPServer]\nPoolOffset=250\nPoolSize=99\n",
                  "192.0.2.250-192.0.2.254" },
                { "[Network]\nDHCPServer=1\n[DHCPServer]\nPoolOffset=255\n", NULL },
                { "[Network]\nDHCPServer=1\n[DHCPServer]\nServerAddress=198.51.100.1/28\n",
                  "198.51.100.1-198.51.100.14" },
        };
        static const uint8_t own[4] = { 192, 0, 2, 10 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ipknown_done) IpKnown k = {};

                ASSERT_EQ(ipknown_add_networkd(&k, cases[i].text, own, 24), 0);
                ASSERT_EQ(k.n, cases[i].want ? 1 : 0);
                if (cases[i].want)
                        ASSERT_STREQ(iprange_text(&k.items[0].range).text, cases[i].want);
        }
}

/* A recorded machine; nobody is asked for it. */
static int find_free(const char *conf, const IpKnown *k, size_t max, char **ret_text) {
        _cleanup_(conf_done) Conf c = {};
        _cleanup_strv_ char **l = NULL;
        int r;

        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(conf_parse("f", conf, strlen(conf), NULL, NULL, &c), 0);
        r = ipcheck_free(tree_root, &c, k, max, &l, ret_text);
        if (r > 0)
                *ret_text = strv_join(l, " ");
        return r;
}

static void put_record(const char *name) {
        size_t size;
        _cleanup_free_ char *data = netrecord_read(name, &size);

        ASSERT_EQ(fs_write_atomic(tree_root, NETSTATE_RECORD, data, size, 0644), 0);
}

TEST(addresses_for_machines) {
        _cleanup_(ipknown_done) IpKnown k = {};
        char *text = NULL;

        (void) tree_new();
        put_record("bridged");
        ASSERT_EQ(find_free("", &k, 4, &text), 0);
        ASSERT(strstr(text, "has not run"));
        free(text);
        tree_put("/run/gpuvm/phases/bridge.json", "{\"mode\":\"bridged\",\"bridge\":\"br0\"}");
        ASSERT_EQ(find_free("", &k, 4, &text), 4);
        ASSERT_STREQ(text, "192.0.2.2/24 192.0.2.3/24 192.0.2.4/24 192.0.2.5/24");
        free(text);
        ASSERT_EQ(ipknown_add(&k, IP_RESERVED, "192.0.2.101/24", "a"), 0);
        ASSERT_EQ(find_free("[Network]\nIpRange=192.0.2.100-192.0.2.102\n", &k, 4, &text), 2);
        ASSERT_STREQ(text, "192.0.2.100/24 192.0.2.102/24");
        free(text);
        ASSERT_EQ(find_free("[Network]\nIpRange=192.0.2.101-192.0.2.101\n", &k, 4, &text), 0);
        ASSERT(strstr(text, "taken"));
        free(text);
        ASSERT_EQ(find_free("[Network]\nIpRange=198.51.100.1-198.51.100.9\n", &k, 4, &text), 0);
        ASSERT(strstr(text, "no network"));
        free(text);
        ASSERT_EQ(find_free("[Network]\nMode=nat\n", &k, 4, &text), 0);
        ASSERT(strstr(text, "leases"));
        free(text);
        tree_put("/run/gpuvm/phases/bridge.json", "{\"mode\":\"routed\",\"bridge\":\"br0\"}");
        ASSERT_EQ(find_free("", &k, 4, &text), 0);
        ASSERT(strstr(text, "ordered"));
        free(text);
}
