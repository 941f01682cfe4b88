/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "early.h"
#include "strv.h"
#include "tests/tree.h"

static PciDevice devices[] = {
        { .bdf = { 0, 1, 0, 0 },
          .name = "0000:01:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .class = 0x030000,
          .iommu_group = 12,
          .path = (char *) "pci-0000:00:01.0/00.0" },
};
static const PciBus bus = { devices, ELEMENTSOF(devices) };
static Conf conf = { .vfio = true };

static void maybe_read(int root, const char *path, char **ret) {
        int r = fs_read(root, path, FS_ATTR_MAX, ret, NULL);

        ASSERT(r == 0 || r == -ENOENT);
}

/* The files, on a machine whose initramfs-tools has a list with an administrator's line. */
static int apply(int root, const char *rule_begins, const char *modules, const char *initrd) {
        Phase p = { .name = "vfio", .root = root };
        _cleanup_(undo_freep) Undo *u = NULL;
        _cleanup_free_ char *rule = NULL, *m = NULL, *i = NULL;
        int r;

        ASSERT_EQ(undo_open(root, "vfio", &u), 0);
        r = early_apply(&p, u, &conf, &bus);
        maybe_read(root, EARLY_RULE, &rule);
        maybe_read(root, EARLY_MODULES, &m);
        maybe_read(root, EARLY_INITRD, &i);
        ASSERT(rule_begins ? rule && startswith(rule, rule_begins) : !rule);
        ASSERT(modules ? m && strstr(m, modules) : !m);
        ASSERT_STREQ(strempty(i), initrd);
        for (size_t k = 0; k < p.n_changes; k++) {
                free(p.changes[k].action);
                free(p.changes[k].object);
                free(p.changes[k].detail);
        }
        free(p.changes);
        strv_free(p.notes);
        return r;
}

TEST(writes_once_and_takes_back) {
        int root = tree_new();

        tree_put("/usr/sbin/mkinitramfs", "");
        tree_put(EARLY_INITRD, "raid1\n");
        tree_put("/proc/self/mountinfo", "");
        conf.gpu_mode = GPU_EXCLUSIVE;
        ASSERT_EQ(apply(root, "# Written by gpuvm", "\nvfio-pci\n",
                        "raid1\n# gpuvm: an exclusive GPU belongs to vfio-pci from the start\nvfio-pci\n"),
                  1);
        ASSERT_EQ(apply(root, "# Written by gpuvm", "\nvfio-pci\n",
                        "raid1\n# gpuvm: an exclusive GPU belongs to vfio-pci from the start\nvfio-pci\n"),
                  0);
        ASSERT_EQ(fs_exists(root, EARLY_DRACUT), 0);
        conf.gpu_mode = GPU_FLEXIBLE;
        ASSERT_EQ(apply(root, NULL, NULL, "raid1\n"), 1);
        ASSERT_EQ(apply(root, NULL, NULL, "raid1\n"), 0);
}

TEST(keeps_a_line_that_was_there) {
        int root = tree_new();

        tree_put("/usr/sbin/mkinitramfs", "");
        tree_put(EARLY_INITRD, "vfio-pci\nlast");
        conf.gpu_mode = GPU_EXCLUSIVE;
        ASSERT_EQ(apply(root, "# Written by gpuvm", "vfio-pci", "vfio-pci\nlast\n"), 1);
        conf.gpu_mode = GPU_FLEXIBLE;
        ASSERT_EQ(apply(root, NULL, NULL, "vfio-pci\nlast\n"), 1);
}

/* A tree whose kernel has a driver of its own for this card: the index of aliases, as depmod writes it, with
 * one node that has all of the alias and one value (libkmod-index.c). */
static int variant_tree(void) {
        static const char index[] = "\xb0\x07\xf4\x57\0\x02\0\x01\xc0\0\0\x0c"
                                    "vfio_pci:v000010DEd00002684sv*sd*bc*sc*i*\0\0\0\0\x01\0\0\0\0"
                                    "nvgrace_gpu_vfio_pci";
        int root = tree_new();

        tree_put("/proc/sys/kernel/osrelease", "6.8.0-1-test\n");
        ASSERT_EQ(fs_write_atomic(root, "/lib/modules/6.8.0-1-test/modules.alias.bin", index, sizeof(index),
                                  0644),
                  0);
        tree_put("/proc/self/mountinfo", "");
        devices[0].modalias = (char *) "pci:v000010DEd00002684sv00001458sd000040BFbc03sc00i00";
        conf.gpu_mode = GPU_EXCLUSIVE;
        return root;
}

TEST(a_variant_driver_is_everywhere) {
        int root = variant_tree();
        _cleanup_free_ char *rule = NULL;

        tree_put("/usr/sbin/mkinitramfs", "");
        tree_put(EARLY_INITRD, "raid1\n");
        ASSERT_EQ(apply(root, "# Written by gpuvm", "driver.\nvfio-pci\n",
                        "raid1\n# gpuvm: an exclusive GPU belongs to vfio-pci from the start\nvfio-pci\n"
                        "# gpuvm: an exclusive GPU belongs to nvgrace_gpu_vfio_pci from the start\n"
                        "nvgrace_gpu_vfio_pci\n"),
                  1);
        maybe_read(root, EARLY_RULE, &rule);
        ASSERT(strstr(rule, "ATTR{driver_override}=\"nvgrace_gpu_vfio_pci\""));
        conf.gpu_mode = GPU_FLEXIBLE;
        ASSERT_EQ(apply(root, NULL, NULL, "raid1\n"), 1);
}

TEST(a_blacklisted_variant_driver_is_none) {
        int root = variant_tree();
        _cleanup_free_ char *rule = NULL;

        tree_put("/etc/modprobe.d/local.conf", "blacklist nvgrace-gpu-vfio-pci\n");
        ASSERT_EQ(apply(root, "# Written by gpuvm", "vfio-pci", ""), 0);
        maybe_read(root, EARLY_RULE, &rule);
        ASSERT(strstr(rule, "kmod load vfio-pci"));
        ASSERT(!strstr(rule, "nvgrace"));
}

/* What follows a module that a kernel lacks is not in dracut's image: the administrator's list may. */
TEST(dracut_takes_no_variant_driver) {
        int root = variant_tree();
        _cleanup_free_ char *dracut = NULL, *rule = NULL;

        tree_put("/usr/bin/dracut", "");
        ASSERT_EQ(apply(root, "# Written by gpuvm", "vfio-pci", ""), 1);
        maybe_read(root, EARLY_DRACUT, &dracut);
        ASSERT(strstr(dracut, "\nadd_drivers+=\" vfio-pci \"\n"));
        ASSERT(!strstr(dracut, "nvgrace"));
        maybe_read(root, EARLY_RULE, &rule);
        ASSERT(strstr(rule, "kmod load nvgrace_gpu_vfio_pci"));
}

TEST(ours_alone_is_taken_out) {
        int root = tree_new();

        tree_put("/usr/sbin/mkinitramfs", "");
        tree_put("/proc/self/mountinfo", "");
        tree_put(EARLY_INITRD,
                 "# gpuvm: an exclusive GPU belongs to mlx5_vfio_pci from the start\nmlx5_vfio_pci\n"
                 "mlx5_vfio_pci\n# gpuvm: an exclusive GPU belongs to vfio-pci from the start\nraid1\n");
        conf.gpu_mode = GPU_FLEXIBLE;
        ASSERT_EQ(apply(root, NULL, NULL, "mlx5_vfio_pci\nraid1\n"), 1);
}

TEST(dracut_and_none) {
        int root = tree_new();

        conf.gpu_mode = GPU_EXCLUSIVE;
        ASSERT_EQ(apply(root, "# Written by gpuvm", "vfio-pci", ""), 0);
        tree_put("/usr/bin/dracut", "");
        ASSERT_EQ(apply(root, "# Written by gpuvm", "vfio-pci", ""), 1);
        ASSERT_EQ(fs_exists(root, EARLY_DRACUT), 1);
        conf.vfio = false; /* the phase is off: nothing is touched */
        conf.gpu_mode = GPU_FLEXIBLE;
        ASSERT_EQ(apply(root, "# Written by gpuvm", "vfio-pci", ""), 0);
        conf.vfio = true;
        ASSERT_EQ(apply(root, NULL, NULL, ""), 1);
        ASSERT_EQ(fs_exists(root, EARLY_DRACUT), 0);
}
