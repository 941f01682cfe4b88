/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Initramfs: which kernels will start next, and whether their images know what /etc says. */

#include "early.h"
#include "initramfs.h"
#include "strv.h"
#include "tests/tree.h"

static void put(int root, const char *path, const char *text) {
        ASSERT_EQ(fs_write_atomic(root, path, text, strlen(text), 0644), 0);
}

TEST(kernels_that_start_next) {
        int root = tree_new();
        _cleanup_strv_ char **l = NULL;

        ASSERT_EQ(initramfs_kernels(root, &l), 0);
        ASSERT(!l);
        put(root, "/boot/vmlinuz-6.1.0-9-amd64", "k");
        put(root, "/boot/initrd.img-6.1.0-9-amd64", "i");
        put(root, "/boot/vmlinuz-6.1.0-13-amd64", "k");
        put(root, "/boot/initrd.img-6.1.0-13-amd64", "i");
        put(root, "/boot/vmlinuz-6.1.0-18-amd64", "k"); /* without an image */
        put(root, "/boot/vmlinuz-6.1.0-2-amd64", "k");
        put(root, "/boot/initrd.img-6.1.0-2-amd64", "i");
        ASSERT_EQ(initramfs_kernels(root, &l), 0);
        ASSERT_EQ(strv_length(l), 1);
        ASSERT_STREQ(l[0], "6.1.0-13-amd64");
        strv_free(TAKE_PTR(l));
        put(root, "/proc/sys/kernel/osrelease", "6.1.0-9-amd64\n");
        ASSERT_EQ(initramfs_kernels(root, &l), 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "6.1.0-9-amd64");
        ASSERT_STREQ(l[1], "6.1.0-13-amd64");
}

TEST(stale_until_settled) {
        int root = tree_new();

        ASSERT_EQ(initramfs_is_stale(root), 0);
        put(root, EARLY_RULE, "# rule\n");
        ASSERT_EQ(initramfs_is_stale(root), 1);
        ASSERT_EQ(initramfs_settle(root), 0);
        ASSERT_EQ(initramfs_is_stale(root), 0);
        put(root, EARLY_RULE, "# another\n");
        ASSERT_EQ(initramfs_is_stale(root), 1);
        ASSERT_EQ(initramfs_settle(root), 0);
        ASSERT_EQ(fs_remove(root, EARLY_RULE), 1);
        ASSERT_EQ(initramfs_is_stale(root), 1);
        ASSERT_EQ(initramfs_settle(root), 0);
        ASSERT_EQ(initramfs_is_stale(root), 0);
        ASSERT_EQ(fs_exists(root, "/var/lib/gpuvm/initramfs"), 0);
}
