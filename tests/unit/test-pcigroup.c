/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "pcigroup.h"
#include "strv.h"
#include "tests/tree.h"

#define GPU   "0000:01:00.0"
#define AUDIO "0000:01:00.1"
#define OTHER "0000:02:00.0"

static int root;

static void put_kind(const char *name, const char *kind, int group, const char *driver) {
        _cleanup_free_ char *dir = NULL, *path = NULL, *link = NULL, *target = NULL, *modalias = NULL;

        ASSERT(str_printf(&dir, "/sys/devices/pci0000:00/%s", name) == 0);
        ASSERT(str_printf(&path, "%s/modalias", dir) == 0);
        ASSERT(str_printf(&modalias, "pci:v0000%s\n", kind) == 0);
        tree_put(path, modalias);
        if (driver) {
                ASSERT(str_printf(&link, "%s/driver", dir) == 0 &&
                       str_printf(&target, "../../../bus/pci/drivers/%s", driver) == 0);
                tree_link(link, target);
        }
        free(link);
        free(target);
        ASSERT(str_printf(&link, "/sys/bus/pci/devices/%s", name) == 0 &&
               str_printf(&target, "../../../devices/pci0000:00/%s", name) == 0);
        tree_link(link, target);
        if (group < 0)
                return;
        free(link);
        free(target);
        ASSERT(str_printf(&link, "%s/iommu_group", dir) == 0 &&
               str_printf(&target, "../../../kernel/iommu_groups/%d", group) == 0);
        tree_link(link, target);
        free(link);
        ASSERT(str_printf(&link, "/sys/kernel/iommu_groups/%d/devices/%s", group, name) == 0);
        tree_link(link, "../../../../devices/whatever");
}

static void put(const char *name, int group, const char *driver) {
        put_kind(name, "10DEd00002684sv00001458sd000040E5bc03sc00i00", group, driver);
}

static void out(const char *path) {
        ASSERT_EQ(fs_remove(root, path), 1);
}

static Bdf bdf(const char *name) {
        Bdf b = {};

        ASSERT_EQ(bdf_parse(name, &b), 0);
        return b;
}

static void usual(PciBus *ret) {
        root = tree_new();
        put(GPU, 7, "nvidia");
        put(AUDIO, 7, NULL);
        put(OTHER, 8, "nvidia");
        ASSERT_EQ(pcigroup_read(root, bdf(AUDIO), ret), 0);
}

TEST(reads_the_group_and_no_more) {
        PciBus bus = {};

        usual(&bus);
        ASSERT_EQ(bus.n, 2);
        ASSERT_STREQ(bus.devices[0].name, GPU);
        ASSERT_STREQ(bus.devices[1].name, AUDIO);
        ASSERT_STREQ(bus.devices[0].driver, "nvidia");
        ASSERT(!bus.devices[1].driver);
        ASSERT_EQ(bus.devices[0].iommu_group, 7);
        ASSERT_EQ(bus.devices[1].iommu_group, 7);
        ASSERT_EQ(bus.devices[0].vendor, 0x10de);
        ASSERT_EQ(bus.devices[0].device, 0x2684);
        ASSERT_EQ(bus.devices[0].subsystem_vendor, 0x1458);
        ASSERT_EQ(bus.devices[0].subsystem_device, 0x40e5);
        ASSERT_EQ(bus.devices[0].class, 0x030000);
        ASSERT_STREQ(bus.devices[0].path, "pci-" GPU);
        pci_bus_done(&bus);
        ASSERT_EQ(pcigroup_read(root, bdf("0000:09:00.0"), &bus), 0);
        ASSERT_EQ(bus.n, 0);
        pci_bus_done(&bus);
}

TEST(without_a_group_it_is_alone) {
        PciBus bus = {};

        root = tree_new();
        put(GPU, -1, "nvidia");
        put(AUDIO, -1, NULL);
        ASSERT_EQ(pcigroup_read(root, bdf(GPU), &bus), 0);
        ASSERT_EQ(bus.n, 1);
        ASSERT_EQ(bus.devices[0].iommu_group, -1);
        ASSERT_EQ(pcigroup_look_again(root, bdf(GPU), &bus), 0);
        ASSERT_EQ(bus.n, 1);
        pci_bus_done(&bus);
}

TEST(sees_drivers_change) {
        PciBus bus = {};

        usual(&bus);
        out("/sys/devices/pci0000:00/" GPU "/driver");
        tree_link("/sys/devices/pci0000:00/" AUDIO "/driver", "../../../bus/pci/drivers/vfio-pci");
        /* What cannot change is not read again. */
        tree_put("/sys/devices/pci0000:00/" GPU "/modalias",
                 "pci:v00008086d00002684sv00001458sd000040E5bc03sc00i00\n");
        ASSERT_EQ(pcigroup_look_again(root, bdf(GPU), &bus), 0);
        ASSERT_EQ(bus.n, 2);
        ASSERT(!bus.devices[0].driver);
        ASSERT_STREQ(bus.devices[1].driver, "vfio-pci");
        ASSERT_EQ(bus.devices[0].vendor, 0x10de);
        pci_bus_done(&bus);
}

TEST(sees_functions_come_and_go) {
        PciBus bus = {};

        usual(&bus);
        put("0000:01:00.2", 7, "xhci_hcd");
        ASSERT_EQ(pcigroup_read_again(root, bdf(GPU), &bus), 0);
        ASSERT_EQ(bus.n, 3);
        ASSERT_STREQ(bus.devices[2].driver, "xhci_hcd");
        out("/sys/kernel/iommu_groups/7/devices/0000:01:00.2");
        ASSERT_EQ(pcigroup_read_again(root, bdf(GPU), &bus), 0);
        ASSERT_EQ(bus.n, 2);
        pci_bus_done(&bus);
}

/* Another card is at the address: its directory is another one, and so may be all that is in it. */
TEST(knows_a_card_that_was_replaced) {
        PciBus bus = {};

        usual(&bus);
        out("/sys/devices/pci0000:00/" AUDIO "/modalias");
        out("/sys/devices/pci0000:00/" AUDIO "/iommu_group");
        ASSERT_EQ(renameat(root, "sys/devices/pci0000:00/" AUDIO, root, "gone"), 0);
        tree_put("/sys/devices/pci0000:00/" AUDIO "/modalias",
                 "pci:v000010DEd000022BAsv00001458sd000040E5bc04sc03i00\n");
        tree_link("/sys/devices/pci0000:00/" AUDIO "/iommu_group", "../../../kernel/iommu_groups/7");
        ASSERT_EQ(pcigroup_look_again(root, bdf(GPU), &bus), 0);
        ASSERT_EQ(bus.n, 2);
        ASSERT_EQ(bus.devices[1].device, 0x22ba);
        ASSERT_EQ(bus.devices[1].class, 0x040300);
        pci_bus_done(&bus);
}

TEST(lists_what_is_there_now) {
        PciBus bus = {};

        usual(&bus);
        ASSERT(!bus.devices[0].names);
        ASSERT_EQ(pcigroup_list(&bus, &bus.devices[0]), 0);
        ASSERT(strv_contains(bus.devices[0].names, "modalias"));
        ASSERT(!strv_contains(bus.devices[0].names, "drm"));
        tree_put("/sys/devices/pci0000:00/" GPU "/drm/card0/dev", "226:0\n");
        ASSERT_EQ(pcigroup_list(&bus, &bus.devices[0]), 0);
        ASSERT(strv_contains(bus.devices[0].names, "drm"));
        pci_bus_done(&bus);
}

#define AUDIO_KIND "10DEd000022BAsv00001458sd000040E5bc04sc03i00"
#define UCSI_KIND  "10DEd00001ADBsv00001458sd000040E5bc0Csc80i00"

/* What goes along is the same whichever of the GPUs is asked. */
TEST(a_card_in_several_groups_is_one) {
        static const char *const functions[] = { GPU, AUDIO, "0000:01:00.2", OTHER };
        PciBus bus = {};

        root = tree_new();
        put(GPU, 7, "nvidia");
        put_kind(AUDIO, AUDIO_KIND, 8, "snd_hda_intel");
        put_kind("0000:01:00.2", UCSI_KIND, 9, NULL);
        /* Of another maker, and what no graphics card has. */
        put_kind("0000:01:00.3", "1022d000015E7sv00001458sd000040E5bc0Csc03i30", 10, "xhci_hcd");
        put_kind("0000:01:00.4", "10DEd00001234sv00001458sd000040E5bc02sc00i00", 11, NULL);
        /* A GPU in the group of the other one's audio function. */
        put(OTHER, 8, "nvidia");
        for (size_t i = 0; i < ELEMENTSOF(functions); i += 3) {
                ASSERT_EQ(pcigroup_read(root, bdf(functions[i]), &bus), 0);
                ASSERT_EQ(bus.n, 4);
                for (size_t k = 0; k < bus.n; k++)
                        ASSERT_STREQ(bus.devices[k].name, functions[k]);
                ASSERT_EQ(bus.devices[0].iommu_group, 7);
                ASSERT_EQ(bus.devices[1].iommu_group, 8);
                ASSERT_EQ(bus.devices[2].iommu_group, 9);
                ASSERT_EQ(bus.devices[3].iommu_group, 8);
                pci_bus_done(&bus);
        }
}
