/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpumode.h"
#include "tests/tree.h"

#define PATH   "pci-0000:00:01.0/00.0"
#define DROPIN "/etc/gpuvm.conf.d/60-gpu-pci-0000:00:01.0_00.0.conf"

static const PciDevice gpu = { .name = "0000:01:00.0", .path = (char *) PATH };

static GpuModeChange plan(int root, GpuMode wanted) {
        GpuModeChange m = {};

        ASSERT_EQ(gpumode_plan(root, &gpu, wanted, &m), 0);
        ASSERT_STREQ(m.path, DROPIN);
        return m;
}

static GpuMode mode(int root) {
        _cleanup_(conf_done) Conf c = {};

        ASSERT_EQ(conf_load(root, NULL, NULL, &c), 0);
        return conf_gpu_mode(&c, gpu.name, gpu.path);
}

static void change(int root, GpuMode wanted) {
        _cleanup_(gpumode_done) GpuModeChange m = plan(root, wanted);

        ASSERT_EQ(m.was, mode(root));
        ASSERT_EQ(m.result, wanted);
        ASSERT_EQ(gpumode_apply(root, &m), 0);
        ASSERT_EQ(mode(root), wanted);
}

TEST(there_and_back) {
        int root = tree_new();
        _cleanup_free_ char *text = NULL;

        change(root, GPU_EXCLUSIVE);
        ASSERT_EQ(fs_read(root, DROPIN, FS_FILE_MAX, &text, NULL), 0);
        ASSERT(strstr(text, "[Gpu " PATH "]\nMode=exclusive\n"));
        ASSERT_EQ(fs_exists(root, "/var/lib/gpuvm/ledger"), 1);
        change(root, GPU_FLEXIBLE);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

TEST(as_it_is_already) {
        int root = tree_new();
        _cleanup_(gpumode_done) GpuModeChange none = plan(root, GPU_FLEXIBLE), same = {};

        ASSERT(!none.needed);
        ASSERT_EQ(gpumode_apply(root, &none), 0);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        ASSERT_EQ(fs_exists(root, "/var/lib/gpuvm"), 0);
        change(root, GPU_EXCLUSIVE);
        same = plan(root, GPU_EXCLUSIVE);
        ASSERT(!same.needed && same.text);
}

TEST(against_the_default) {
        int root = tree_new();

        tree_put("/etc/gpuvm.conf", "[Gpu]\nMode=exclusive\n");
        ASSERT_EQ(mode(root), GPU_EXCLUSIVE);
        change(root, GPU_FLEXIBLE);
        ASSERT_EQ(fs_exists(root, DROPIN), 1);
        change(root, GPU_EXCLUSIVE);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

/* One by its path would hide what else the administrator has said of the GPU by its address. */
TEST(the_administrators_section_goes_on) {
        int root = tree_new();
        _cleanup_(conf_done) Conf c = {};

        tree_put("/etc/gpuvm.conf", "[Gpu 0000:01:00.0]\nAcceptSiblings=0000:03:00.0\n");
        change(root, GPU_EXCLUSIVE);
        ASSERT_EQ(conf_load(root, NULL, NULL, &c), 0);
        ASSERT_STREQ(conf_gpu_accept_siblings(&c, gpu.name, gpu.path)[0], "0000:03:00.0");
}

TEST(whoever_comes_later_has_the_last_word) {
        int root = tree_new();

        tree_put("/etc/gpuvm.conf.d/50-early.conf", "[Gpu " PATH "]\nMode=flexible\n");
        change(root, GPU_EXCLUSIVE);
        change(root, GPU_FLEXIBLE);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        tree_put("/etc/gpuvm.conf.d/70-late.conf", "[Gpu " PATH "]\nMode=flexible\n");
        for (int i = 0; i < 2; i++) {
                _cleanup_(gpumode_done) GpuModeChange m = plan(root, GPU_EXCLUSIVE);

                ASSERT_EQ(m.result, GPU_FLEXIBLE);
                tree_put(DROPIN, m.text);
        }
}

TEST(the_kernel_command_line_counts) {
        int root = tree_new();
        _cleanup_(gpumode_done) GpuModeChange m = {};

        tree_put("/proc/cmdline", "quiet gpuvm.gpu-mode=exclusive\n");
        m = plan(root, GPU_EXCLUSIVE);
        ASSERT(!m.needed);
        change(root, GPU_FLEXIBLE);
        ASSERT_EQ(fs_exists(root, DROPIN), 1);
}
