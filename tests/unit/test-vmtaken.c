/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/tree.h"
#include "vmgpu.h"
#include "vmtaken.h"

static const char gpu[] = "0000:01:00.0";

TEST(gpus_that_were_taken) {
        Phase p = { .name = "vm", .root = tree_new() };
        _cleanup_strv_ char **none = NULL, **some = NULL;

        ASSERT_EQ(vmtaken_list(p.root, "talos-01", &none), 0);
        ASSERT_EQ(strv_length(none), 0);
        tree_put(VMTAKEN_DIR "/talos-01/0000:02:00.0", "");
        tree_put(VMTAKEN_DIR "/talos-01/0000:01:00.0", "");
        tree_put(VMTAKEN_DIR "/talos-01/.0000:01:00.0.tmp", "");
        tree_put(VMTAKEN_DIR "/talos-02/0000:03:00.0", "");
        ASSERT_EQ(vmtaken_list(p.root, "talos-01", &some), 0);
        ASSERT_EQ(strv_length(some), 2);
        ASSERT_STREQ(some[0], "0000:01:00.0");
        ASSERT_STREQ(some[1], "0000:02:00.0");
        ASSERT_EQ(vmtaken_list(p.root, "../vms/talos-01", &none), -EINVAL);
        /* On a recorded machine no unit is started. */
        ASSERT(!vmgpu_has_units(&p));
        ASSERT_EQ(vmgpu_take(&p, "talos-01", some, 0), 0);
}

TEST(for_whom_a_gpu_was_taken) {
        Phase p = { .name = "vm", .root = tree_new() };
        _cleanup_free_ char *machine = NULL, *text = NULL;
        char one[] = "ollama.service", two[] = "dcgm.service", *units[] = { one, two, NULL };

        ASSERT_EQ(vmtaken_for(p.root, gpu, &machine), 0);
        ASSERT_EQ(vmtaken_is(p.root, "talos-01", gpu), 0);
        tree_put(VMTAKEN_DIR "/talos-02/0000:03:00.0", "");
        ASSERT_EQ(vmtaken_note_stopped(p.root, "talos-01", gpu, units), 0);
        ASSERT_EQ(vmtaken_note_stopped(p.root, "talos-01", gpu, units + 1), 0);
        ASSERT_EQ(vmtaken_for(p.root, gpu, &machine), 1);
        ASSERT_STREQ(machine, "talos-01");
        ASSERT_EQ(vmtaken_is(p.root, "talos-01", gpu), 1);
        ASSERT_EQ(vmtaken_note(p.root, "talos-01", gpu), 0); /* and what is in it stays */
        /* Another machine's from now on, with what was stopped for it. */
        ASSERT_EQ(vmtaken_hand_on(p.root, "talos-01", gpu), 0);
        ASSERT_EQ(vmtaken_hand_on(p.root, "talos-02", gpu), 1);
        ASSERT_EQ(fs_exists(p.root, VMTAKEN_DIR "/talos-01/0000:01:00.0"), 0);
        ASSERT_EQ(fs_read(p.root, VMTAKEN_DIR "/talos-02/0000:01:00.0", FS_FILE_MAX, &text, NULL), 0);
        ASSERT_STREQ(text, "ollama.service\ndcgm.service\n");
        /* On a recorded machine no unit is stopped, and nothing is forgotten. */
        ASSERT_EQ(vmgpu_return(&p, "talos-02", gpu), 0);
        ASSERT_EQ(vmgpu_settle(&p, gpu), 0);
        ASSERT_EQ(fs_exists(p.root, VMTAKEN_DIR "/talos-02/0000:01:00.0"), 1);
        ASSERT_EQ(vmtaken_forget(p.root, "talos-02", gpu), 1);
        ASSERT_EQ(vmtaken_forget(p.root, "talos-02", gpu), 0);
        ASSERT_EQ(vmtaken_is(p.root, "talos-02", gpu), 0);
}
