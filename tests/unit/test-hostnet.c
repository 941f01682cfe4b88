/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridge.h"
#include "fs.h"
#include "hostnet.h"
#include "tests/tap.h"
#include "tests/tree.h"

#define RECORD "/run/gpuvm/phases/bridge.json"

static int ask(int root, const char *conf, HostNet *ret) {
        _cleanup_(conf_done) Conf c = {};

        *ret = (HostNet){};
        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(conf_parse("f", conf, strlen(conf), NULL, NULL, &c), 0);
        return hostnet_read(root, &c, ret);
}

TEST(by_the_record) {
        int root = tree_new();
        HostNet n;

        ASSERT_EQ(ask(root, "", &n), 0);
        tree_put(RECORD, "{\"mode\":\"bridged\",\"bridge\":\"br7\",\"uplink\":\"eth0\"}");
        ASSERT_EQ(ask(root, "", &n), 1);
        ASSERT_EQ(n.mode, NETWORK_BRIDGED);
        ASSERT_STREQ(n.bridge, "br7");
        ASSERT_STREQ(n.uplink, "eth0");
        hostnet_done(&n);
        tree_put(RECORD, "{\"mode\":\"routed\",\"bridge\":\"br7\",\"uplink\":\"../x\"}");
        ASSERT_EQ(ask(root, "", &n), 1);
        ASSERT(n.bridge && !n.uplink);
        hostnet_done(&n);
        tree_put(RECORD, "{\"mode\":\"nat\",\"reason\":\"there is no default route\"}");
        ASSERT_EQ(ask(root, "", &n), 1);
        ASSERT_EQ(n.mode, NETWORK_NAT);
        ASSERT(n.bridge == NULL);
}

/* What is in the way of a path, or of another version of us, is nobody's bridge. */
TEST(a_record_that_is_none) {
        static const char *const texts[] = { "",
                                             "[]",
                                             "{\"mode\":\"auto\",\"bridge\":\"br0\"}",
                                             "{\"mode\":\"bridged\"}",
                                             "{\"mode\":\"bridged\",\"bridge\":\"../x\"}",
                                             "{\"mode\":7,\"bridge\":\"br0\"}" };
        int root = tree_new();
        HostNet n;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                tree_put(RECORD, texts[i]);
                ASSERT_EQ(ask(root, "", &n), 0);
        }
}

TEST(the_configuration_goes_first) {
        int root = tree_new();
        HostNet n;

        tree_put(RECORD, "{\"mode\":\"bridged\",\"bridge\":\"br0\"}");
        ASSERT_EQ(ask(root, "[Bootstrap]\nBridge=no\n", &n), 1);
        ASSERT_EQ(n.mode, NETWORK_NAT);
        ASSERT_EQ(ask(root, "[Network]\nMode=nat\n", &n), 1);
        ASSERT_EQ(n.mode, NETWORK_NAT);
}

/* A boot in which the phase did not run. */
TEST(by_what_is_kept) {
        char *files[] = { (char *) "/etc/systemd/network/00-gpuvm-br3.network", NULL };
        BridgeState s = { .stage = BRIDGE_CHANGED,
                          .owner = NETOWNER_NETWORKD,
                          .boot_id = (char *) "11111111-1111-4111-8111-111111111111",
                          .uplink = (char *) "eth0",
                          .bridge = (char *) "br3",
                          .files = files };
        int root = tree_new();
        HostNet n;

        tree_put("/var/lib/gpuvm/x", "");
        ASSERT_EQ(bridge_save(root, &s), 0);
        ASSERT_EQ(ask(root, "", &n), 0);
        s.stage = BRIDGE_KEPT;
        s.routed = true;
        ASSERT_EQ(bridge_save(root, &s), 0);
        ASSERT_EQ(ask(root, "", &n), 1);
        ASSERT_EQ(n.mode, NETWORK_ROUTED);
        ASSERT_STREQ(n.bridge, "br3");
        hostnet_done(&n);
}

TEST(what_is_there) {
        HostNet bridged = { NETWORK_BRIDGED, (char *) "br0" }, routed = { NETWORK_ROUTED, (char *) "br0" },
                nat = { .mode = NETWORK_NAT };
        int root = tree_new();

        ASSERT_EQ(hostnet_look(root, &nat), HOSTNET_WELL);
        ASSERT_EQ(hostnet_look(root, &bridged), HOSTNET_MISSING);
        tree_put("/sys/class/net/br0/address", "");
        ASSERT_EQ(hostnet_look(root, &routed), HOSTNET_MISSING);
        tree_put("/sys/class/net/br0/bridge/bridge_id", "");
        ASSERT_EQ(hostnet_look(root, &routed), HOSTNET_WELL);
        ASSERT_EQ(hostnet_look(root, &bridged), HOSTNET_NO_PORT);
        tree_put("/sys/class/net/br0/brif/eth0/state", "");
        ASSERT_EQ(hostnet_look(root, &bridged), HOSTNET_WELL);
}
