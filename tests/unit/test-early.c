/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "early.h"
#include "strv.h"
#include "tests/tree.h"

static PciDevice devices[] = {
        { .bdf = { 0, 1, 0, 0 },
          .name = "0000:01:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .subsystem_vendor = 0x1458,
          .subsystem_device = 0x40bf,
          .class = 0x030000,
          .iommu_group = 12,
          .path = (char *) "pci-0000:00:01.0/00.0" },
        { .bdf = { 0, 1, 0, 1 },
          .name = "0000:01:00.1",
          .vendor = 0x10de,
          .device = 0x22ba,
          .class = 0x040300,
          .iommu_group = 12 },
        { .bdf = { 0, 2, 0, 0 },
          .name = "0000:02:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .class = 0x030200,
          .iommu_group = 13,
          .path = (char *) "pci-0000:00:02.0/00.0" },
        { .bdf = { 0, 3, 0, 0 },
          .name = "0000:03:00.0",
          .vendor = 0x8086,
          .device = 0x4680,
          .class = 0x030000,
          .iommu_group = 1 },
};
static const PciBus bus = { devices, ELEMENTSOF(devices) };
static ConfGpu sections[2];
static Conf conf = { .vfio = true, .gpus = sections };
static char *text, **left_out;

static void make(const IommuKeep *keep, size_t n) {
        free(text);
        text = NULL;
        strv_free(left_out);
        left_out = NULL;
        ASSERT_EQ(early_rule(&conf, &bus, keep, n, &text, &left_out), 0);
}

static size_t count(const char *word) {
        size_t n = 0;

        for (const char *p = text; (p = strstr(p, word)); p++)
                n++;
        return n;
}

TEST(nothing_for_flexible) {
        make(NULL, 0);
        ASSERT_STREQ(text, "");
        ASSERT(!left_out);
}

/* The switch is asked before the first line that does something, and jumps behind the last. */
TEST(the_rescue_switch_comes_first) {
        const char *asked, *jump, *acts;

        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        asked = strstr(text, "\nIMPORT{cmdline}=\"gpuvm.bootstrap\"\n");
        jump = strstr(text, "\nENV{gpuvm.bootstrap}==\"0|[Nn]|[Nn][Oo]|");
        acts = strstr(text, "driver_override");
        ASSERT(asked && jump && acts);
        ASSERT(asked < jump && jump < acts);
        ASSERT(endswith(text, "\nLABEL=\"gpuvm_vfio_end\"\n"));
        ASSERT_EQ(count("GOTO=\"gpuvm_vfio_end\""), 3);
}

TEST(the_whole_group_and_a_unit_for_the_gpu) {
        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        ASSERT(strstr(text,
                      "\nACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"0000:01:00.0\", ATTR{vendor}==\"0x10de\", "
                      "ATTR{device}==\"0x2684\", ATTR{subsystem_vendor}==\"0x1458\", "
                      "ATTR{subsystem_device}==\"0x40bf\", TEST==\"iommu_group\", "
                      "ATTR{driver_override}=\"vfio-pci\", RUN{builtin}+=\"kmod load vfio-pci\"\n"));
        ASSERT_EQ(count("driver_override"), 3);
        ASSERT_EQ(count("ENV{SYSTEMD_WANTS}+=\"gpuvm-vfio@$kernel.service\"\n"), 2);
        ASSERT_EQ(count("0000:01:00.1"), 1);
        ASSERT_EQ(count("0000:03:00.0"), 0); /* the other vendor's, that no section names */
}

TEST(one_of_two_twins) {
        sections[0] = (ConfGpu){ .path = (char *) "pci-0000:00:02.0/00.0",
                                 .mode = GPU_EXCLUSIVE,
                                 .mode_set = true };
        conf.n_gpus = 1;
        make(NULL, 0);
        ASSERT_EQ(count("driver_override"), 1);
        ASSERT_EQ(count("0000:02:00.0"), 2);
        ASSERT_EQ(count("0000:01:00"), 0);
}

TEST(another_vendor_by_name_only) {
        sections[0] = (ConfGpu){ .path = (char *) "0000:03:00.0", .mode = GPU_EXCLUSIVE, .mode_set = true };
        conf.n_gpus = 1;
        make(NULL, 0);
        ASSERT_EQ(count("0000:03:00.0"), 2);
        ASSERT_EQ(count("driver_override"), 1);
        sections[0].mode_set = false; /* the section is about something else, and [Gpu] is not for it */
        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        ASSERT_EQ(count("0000:03:00.0"), 0);
}

TEST(what_the_host_needs_is_left_out) {
        const IommuKeep keep = { .bdf = { 0, 1, 0, 1 }, .why = "the disk under /" };

        conf.gpu_mode = GPU_EXCLUSIVE;
        make(&keep, 1);
        ASSERT_EQ(count("0000:01:00"), 0);
        ASSERT_EQ(count("driver_override"), 1);
        ASSERT_EQ(strv_length(left_out), 1);
        ASSERT(strstr(left_out[0], "0000:01:00.0 stays with the host: "));
        ASSERT(strstr(left_out[0], "the disk under /"));
}

TEST(without_groups_the_slot_goes) {
        const IommuKeep keep = { .bdf = { 0, 2, 0, 0 }, .why = "the console" };

        conf.gpu_mode = GPU_EXCLUSIVE;
        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                devices[i].iommu_group = -1;
        make(&keep, 1);
        ASSERT_EQ(count("driver_override"), 2);
        ASSERT_EQ(count("SYSTEMD_WANTS"), 1);
        ASSERT_EQ(count("0000:01:00.1"), 1);
        ASSERT_EQ(strv_length(left_out), 1);
}

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
