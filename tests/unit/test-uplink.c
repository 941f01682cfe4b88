/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tests/tap.h"
#include "tests/tree.h"
#include "uplink.h"

TEST(managers) {
        _cleanup_strv_ char **l = NULL;
        int root = tree_new();

        ASSERT_EQ(uplink_managers(root, &l), 0);
        ASSERT(!l);
        tree_put("/run/network/ifstate.eno1", "eno1=eno1\n");
        tree_put("/etc/netplan/50-cloud-init.yaml", "network: {}\n");
        ASSERT_EQ(uplink_managers(root, &l), 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "netplan");
        ASSERT_STREQ(l[1], "ifupdown");
}

TEST(overlays_are_found_below_a_bridge) {
        char *names[] = { (char *) "eno1", (char *) "br0", NULL };
        char *overlay = NULL;
        int root = tree_new();

        ASSERT_EQ(uplink_find_overlay(root, NULL, &overlay), 0);
        ASSERT(!overlay);
        tree_put("/sys/class/net/eno1/uevent", "INTERFACE=eno1\nIFINDEX=2\n");
        tree_put("/sys/class/net/br0/uevent", "DEVTYPE=bridge\nINTERFACE=br0\n");
        tree_put("/sys/class/net/br0/lower_vx0/uevent", "");
        ASSERT_EQ(uplink_find_overlay(root, names, &overlay), 0);
        ASSERT(!overlay);
        tree_put("/sys/class/net/vx0/uevent", "DEVTYPE=vxlan\nINTERFACE=vx0\n");
        ASSERT_EQ(uplink_find_overlay(root, names, &overlay), 0);
        ASSERT_STREQ(overlay, "br0");
        free(overlay);
}

TEST(circles_end) {
        char *names[] = { (char *) "a", NULL };
        char *overlay = NULL;
        int root = tree_new();

        tree_put("/sys/class/net/a/lower_b", "");
        tree_put("/sys/class/net/b/lower_a", "");
        ASSERT_EQ(uplink_find_overlay(root, names, &overlay), 0);
        ASSERT(!overlay);
}
