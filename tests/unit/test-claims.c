/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "claims.h"
#include "tests/tap.h"
#include "tests/tree.h"

TEST(nobody_claims_anything) {
        Claims c;

        ASSERT_EQ(claims_read(tree_new(), NULL, &c), 0);
        ASSERT_EQ(c.n, 0);
        claims_done(&c);
}

TEST(who_gives_a_function_to_vfio) {
        const PciDevice d = { .name = "0000:01:00.0", .vendor = 0x10de, .device = 0x2684 };
        int root = tree_new();

        ASSERT_EQ(claims_on_vfio(root, &d), 0);
        tree_put("/etc/driverctl.d/pci-0000:01:00.0", "nouveau\n");
        tree_put("/etc/driverctl.d/pci-0000:01:00.1", "vfio-pci\n");
        tree_put("/proc/cmdline", "quiet vfio-pci.ids=10de:22ba,10de:26840,1002:2684\n");
        ASSERT_EQ(claims_on_vfio(root, &d), 0);
        tree_put("/etc/driverctl.d/pci-0000:01:00.0", "vfio-pci\n");
        ASSERT_EQ(claims_on_vfio(root, &d), 1);
        tree_put("/etc/driverctl.d/pci-0000:01:00.0", "nouveau\n");
        tree_put("/proc/cmdline", "quiet vfio-pci.ids=10de:22ba,10DE:2684:1458\n");
        ASSERT_EQ(claims_on_vfio(root, &d), 1);
        tree_put("/proc/cmdline", "quiet\n");
        ASSERT_EQ(claims_on_vfio(root, &d), 0);
        tree_put("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2684\n");
        ASSERT_EQ(claims_on_vfio(root, &d), 1);
}

TEST(driverctl_modprobe_and_command_line) {
        char *words[] = { (char *) "quiet", (char *) "vfio_pci.ids=10de:2684,10de:22ba", NULL };
        int root = tree_new();
        Claims c;

        tree_put("/etc/driverctl.d/pci-0000:01:00.0", "vfio-pci\n");
        tree_put("/etc/driverctl.d/vmbus-1234", "uio\n");
        tree_put("/etc/modprobe.d/vfio.conf",
                 "# options vfio-pci ids=1111:2222\n"
                 "options vfio-pci\tids=10de:2684 disable_vga=1\n"
                 "options vfio_pci disable_idle_d3=1\n"
                 "install vfio-pci ids=3333:4444\n");
        tree_put("/etc/modprobe.d/vfio.conf.dpkg-old", "options vfio-pci ids=5555:6666\n");
        ASSERT_EQ(claims_read(root, words, &c), 0);
        ASSERT_EQ(c.n, 3);
        ASSERT_STREQ(c.items[0].source, "/etc/driverctl.d/pci-0000:01:00.0");
        ASSERT_STREQ(c.items[0].what, "0000:01:00.0");
        ASSERT_STREQ(c.items[0].driver, "vfio-pci");
        ASSERT_STREQ(c.items[1].source, "/etc/modprobe.d/vfio.conf");
        ASSERT_STREQ(c.items[1].what, "10de:2684");
        ASSERT_STREQ(c.items[2].source, "the kernel command line");
        ASSERT_STREQ(c.items[2].what, "10de:2684,10de:22ba");
        claims_done(&c);
}
