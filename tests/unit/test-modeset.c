/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When NVIDIA's driver has to leave the displays alone. */

#include "modeset.h"
#include "tests/tree.h"

static PciDevice devices[2];
static PciBus bus = { devices, ELEMENTSOF(devices) };
static ConfGpu section = { .path = (char *) "0000:02:00.0", .mode_set = true };
static Conf conf = { .vfio = true, .gpus = &section };
static IommuKeep kept = { .bdf = { 0, 1, 0, 0 }, .why = "the display of the console" };
static KeepList keep = { .items = &kept };
static const PciDevice *display;

/* Two cards in groups of their own, the first with the console. */
static void twins(void) {
        for (uint8_t i = 0; i < 2; i++) {
                devices[i] = (PciDevice){ .bdf = { 0, (uint8_t) (i + 1), 0, 0 },
                                          .vendor = 0x10de,
                                          .device = 0x2684,
                                          .class = 0x030000,
                                          .iommu_group = i,
                                          .boot_vga = i == 0 };
                (void) bdf_format(devices[i].bdf, devices[i].name);
        }
}

static bool wanted(bool desktop) {
        bool r = false;

        ASSERT_EQ(modeset_is_wanted(&conf, &bus, &keep, desktop, &r, &display), 0);
        return r;
}

TEST(flexible) {
        twins();
        ASSERT(wanted(false));
        ASSERT(!display);
}

TEST(exclusive) {
        twins();
        conf.gpu_mode = GPU_EXCLUSIVE;
        ASSERT(!wanted(false));
        conf.n_gpus = 1; /* but for the second one */
        ASSERT(wanted(false));
        ASSERT(wanted(true));
        ASSERT(!display);
}

TEST(the_desktop_of_the_host) {
        twins();
        ASSERT(!wanted(true));
        ASSERT(display == &devices[0]);
        devices[0].boot_vga = false;
        ASSERT(wanted(true));
        ASSERT(!display);
}

TEST(what_cannot_go_does_not_count) {
        twins();
        bus.n = 1;
        keep.n = 1;
        ASSERT(!wanted(false));
        ASSERT(!wanted(true));
        ASSERT(!display); /* there is nothing to be told */
        devices[0].iommu_group = -1;
        ASSERT(!wanted(false));
        keep.n = 0;
        ASSERT(wanted(false));
        bus.n = 2;
}

TEST(other_vendors) {
        twins();
        devices[0].vendor = devices[1].vendor = 0x1002;
        ASSERT(!wanted(false));
}

static void files(int root, int options, int dracut, int seen) {
        ASSERT_EQ(fs_exists(root, MODESET_PATH), options);
        ASSERT_EQ(fs_exists(root, MODESET_DRACUT), dracut);
        ASSERT_EQ(fs_exists(root, MODESET_SEEN), seen);
}

static int try_apply(int root) {
        Phase p = { .name = "vfio", .root = root };
        _cleanup_(undo_freep) Undo *u = NULL;
        int r;

        ASSERT_EQ(undo_open(root, "vfio", &u), 0);
        r = modeset_apply(&p, u, &conf, &bus);
        for (size_t k = 0; k < p.n_changes; k++) {
                free(p.changes[k].action);
                free(p.changes[k].object);
                free(p.changes[k].detail);
        }
        free(p.changes);
        free(p.failure);
        strv_free(p.notes);
        return r;
}

static void apply(int root) {
        ASSERT_EQ(try_apply(root), 0);
}

TEST(written_and_taken_back) {
        int root = tree_new();

        twins();
        tree_put("/proc/self/mountinfo", "");
        apply(root);
        files(root, 1, 0, 1);
        tree_put("/usr/bin/dracut", "");
        apply(root);
        files(root, 1, 1, 1);
        conf.gpu_mode = GPU_EXCLUSIVE;
        /* Without /boot nobody knows what is in the images: that counts as not seen. */
        ASSERT(try_apply(root) < 0);
        files(root, 0, 0, 1);
        tree_put("/boot/vmlinuz-6.1", "");
        apply(root);
        files(root, 0, 0, 0);
}
