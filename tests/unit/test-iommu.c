/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "iommu.h"
#include "tests/tap.h"
#include "tests/tree.h"

/* A function in group 7 unless told otherwise. */
static PciDevice function(const char *name, uint32_t class, const char *driver) {
        PciDevice d = { .class = class, .vendor = 0x8086, .iommu_group = 7, .driver = (char *) driver };

        ASSERT_EQ(bdf_parse(name, &d.bdf), 0);
        (void) bdf_format(d.bdf, d.name);
        return d;
}

static PciDevice nvidia(const char *name, uint32_t class, const char *driver) {
        PciDevice d = function(name, class, driver);

        d.vendor = 0x10de;
        return d;
}

static IommuVerdict check(PciDevice *devices, size_t n, size_t gpu, const IommuKeep *keep, size_t n_keep,
                          char *const *accept) {
        PciBus bus = { devices, n };
        IommuVerdict v;

        ASSERT_EQ(iommu_group_check(&bus, &devices[gpu], keep, n_keep, accept, &v), 0);
        return v;
}

TEST(a_card_with_its_functions_may_go) {
        PciDevice d[] = {
                function("0000:00:01.0", 0x060400, "pcieport"),
                nvidia("0000:01:00.0", 0x030000, "nvidia"),
                nvidia("0000:01:00.1", 0x040300, "snd_hda_intel"),
                nvidia("0000:01:00.2", 0x0c0330, "xhci_hcd"),
                nvidia("0000:01:00.3", 0x0c8000, "nvidia-gpu"),
                function("0000:02:00.0", 0x020000, "igb"),
        };
        IommuVerdict v;

        d[5].iommu_group = 8;
        v = check(d, ELEMENTSOF(d), 1, NULL, 0, NULL);
        ASSERT(v.viable);
        ASSERT(!v.blocker);
        ASSERT_EQ(v.n_endpoints, 4);
        ASSERT(v.endpoints[0] == &d[1]);
        ASSERT(v.endpoints[3] == &d[4]);
        ASSERT(v.owner == &d[1]);
        iommu_verdict_done(&v);
}

TEST(two_gpus_of_a_group_have_one_owner) {
        PciDevice d[] = {
                nvidia("0000:03:00.0", 0x030200, NULL),
                nvidia("0000:04:00.0", 0x030200, NULL),
        };
        IommuVerdict v = check(d, ELEMENTSOF(d), 1, NULL, 0, NULL);

        ASSERT(v.viable);
        ASSERT_EQ(v.n_endpoints, 2);
        ASSERT(v.owner == &d[0]);
        iommu_verdict_done(&v);
}

TEST(a_stranger_blocks_until_it_is_accepted) {
        PciDevice d[] = {
                nvidia("0000:01:00.0", 0x030000, NULL),
                function("0000:02:00.0", 0x020000, "igb"),
                function("0000:03:00.0", 0x010802, "nvme"),
        };
        char *one[] = { (char *) "0000:02:00.0", NULL };
        char *both[] = { (char *) "0000:02:00.0", (char *) "0000:03:00.0", NULL };
        IommuVerdict v = check(d, ELEMENTSOF(d), 0, NULL, 0, NULL);

        ASSERT(!v.viable);
        ASSERT_STREQ(v.blocker,
                     "IOMMU group 7 also holds 0000:02:00.0, a network card in use by the host's driver igb, which "
                     "would go along (AcceptSiblings=0000:02:00.0 allows that); 0000:03:00.0, a disk controller in "
                     "use by the host's driver nvme, which would go along (AcceptSiblings=0000:03:00.0 allows that)");
        iommu_verdict_done(&v);
        v = check(d, ELEMENTSOF(d), 0, NULL, 0, one);
        ASSERT(!v.viable);
        ASSERT(startswith(v.blocker, "IOMMU group 7 also holds 0000:03:00.0, a disk controller"));
        iommu_verdict_done(&v);
        v = check(d, ELEMENTSOF(d), 0, NULL, 0, both);
        ASSERT(v.viable);
        ASSERT_EQ(v.n_endpoints, 3);
        iommu_verdict_done(&v);
}

/* What the kernel allows to stay in a group that a VM has. */
TEST(idle_strangers_stay_where_they_are) {
        PciDevice d[] = {
                nvidia("0000:01:00.0", 0x030000, NULL),
                function("0000:02:00.0", 0x020000, NULL),
                function("0000:02:00.1", 0x020000, "pci-stub"),
                function("0000:02:00.2", 0x020000, "vfio-pci"),
        };
        IommuVerdict v = check(d, ELEMENTSOF(d), 0, NULL, 0, NULL);

        ASSERT(v.viable);
        ASSERT_EQ(v.n_endpoints, 1);
        iommu_verdict_done(&v);
}

TEST(what_the_host_needs_blocks_even_if_accepted_or_idle) {
        PciDevice d[] = {
                nvidia("0000:01:00.0", 0x030000, NULL),
                function("0000:02:00.0", 0x020000, NULL),
        };
        IommuKeep keep[] = { { d[1].bdf, "the network card of the default route" } };
        char *accept[] = { (char *) "0000:02:00.0", NULL };
        IommuVerdict v = check(d, ELEMENTSOF(d), 0, keep, 1, accept);

        ASSERT(!v.viable);
        ASSERT_STREQ(v.blocker,
                     "IOMMU group 7 also holds 0000:02:00.0, the network card of the default route, which "
                     "the host needs itself");
        iommu_verdict_done(&v);
}

TEST(bridges_stay_but_not_with_a_driver_of_the_host) {
        PciDevice d[] = {
                function("0000:00:1f.0", 0x060100, "lpc_ich"),
                nvidia("0000:01:00.0", 0x030000, NULL),
                nvidia("0000:02:00.0", 0x068000, "nvidia-nvswitch"),
        };
        char *accept[] = { (char *) "0000:02:00.0", NULL };
        IommuVerdict v = check(d, ELEMENTSOF(d), 1, NULL, 0, accept);

        ASSERT(!v.viable);
        ASSERT(strstr(v.blocker, "0000:00:1f.0, a bridge in use by the driver lpc_ich"));
        ASSERT_EQ(v.n_endpoints, 2);
        iommu_verdict_done(&v);
        d[0].driver = NULL;
        v = check(d, ELEMENTSOF(d), 1, NULL, 0, NULL);
        ASSERT(!v.viable);
        ASSERT(strstr(v.blocker, "0000:02:00.0, an NVSwitch"));
        iommu_verdict_done(&v);
}

TEST(another_vendors_display_is_no_companion) {
        PciDevice d[] = {
                nvidia("0000:01:00.0", 0x030000, NULL),
                function("0000:02:00.0", 0x030000, "ast"),
        };
        IommuVerdict v = check(d, ELEMENTSOF(d), 0, NULL, 0, NULL);

        ASSERT(!v.viable);
        ASSERT(strstr(v.blocker, "0000:02:00.0, a display controller"));
        iommu_verdict_done(&v);
}

TEST(each_group_of_a_card_has_to_be_free) {
        PciDevice d[] = {
                nvidia("0000:01:00.0", 0x030000, "nvidia"),
                nvidia("0000:01:00.1", 0x040300, "snd_hda_intel"),
                function("0000:01:00.2", 0x0c0330, "xhci_hcd"), /* of another maker: not the card's */
                function("0000:02:00.0", 0x020000, "igb"),
        };
        const IommuKeep keep = { d[3].bdf, "the network card of the default route", false };
        char *accept[] = { (char *) "0000:02:00.0", NULL };
        IommuVerdict v;

        for (size_t i = 0; i < ELEMENTSOF(d); i++)
                d[i].iommu_group = 20 - (int) i;
        v = check(d, ELEMENTSOF(d), 0, NULL, 0, NULL);
        ASSERT(v.viable);
        ASSERT_EQ(v.n_members, 2);
        ASSERT_EQ(v.n_endpoints, 2);
        ASSERT(v.endpoints[0] == &d[0] && v.endpoints[1] == &d[1]);
        iommu_verdict_done(&v);

        d[3].iommu_group = d[1].iommu_group;
        v = check(d, ELEMENTSOF(d), 0, NULL, 0, NULL);
        ASSERT(!v.viable);
        ASSERT_STREQ(v.blocker,
                     "IOMMU group 19, where another function of the card is, holds 0000:02:00.0, a network card in use "
                     "by the host's driver igb, which would go along (AcceptSiblings=0000:02:00.0 allows that)");
        iommu_verdict_done(&v);
        v = check(d, ELEMENTSOF(d), 0, NULL, 0, accept);
        ASSERT(v.viable);
        ASSERT_EQ(v.n_endpoints, 3);
        iommu_verdict_done(&v);
        v = check(d, ELEMENTSOF(d), 0, &keep, 1, accept);
        ASSERT(!v.viable);
        iommu_verdict_done(&v);
}

/* Two GPUs that only the audio function of one holds together: one unit is the owner, whoever is asked. */
TEST(gpus_that_a_companion_joins_have_one_owner) {
        PciDevice d[] = {
                nvidia("0000:01:00.0", 0x030000, NULL),
                nvidia("0000:01:00.1", 0x040300, NULL),
                nvidia("0000:02:00.0", 0x030000, NULL),
        };

        d[0].iommu_group = 8;
        for (size_t i = 0; i < 3; i += 2) {
                IommuVerdict v = check(d, ELEMENTSOF(d), i, NULL, 0, NULL);

                ASSERT(v.viable);
                ASSERT_EQ(v.n_endpoints, 3);
                ASSERT(v.endpoints[0] == &d[0]);
                ASSERT(v.owner == &d[0]);
                iommu_verdict_done(&v);
        }
}

TEST(no_group_is_no_verdict) {
        PciDevice d[] = { nvidia("0000:01:00.0", 0x030000, NULL) };
        PciBus bus = { d, 1 };
        IommuVerdict v;

        d[0].iommu_group = -1;
        ASSERT_EQ(iommu_group_check(&bus, d, NULL, 0, NULL, &v), -ENODEV);
}

TEST(groups_and_firmware_are_read) {
        const char *firmware = "?";
        int root = tree_new();
        size_t n = 9;

        ASSERT_EQ(iommu_count_groups(root, &n), 0);
        ASSERT_EQ(n, 0);
        ASSERT_EQ(iommu_firmware(root, &firmware), 0);
        ASSERT(!firmware);

        tree_put("/sys/kernel/iommu_groups/0/type", "DMA-FQ\n");
        tree_put("/sys/kernel/iommu_groups/1/type", "DMA\n");
        tree_put("/sys/kernel/iommu_groups/2/name", "vfio-noiommu\n");
        ASSERT_EQ(iommu_count_groups(root, &n), 0);
        ASSERT_EQ(n, 2);
        tree_put("/sys/firmware/acpi/tables/IVRS", "");
        ASSERT_EQ(iommu_firmware(root, &firmware), 0);
        ASSERT_STREQ(firmware, "amd");
        tree_put("/sys/firmware/acpi/tables/DMAR", "");
        ASSERT_EQ(iommu_firmware(root, &firmware), 0);
        ASSERT_STREQ(firmware, "intel");
}
