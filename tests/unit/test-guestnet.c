/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guestnet.h"
#include "json.h"
#include "tests/tap.h"

#define MAC       "52:54:00:1a:2b:3c"
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const struct {
        const char *label;
        GuestNet net;
        const char *want; /* of the link; NULL: refused */
} rows[] = {
        { "dhcp", { .mac = MAC }, "\"dhcp4\":true" },
        { "dhcp with a name server and a small MTU",
          { .mac = MAC, .dns = LIST("192.0.2.53"), .mtu = 1450 },
          "\"dhcp4\":true,\"nameservers\":{\"addresses\":[\"192.0.2.53\"]},\"mtu\":1450" },
        { "a subnet",
          { .mac = MAC,
            .addresses = LIST("192.0.2.7/24"),
            .gateways = LIST("192.0.2.1"),
            .dns = LIST("192.0.2.1", "2001:db8::1") },
          "\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"192.0.2.1\"}],\"addresses\":[\"192.0.2.7/24\"],\"nameservers\":"
          "{\"addresses\":[\"192.0.2.1\",\"2001:db8::1\"]}" },
        { "a single address",
          { .mac = MAC, .addresses = LIST("203.0.113.7/32"), .gateways = LIST("198.51.100.1") },
          "\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"198.51.100.1\",\"on-link\":true}],\"addresses\":[\"203.0.113.7/32\"]" },
        { "a subnet whose last bits the gateway is not in",
          { .mac = MAC, .addresses = LIST("192.0.2.7/29"), .gateways = LIST("192.0.2.8") },
          "\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"192.0.2.8\",\"on-link\":true}],\"addresses\":[\"192.0.2.7/29\"]" },
        { "both families",
          { .mac = MAC,
            .addresses = LIST("192.0.2.7/26", "2001:db8::7/64"),
            .gateways = LIST("192.0.2.62", "fe80::1") },
          "\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"192.0.2.62\"},{\"to\":\"::/0\",\"via\":\"fe80::1\"}],"
          "\"addresses\":[\"192.0.2.7/26\",\"2001:db8::7/64\"]" },
        { "IPv6 alone, a gateway outside",
          { .mac = MAC, .addresses = LIST("2001:db8::7/128"), .gateways = LIST("2001:db8:ffff::1") },
          "\"routes\":[{\"to\":\"::/0\",\"via\":\"2001:db8:ffff::1\",\"on-link\":true}],\"addresses\":[\"2001:db8::7/128\"]" },
        { "no gateway",
          { .mac = MAC, .addresses = LIST("192.0.2.7/24") },
          "\"routes\":[],\"addresses\":[\"192.0.2.7/24\"]" },
        { "an address without its length", { .mac = MAC, .addresses = LIST("192.0.2.7") }, NULL },
        { "a gateway with one",
          { .mac = MAC, .addresses = LIST("192.0.2.7/24"), .gateways = LIST("192.0.2.1/24") },
          NULL },
        { "a gateway without an address of its family",
          { .mac = MAC, .addresses = LIST("192.0.2.7/24"), .gateways = LIST("2001:db8::1") },
          NULL },
        { "a gateway where there is DHCP", { .mac = MAC, .gateways = LIST("192.0.2.1") }, NULL },
        { "a name for a name server", { .mac = MAC, .dns = LIST("dns.example") }, NULL },
        { "no address at all", { .mac = MAC, .addresses = LIST("192.0.2.256/24") }, NULL },
        { "a length that is too long", { .mac = MAC, .addresses = LIST("192.0.2.7/33") }, NULL },
        { "everything", { .mac = MAC, .addresses = LIST("192.0.2.7/0") }, NULL },
        { "a group's MAC", { .mac = "01:00:5e:00:00:01" }, NULL },
        { "half a MAC", { .mac = "52:54:00:1a:2b" }, NULL },
        { "more than a MAC", { .mac = MAC ":00" }, NULL },
};

TEST(the_configuration_of_each_kind) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *text = NULL;
                char want[1024];
                int r = guestnet_config(&rows[i].net, &text);

                printf("# %s\n", rows[i].label);
                ASSERT_EQ(r, rows[i].want ? 0 : -EINVAL);
                if (r < 0)
                        continue;
                (void) snprintf(want, sizeof(want),
                                "{\"ethernets\":{\"uplink\":{\"match\":{\"macaddress\":\"" MAC
                                "\"},%s}},\"version\":2}",
                                rows[i].want);
                ASSERT_STREQ(text, want);
        }
}

TEST(a_mac_is_that_of_its_machine) {
        char a[18], b[18], c[18];

        ASSERT_EQ(guestnet_mac("f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d", 0, a), 0);
        ASSERT_EQ(guestnet_mac("F3A1C2D4-0F5E-4B7A-9C3D-1E2F3A4B5C6D", 0, b), 0);
        ASSERT_STREQ(a, b);
        ASSERT_EQ(guestnet_check_mac(a), 0);
        ASSERT(startswith(a, "52:54:00:"));
        ASSERT_EQ(guestnet_mac("f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d", 1, c), 0);
        ASSERT(!streq(a, c));
        ASSERT_EQ(guestnet_mac("f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6e", 0, c), 0);
        ASSERT(!streq(a, c));
        ASSERT_EQ(guestnet_mac("talos-01", 0, c), -EINVAL);
        ASSERT_EQ(guestnet_mac("f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6x", 0, c), -EINVAL);
}

/* 1,000 machines on one network hardly ever share one. */
TEST(macs_are_spread) {
        static char seen[1000][18];
        size_t same = 0;

        for (unsigned i = 0; i < ELEMENTSOF(seen); i++) {
                char uuid[37];

                (void) snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012x", i);
                ASSERT_EQ(guestnet_mac(uuid, 0, seen[i]), 0);
                for (unsigned k = 0; k < i; k++)
                        same += streq(seen[i], seen[k]);
        }
        ASSERT(same <= 1);
}

TEST(an_address_is_completed) {
        static const char *const networks[] = { "192.0.2.10/24", "10.0.0.1/8", "2001:db8::1/56", NULL };
        static const struct {
                const char *address, *whole; /* NULL: in none of them */
        } cases[] = { { "192.0.2.7", "192.0.2.7/24" },
                      { "10.9.8.7", "10.9.8.7/8" },
                      { "2001:db8:0:ff::7", "2001:db8:0:ff::7/56" },
                      { "2001:db8:0:100::7", NULL },
                      { "192.0.3.7", NULL } };
        char *whole = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                whole = NULL;
                ASSERT_EQ(guestnet_complete(cases[i].address, networks, &whole), cases[i].whole != NULL);
                ASSERT_STREQ(strna(whole), strna(cases[i].whole));
                free(whole);
        }
        ASSERT_EQ(guestnet_complete("192.0.2.7", NULL, &whole), 0);
        ASSERT_EQ(guestnet_complete("192.0.2.7/24", networks, &whole), -EINVAL);
        ASSERT_EQ(guestnet_complete("one", networks, &whole), -EINVAL);
}
