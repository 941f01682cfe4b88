/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/tap.h"
#include "tests/tree.h"
#include "vmgpu.h"
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

TEST(settings_come_and_go) {
        _cleanup_free_ char *text = NULL, *target = NULL;
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, true), 0);
        ASSERT_EQ(fs_read(root, DROPIN "/gpus.conf", FS_FILE_MAX, &text, NULL), 0);
        ASSERT(strstr(text, "\nAfter=gpuvm-vfio@0000:01:00.0.service gpuvm-vfio@0000:02:00.0.service\n"));
        ASSERT_EQ(fs_readlink(root, LINK, &target), 0);
        ASSERT_STREQ(target, GPUVM_UNITDIR "/gpuvm-vm@.service");
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 0); /* the unit itself is not installed here */
        tree_put(GPUVM_UNITDIR "/gpuvm-vm@.service", "");
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 1);
        ASSERT_EQ(vmunit_is_enabled(root, "talos-02"), 0);
        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, true), 0);
        ASSERT_EQ(vmunit_may_remove(root, "talos-01"), 0);
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 0);
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
}

TEST(nothing_more_than_is_needed) {
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", NULL, false), 0);
        ASSERT_EQ(fs_exists(root, "/etc"), 0);
        ASSERT_EQ(vmunit_write(root, "../x", gpus, true), -EINVAL);
        ASSERT_EQ(vmunit_remove(root, "../x"), -EINVAL);
        ASSERT_EQ(fs_exists(root, "/etc"), 0);
}

TEST(what_the_administrator_has_put_there_stays) {
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, false), 0);
        tree_put(DROPIN "/override.conf", "[Service]\nTimeoutStopSec=10min\n");
        ASSERT_EQ(vmunit_remove(root, "talos-01"), 0);
        ASSERT_EQ(fs_exists(root, DROPIN "/override.conf"), 1);
        ASSERT_EQ(fs_exists(root, DROPIN "/gpus.conf"), 0);
}

TEST(gpus_that_were_taken) {
        Phase p = { .name = "vm", .root = tree_new() };
        _cleanup_strv_ char **none = NULL, **some = NULL;

        ASSERT_EQ(vmgpu_taken(p.root, "talos-01", &none), 0);
        ASSERT_EQ(strv_length(none), 0);
        tree_put(VMGPU_DIR "/talos-01/0000:02:00.0", "");
        tree_put(VMGPU_DIR "/talos-01/0000:01:00.0", "");
        tree_put(VMGPU_DIR "/talos-01/.0000:01:00.0.tmp", "");
        tree_put(VMGPU_DIR "/talos-02/0000:03:00.0", "");
        ASSERT_EQ(vmgpu_taken(p.root, "talos-01", &some), 0);
        ASSERT_EQ(strv_length(some), 2);
        ASSERT_STREQ(some[0], "0000:01:00.0");
        ASSERT_STREQ(some[1], "0000:02:00.0");
        ASSERT_EQ(vmgpu_taken(p.root, "../vms/talos-01", &none), -EINVAL);
        /* On a recorded machine no unit is started. */
        ASSERT(!vmgpu_has_units(&p));
        ASSERT_EQ(vmgpu_take(&p, "talos-01", some, 0), 0);
}

TEST(for_whom_a_gpu_was_taken) {
        Phase p = { .name = "vm", .root = tree_new() };
        _cleanup_free_ char *machine = NULL, *text = NULL;
        char one[] = "ollama.service", two[] = "dcgm.service", *units[] = { one, two, NULL };

        ASSERT_EQ(vmgpu_taken_for(p.root, gpus[0], &machine), 0);
        tree_put(VMGPU_DIR "/talos-02/0000:03:00.0", "");
        ASSERT_EQ(vmgpu_note_stopped(p.root, "talos-01", gpus[0], units), 0);
        ASSERT_EQ(vmgpu_note_stopped(p.root, "talos-01", gpus[0], units + 1), 0);
        ASSERT_EQ(vmgpu_taken_for(p.root, gpus[0], &machine), 1);
        ASSERT_STREQ(machine, "talos-01");
        /* Another machine's from now on, with what was stopped for it. */
        ASSERT_EQ(vmgpu_hand_on(p.root, "talos-01", gpus[0]), 0);
        ASSERT_EQ(vmgpu_hand_on(p.root, "talos-02", gpus[0]), 1);
        ASSERT_EQ(fs_exists(p.root, VMGPU_DIR "/talos-01/0000:01:00.0"), 0);
        ASSERT_EQ(fs_read(p.root, VMGPU_DIR "/talos-02/0000:01:00.0", FS_FILE_MAX, &text, NULL), 0);
        ASSERT_STREQ(text, "ollama.service\ndcgm.service\n");
        /* On a recorded machine no unit is stopped, and nothing is forgotten. */
        ASSERT_EQ(vmgpu_return(&p, "talos-02", gpus[0]), 0);
        ASSERT_EQ(vmgpu_settle(&p, gpus[0]), 0);
        ASSERT_EQ(fs_exists(p.root, VMGPU_DIR "/talos-02/0000:01:00.0"), 1);
}

TEST(gpus_come_and_go) {
        int root = tree_new();

        ASSERT_EQ(vmunit_write(root, "talos-01", gpus, true), 0);
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", gpus + 1), 0);
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", NULL), 0);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        ASSERT_EQ(vmunit_set_gpus(root, "talos-01", NULL), 0);
        tree_put(GPUVM_UNITDIR "/gpuvm-vm@.service", "");
        ASSERT_EQ(vmunit_is_enabled(root, "talos-01"), 1); /* as it was */
}
