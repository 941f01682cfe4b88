/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "proc.h"
#include "strv.h"
#include "tests/tap.h"
#include "tests/tree.h"

TEST(mounts_are_read_with_and_without_tags) {
        int root = tree_new();
        const ProcMount *m;
        ProcMounts mounts;

        tree_put("/proc/self/mountinfo",
                 "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
                 "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
                 "28 27 0:30 / /mnt/a\\040b rw - btrfs /dev/vdb rw\n"
                 "29 27 254:16 / /mnt/a\\040b rw - xfs /dev/vdc rw\n"
                 "30 27 254:17 / /cut rw -\n"
                 "garbage\n"
                 "\n");
        ASSERT_EQ(proc_mounts_read(root, &mounts), 0);
        ASSERT_EQ(mounts.n, 4);
        m = proc_mounts_find(&mounts, "/");
        ASSERT(m);
        ASSERT_STREQ(m->device, "254:0");
        ASSERT_STREQ(m->type, "ext4");
        ASSERT_STREQ(m->source, "/dev/vda");
        m = proc_mounts_find(&mounts, "/mnt/a\\040b");
        ASSERT(m);
        ASSERT_STREQ(m->type, "xfs");
        ASSERT(!proc_mounts_find(&mounts, "/boot"));
        proc_mounts_done(&mounts);
}

TEST(the_table_of_pid_1_comes_first) {
        int root = tree_new();
        ProcMounts mounts;

        ASSERT_EQ(proc_mounts_read(root, &mounts), -ENOENT);
        tree_put("/proc/self/mountinfo", "27 1 254:0 / / rw - tmpfs tmpfs rw\n");
        tree_put("/proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n");
        ASSERT_EQ(proc_mounts_read(root, &mounts), 0);
        ASSERT_STREQ(mounts.items[0].type, "ext4");
        proc_mounts_done(&mounts);
}

TEST(default_routes) {
        _cleanup_strv_ char **l = NULL;
        int root = tree_new();

        ASSERT_EQ(proc_default_interfaces(root, &l), 0);
        ASSERT(!l);
        tree_put("/proc/self/net/route",
                 "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
                 "down0\t00000000\t0100A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n"
                 "eno1\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
                 "eno2\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
                 "half\t00000000\t00000000\t0001\t0\t0\t100\t00000080\t0\t0\t0\n"
                 "reject\t00000000\t00000000\t0201\t0\t0\t100\t00000000\t0\t0\t0\n");
        tree_put("/proc/self/net/ipv6_route",
                 "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                 "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     br0\n"
                 "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                 "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eno1\n"
                 "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                 "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
                 "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                 "00000000000000000000000000000000 00000100 00000001 00000000 00000001       lo\n"
                 "00000000000000000000000000000000 60 00000000000000000000000000000000 00 "
                 "00000000000000000000000000000000 00000100 00000001 00000000 00000001     sit0\n"
                 "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
                 "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eno3\n");
        ASSERT_EQ(proc_default_interfaces(root, &l), 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "eno1");
        ASSERT_STREQ(l[1], "br0");
}
