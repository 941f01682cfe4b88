/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/tap.h"
#include "tests/tree.h"
#include "vmunit.h"

#define DIRECTORY "/etc/systemd/system"
#define DROPIN    DIRECTORY "/gpuvm-vm@talos-01.service.d"
#define LINK      DIRECTORY "/multi-user.target.wants/gpuvm-vm@talos-01.service"

static const char *const gpus[] = { "0000:01:00.0", "0000:02:00.0", NULL };

TEST(the_name_of_a_unit) {
        ASSERT_STREQ(vmunit_name("talos-01").text, "gpuvm-vm@talos-01.service");
        ASSERT_STREQ(vmunit_name("../x").text, "");
        ASSERT_STREQ(vmunit_name("a b").text, "");
        ASSERT_STREQ(vmunit_name("").text, "");
}

TEST(whose_unit_it_is) {
        _cleanup_free_ char *machine = NULL, *other = NULL;

        ASSERT_EQ(vmunit_machine("gpuvm-vm@talos-01.service", &machine), 1);
        ASSERT_STREQ(machine, "talos-01");
        ASSERT_EQ(vmunit_machine("gpuvm-vm@.service", &other), 0);
        ASSERT_EQ(vmunit_machine("gpuvm-vm@a b.service", &other), 0);
        ASSERT_EQ(vmunit_machine("gpuvm-vm@talos-01.socket", &other), 0);
        ASSERT_EQ(vmunit_machine("gpuvm-vm-settle@talos-01.service", &other), 0);
        ASSERT_EQ(vmunit_machine("gpuvm-vfio@0000:01:00.0.service", &other), 0);
        ASSERT(!other);
}

TEST(settings_come_and_go) {
        _cleanup_free_ char *text = NULL, *target = NULL;
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, NULL, true), 0);
        ASSERT_EQ(fs_read(root, DROPIN "/gpus.conf", FS_FILE_MAX, &text, NULL), 0);
        ASSERT(strstr(text, "\nAfter=gpuvm-vfio@0000:01:00.0.service gpuvm-vfio@0000:02:00.0.service\n"));
        ASSERT_EQ(fs_readlink(root, LINK, &target), 0);
        ASSERT_STREQ(target, GPUVM_UNITDIR "/gpuvm-vm@.service");
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 0); /* the unit itself is not installed here */
        tree_put(GPUVM_UNITDIR "/gpuvm-vm@.service", "");
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 1);
        ASSERT_EQ(vmunit_is_enabled(root, "talos-02"), 0);
        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, NULL, true), 0);
        ASSERT_EQ(vmunit_may_remove(root, "talos-01"), 0);
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 0);
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
}

TEST(nothing_more_than_is_needed) {
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", NULL, NULL, false), 0);
        ASSERT_EQ(fs_exists(root, "/etc"), 0);
        ASSERT_EQ(vmunit_write(root, "../x", gpus, NULL, true), -EINVAL);
        ASSERT_EQ(vmunit_remove(root, "../x"), -EINVAL);
        ASSERT_EQ(fs_exists(root, "/etc"), 0);
}

TEST(what_the_administrator_has_put_there_stays) {
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, NULL, false), 0);
        tree_put(DROPIN "/override.conf", "[Service]\nTimeoutStopSec=10min\n");
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
        ASSERT_EQ(fs_exists(root, DROPIN "/override.conf"), 1);
        ASSERT_EQ(fs_exists(root, DROPIN "/gpus.conf"), 0);
}

TEST(gpus_come_and_go) {
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, NULL, true), 0);
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", gpus + 1), 0);
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", NULL), 0);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", NULL), 0);
        tree_put(GPUVM_UNITDIR "/gpuvm-vm@.service", "");
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 1); /* as it was */
}

TEST(the_mount_of_what_it_shares) {
        _cleanup_free_ char *text = NULL;
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, "/srv/models", false), 0);
        ASSERT_EQ(fs_read(root, DROPIN "/store.conf", FS_FILE_MAX, &text, NULL), 0);
        ASSERT(endswith(text, "\n[Unit]\nRequiresMountsFor=/srv/models\n"));
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", NULL), 0);
        ASSERT_EQ(fs_exists(root, DROPIN "/store.conf"), 1);
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}
