/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Route: whose a tap is, what the host must not answer for, the record; and the kernel's own tables, in a
 * network of the test's own. */

#include <sched.h>

#include "fs.h"
#include "netlink.h"
#include "route.h"
#include "tests/tap.h"
#include "tests/tree.h"

#define OURS                                                          \
        "<metadata><g:vm xmlns:g=\"urn:gpuvm:vm:1\" kind=\"debian\">" \
        "<g:nic mac=\"52:54:00:00:00:07\"/>%s</g:vm></metadata>"
#define DOMAIN                                                                                         \
        "<domain><name>a</name><uuid>11111111-1111-4111-8111-111111111111</uuid>%s<devices>"           \
        "<interface type=\"network\"><mac address=\"52:54:00:00:00:09\"/><source network=\"default\" " \
        "bridge=\"virbr0\"/><target dev=\"vnet0\"/></interface>"                                       \
        "<interface type=\"bridge\"><mac address=\"52:54:00:00:00:07\"/><source bridge=\"br0\"/>"      \
        "<target dev=\"vnet1\"/></interface>"                                                          \
        "<interface type=\"bridge\"><mac address=\"52:54:00:00:00:08\"/><source bridge=\"br0\"/>"      \
        "<target dev=\"vnet2\"/></interface></devices></domain>"
#define ADDRESS "<g:address cidr=\"192.0.2.20/32\" gateway=\"192.0.2.10\"/>"

/* ours: what is in gpuvm's element; NULL: there is none. */
static int find(const char *ours, const char *tap, uint8_t ret[static 4]) {
        _cleanup_free_ char *metadata = NULL, *xml = NULL;
        int r;

        if (ours)
                ASSERT_EQ(str_printf(&metadata, OURS, ours), 0);
        ASSERT_EQ(str_printf(&xml, DOMAIN, strempty(metadata)), 0);
        r = route_find(xml, tap, "br0", ret);
        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        return r;
}

TEST(whose_a_tap_is) {
        uint8_t a[4] = {};

        ASSERT_EQ(find(ADDRESS, "vnet1", a), ROUTE_WANTED);
        ASSERT_STREQ(net_address_to_string(AF_INET, a), "192.0.2.20");
        ASSERT_EQ(find(ADDRESS, "vnet7", a), ROUTE_UNKNOWN);
        /* On another network, and one that somebody has added. */
        ASSERT_EQ(find(ADDRESS, "vnet0", a), ROUTE_NONE);
        ASSERT_EQ(find(ADDRESS, "vnet2", a), ROUTE_NONE);
        /* A lease, IPv6, and somebody else's machine. */
        ASSERT_EQ(find("", "vnet1", a), ROUTE_NONE);
        ASSERT_EQ(find("<g:address cidr=\"2001:db8::7/64\" gateway=\"fe80::1\"/>", "vnet1", a), ROUTE_NONE);
        ASSERT_EQ(find(NULL, "vnet1", a), ROUTE_NONE);
        ASSERT_EQ(route_find("<domain", "vnet1", "br0", a), -EBADMSG);
}

/* The same of whichever tap it is. */
TEST(which_tap_is_a_machine_s) {
        static const struct {
                const char *ours;
                int want;
        } rows[] = { { ADDRESS, ROUTE_WANTED }, { "", ROUTE_NONE }, { NULL, ROUTE_NONE } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *metadata = NULL, *xml = NULL;
                char tap[IF_NAMESIZE] = "";
                uint8_t a[4] = {};
                int r;

                if (rows[i].ours)
                        ASSERT_EQ(str_printf(&metadata, OURS, rows[i].ours), 0);
                ASSERT_EQ(str_printf(&xml, DOMAIN, strempty(metadata)), 0);
                r = route_find_tap(xml, "br0", tap, a);
                if (r == -ENOPKG)
                        SKIP("libxml2 is not installed");
                ASSERT_EQ(r, rows[i].want);
                ASSERT_EQ(route_find_tap(xml, "br1", tap, a), ROUTE_NONE);
                if (rows[i].want == ROUTE_WANTED) {
                        ASSERT_STREQ(tap, "vnet1");
                        ASSERT_STREQ(net_address_to_string(AF_INET, a), "192.0.2.20");
                }
        }
}

static void set_up(NetState *s) {
        static NetLink links[] = { { .index = 1, .name = "eth0" }, { .index = 2, .name = "br0" } };
        static NetAddress addresses[] = {
                { .link = 1, .family = AF_INET, .bytes = { 192, 0, 2, 10 }, .prefix = 32 }
        };
        static NetRoute routes[] = {
                { .link = 1,
                  .family = AF_INET,
                  .has_gateway = true,
                  .gateway_family = AF_INET,
                  .gateway = { 198, 51, 100, 1 } },
                { .link = 1, .family = AF_INET, .target = { 192, 0, 2, 21 }, .prefix = 32 },
                { .link = 2, .family = AF_INET, .target = { 192, 0, 2, 22 }, .prefix = 32 },
        };

        *s = (NetState){ .links = links,
                         .addresses = addresses,
                         .routes = routes,
                         .n_links = ELEMENTSOF(links),
                         .n_addresses = ELEMENTSOF(addresses),
                         .n_routes = ELEMENTSOF(routes) };
}

TEST(what_the_host_must_not_answer_for) {
        static const struct {
                uint8_t address[4];
                const char *obstacle; /* a part of it; NULL: none */
        } cases[] = { { { 192, 0, 2, 20 }, NULL },
                      { { 192, 0, 2, 22 }, NULL }, /* as it was left */
                      { { 192, 0, 2, 10 }, "host's own" },
                      { { 198, 51, 100, 1 }, "gateway" },
                      { { 192, 0, 2, 21 }, "elsewhere" },
                      { { 127, 0, 0, 5 }, "single machine" },
                      { { 224, 0, 0, 1 }, "single machine" },
                      { { 255, 255, 255, 255 }, "single machine" },
                      { { 0, 0, 0, 0 }, "single machine" } };
        NetState s;

        set_up(&s);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Route r = { .bridge = "br0", .uplink = "eth0" };
                const char *said;

                memcpy(r.address, cases[i].address, sizeof(r.address));
                said = route_obstacle(&s, &r);
                ASSERT_EQ(said != NULL, cases[i].obstacle != NULL);
                if (said)
                        ASSERT(strstr(said, cases[i].obstacle));
        }
        ASSERT(route_obstacle(&s, &(Route){ { 192, 0, 2, 20 }, "br1", "eth0" }));
        ASSERT(route_obstacle(&s, &(Route){ { 192, 0, 2, 20 }, "br0", "eth1" }));
}

TEST(which_interface_answers) {
        NetState s;

        set_up(&s);
        ASSERT_STREQ(route_uplink(&s, "br0")->name, "br0");
        ASSERT_STREQ(route_uplink(&s, NULL)->name, "eth0");
        ASSERT(!route_uplink(&s, "eth1"));
        s.n_routes = 0;
        ASSERT(!route_uplink(&s, NULL));
}

TEST(record) {
        static const char *const wrong[] = { "",
                                             "192.0.2.20 br0 eth0",
                                             "192.0.2.20 br0 eth0\n\n",
                                             "192.0.2.20 br0\n",
                                             "192.0.2.200.1 br0 eth0\n",
                                             "192.0.2.20 ../b eth0\n",
                                             "192.0.2.20 br0 eth0123456789abcdef\n" };
        const Route route = { { 192, 0, 2, 20 }, "br0", "eth0" };
        _cleanup_free_ char *text = NULL;
        Route r = {};

        ASSERT_EQ(route_format(&route, &text), 0);
        ASSERT_STREQ(text, "192.0.2.20 br0 eth0\n");
        ASSERT_EQ(route_parse(text, &r), 0);
        ASSERT_EQ(memcmp(&r, &route, sizeof(r)), 0);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                ASSERT_EQ(route_parse(wrong[i], &r), -EBADMSG);
}

static int make_link(const char *name) {
        struct {
                struct ifinfomsg m;
                struct rtattr name_header;
                char name[8];
                struct rtattr info_header, kind_header;
                char kind[8];
        } body = { .m = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
                   .name_header = { RTA_LENGTH(8), IFLA_IFNAME },
                   .info_header = { RTA_LENGTH(RTA_LENGTH(8)), IFLA_LINKINFO },
                   .kind_header = { RTA_LENGTH(8), IFLA_INFO_KIND },
                   .kind = "bridge" };

        (void) snprintf(body.name, sizeof(body.name), "%s", name);
        return netlink_change(NETLINK_ROUTE, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
}

/* How many routes over that link the kernel has, of addresses alone. */
static unsigned count(const char *link) {
        _cleanup_(netstate_done) NetState s = {};
        unsigned n = 0;

        ASSERT_EQ(netstate_read(&s), 0);
        for (size_t i = 0; i < s.n_routes; i++)
                n += s.routes[i].link == (int) if_nametoindex(link) && s.routes[i].prefix == 32;
        return n;
}

TEST(the_kernel_s_tables) {
        const Route a = { { 192, 0, 2, 20 }, "br0", "eth0" }, b = { { 192, 0, 2, 21 }, "br0", "eth0" };
        int root = tree_new();
        Route r;

        if (unshare(CLONE_NEWNET) < 0)
                SKIP("needs the right to make a network namespace");
        ASSERT_EQ(route_add(root, "vnet0", &a), -ENODEV);
        ASSERT_EQ(make_link("br0"), 0);
        ASSERT_EQ(make_link("br0"), -EEXIST);
        ASSERT_EQ(make_link("eth0"), 0);
        ASSERT_EQ(route_add(root, "vnet0", &a), 1);
        ASSERT_EQ(route_add(root, "vnet0", &a), 0);
        ASSERT_EQ(route_add(root, "vnet1", &b), 1);
        ASSERT_EQ(count("br0"), 2);
        ASSERT_EQ(route_load(root, "vnet0", &r), 1);
        ASSERT_EQ(memcmp(&r, &a, sizeof(r)), 0);
        /* Started again: the new tap is there before the old one is seen to be gone. */
        ASSERT_EQ(route_add(root, "vnet2", &a), 0);
        ASSERT_EQ(route_remove(root, "vnet0"), 1);
        ASSERT_EQ(count("br0"), 2);
        ASSERT_EQ(route_remove(root, "vnet0"), 0);
        ASSERT_EQ(route_remove_all(root), 1);
        ASSERT_EQ(count("br0"), 0);
        ASSERT_EQ(route_add(root, "vnet0", &a), 1); /* so nothing of it was left */
        ASSERT_EQ(route_remove_all(root), 1);
        ASSERT_EQ(route_remove_all(root), 0);
        ASSERT_EQ(route_add(root, "../x", &a), -EINVAL);
}
