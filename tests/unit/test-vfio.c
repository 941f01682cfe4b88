/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "handover.h"
#include "tests/tree.h"
#include "vfio.h"

/* A card with audio in one group, and a card without a group. */
enum { GPU, AUDIO, OTHER, N };

static PciDevice devices[N] = {
        [GPU] = { .name = "0000:01:00.0", .bdf = { .bus = 1 }, .class = 0x030000, .iommu_group = 12 },
        [AUDIO] = { .name = "0000:01:00.1", .bdf = { .bus = 1, .function = 1 }, .iommu_group = 12 },
        [OTHER] = { .name = "0000:02:00.0", .bdf = { .bus = 2 }, .class = 0x030000, .iommu_group = -1 },
};
static const PciBus bus = { .devices = devices, .n = N };

static void drivers(const char *gpu, const char *audio, const char *other) {
        devices[GPU].driver = (char *) gpu;
        devices[AUDIO].driver = (char *) audio;
        devices[OTHER].driver = (char *) other;
}

TEST(the_host_has_it) {
        int root = tree_new();

        drivers("nvidia", NULL, "vfio-pci");
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 0);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[OTHER]), 1);
        drivers("vfio-pci", NULL, "nouveau");
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 1);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[OTHER]), 0);
}

TEST(one_function_is_enough) {
        int root = tree_new();

        drivers("nvidia", "vfio-pci", NULL);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 1);
}

TEST(a_cut_hand_over_is_not_over) {
        _cleanup_(handover_done) Handover before = {};
        int root = tree_new();

        drivers(NULL, "snd_hda_intel", NULL);
        ASSERT_EQ(handover_add(&before, devices[GPU].bdf, "nvidia", NULL), 1);
        ASSERT_EQ(handover_save(root, devices[GPU].bdf, &before), 0);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 1);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[OTHER]), 0);
        handover_find(&before, devices[GPU].bdf)->persistent = true;
        ASSERT_EQ(handover_save(root, devices[GPU].bdf, &before), 0);
        handover_done(&before);
        ASSERT_EQ(handover_load(root, devices[GPU].bdf, &before), 0);
        ASSERT(handover_find(&before, devices[GPU].bdf)->persistent);
        ASSERT(!handover_find(&before, devices[GPU].bdf)->drained);
        ASSERT_EQ(handover_remove(root, devices[GPU].bdf), 0);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 0);
        tree_put("/run/gpuvm/vfio/0000:01:00.0", "nonsense\n");
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 1);
}

/* What is written down of a card that is not there any more says nothing of the one at its address. */
TEST(a_record_is_about_one_card) {
        _cleanup_(handover_done) Handover before = {}, after = {};
        const PciDevice *const both[] = { &devices[GPU], &devices[AUDIO] };
        int root = tree_new();
        uint64_t now = 0;

        drivers("nvidia", "snd_hda_intel", NULL);
        tree_put("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n");
        tree_put("/sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
        ASSERT_EQ(pci_read_presence(root, &devices[GPU], &now), 0);
        ASSERT(now != 0);
        ASSERT_EQ(handover_add(&before, devices[GPU].bdf, "nouveau", NULL), 1);
        handover_find(&before, devices[GPU].bdf)->card = now + 1;
        ASSERT_EQ(handover_save(root, devices[GPU].bdf, &before), 0);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 0);
        ASSERT_EQ(handover_gather(root, both, 2, &after), 0);
        ASSERT_EQ(after.n, 0);
        handover_find(&before, devices[GPU].bdf)->card = now;
        ASSERT_EQ(handover_save(root, devices[GPU].bdf, &before), 0);
        ASSERT_EQ(vfio_is_away(root, &bus, &devices[GPU]), 1);
        ASSERT_EQ(handover_gather(root, both, 2, &after), 0);
        ASSERT_EQ(after.n, 1);
        ASSERT_EQ(after.list[0].card, now);
}
