/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "pci.h"
#include "tests/tap.h"
#include "tests/tree.h"

TEST(addresses) {
        char buf[BDF_STRING_MAX];
        Bdf b;

        ASSERT_EQ(bdf_parse("0000:01:00.0", &b), 0);
        ASSERT_STREQ(bdf_format(b, buf), "0000:01:00.0");
        ASSERT_EQ(bdf_parse("10000:E1:1f.7", &b), 0);
        ASSERT_STREQ(bdf_format(b, buf), "10000:e1:1f.7");
        ASSERT_EQ(bdf_parse("ffffffff:ff:1f.7", &b), 0);
        ASSERT_STREQ(bdf_format(b, buf), "ffffffff:ff:1f.7");
        ASSERT_EQ(bdf_parse("01:00.0", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("0000:01:00", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("0000:01:20.0", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("0000:01:00.8", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("0000:01:00.0 ", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("0000:001:00.0", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("123456789:01:00.0", &b), -EINVAL);
        ASSERT_EQ(bdf_parse("", &b), -EINVAL);
}

TEST(addresses_sort_by_number) {
        Bdf a, b;

        ASSERT_EQ(bdf_parse("ffff:ff:1f.7", &a), 0);
        ASSERT_EQ(bdf_parse("10000:00:00.0", &b), 0);
        ASSERT_EQ(bdf_compare(a, b), -1);
        ASSERT_EQ(bdf_compare(b, a), 1);
        ASSERT_EQ(bdf_compare(a, a), 0);
        ASSERT_EQ(bdf_parse("0000:01:00.7", &a), 0);
        ASSERT_EQ(bdf_parse("0000:01:01.0", &b), 0);
        ASSERT_EQ(bdf_compare(a, b), -1);
}

/* Both sides of each boundary between generations, by ids of real cards. */
TEST(architectures) {
        static const struct {
                uint16_t device;
                GpuArch arch;
        } cards[] = {
                { 0x0fc6, GPU_ARCH_OLDER },     /* GTX 650 */
                { 0x1292, GPU_ARCH_OLDER },     /* GT 740M */
                { 0x130b, GPU_ARCH_OLDER },     /* GK110B, the last Kepler */
                { 0x1340, GPU_ARCH_MAXWELL },   /* GM108, the first Maxwell */
                { 0x1436, GPU_ARCH_MAXWELL },   /* GM206M */
                { 0x15f8, GPU_ARCH_PASCAL },    /* Tesla P100 */
                { 0x1617, GPU_ARCH_MAXWELL },   /* GTX 980M */
                { 0x1725, GPU_ARCH_PASCAL },    /* GP100 */
                { 0x17c8, GPU_ARCH_MAXWELL },   /* GTX 980 Ti */
                { 0x17fd, GPU_ARCH_MAXWELL },   /* Tesla M40 */
                { 0x1b06, GPU_ARCH_PASCAL },    /* GTX 1080 Ti */
                { 0x1d56, GPU_ARCH_PASCAL },    /* GP108BM, the last Pascal */
                { 0x1d81, GPU_ARCH_VOLTA },     /* Titan V */
                { 0x1df6, GPU_ARCH_VOLTA },     /* Tesla V100S */
                { 0x1e02, GPU_ARCH_TURING },    /* Titan RTX, the first Turing */
                { 0x1eb8, GPU_ARCH_TURING },    /* Tesla T4 */
                { 0x1ff9, GPU_ARCH_TURING },    /* Quadro T1000 Mobile */
                { 0x20b0, GPU_ARCH_AMPERE },    /* A100 SXM4 */
                { 0x2184, GPU_ARCH_TURING },    /* GTX 1660 */
                { 0x2204, GPU_ARCH_AMPERE },    /* RTX 3090 */
                { 0x2236, GPU_ARCH_AMPERE },    /* A10 */
                { 0x2330, GPU_ARCH_HOPPER },    /* H100 SXM5 */
                { 0x2335, GPU_ARCH_HOPPER },    /* H200 SXM */
                { 0x25b6, GPU_ARCH_AMPERE },    /* A2 */
                { 0x2684, GPU_ARCH_ADA },       /* RTX 4090 */
                { 0x28f8, GPU_ARCH_ADA },       /* RTX 2000 Ada Embedded, the last Ada */
                { 0x2901, GPU_ARCH_BLACKWELL }, /* B200 */
                { 0x2d04, GPU_ARCH_BLACKWELL }, /* RTX 5060 Ti */
                { 0x3182, GPU_ARCH_BLACKWELL }, /* B300 */
                { 0x3040, GPU_ARCH_RUBIN },     { 0x1800, GPU_ARCH_UNKNOWN }, /* gaps */
                { 0x22ba, GPU_ARCH_UNKNOWN },                                 /* AD102 audio: no GPU */
                { 0xffff, GPU_ARCH_UNKNOWN },
        };

        for (size_t i = 0; i < ELEMENTSOF(cards); i++)
                if (gpu_arch_from_device_id(cards[i].device) != cards[i].arch)
                        tap_stop(EXIT_FAILURE, __LINE__, "%04x is %s, not %s", cards[i].device,
                                 gpu_arch_to_string(gpu_arch_from_device_id(cards[i].device)),
                                 gpu_arch_to_string(cards[i].arch));
        ASSERT_STREQ(gpu_arch_to_string(GPU_ARCH_ADA), "Ada");
        ASSERT_STREQ(gpu_arch_to_string(_GPU_ARCH_MAX), "unknown");
}

TEST(bridges) {
        ASSERT(pci_is_bridge(&(PciDevice){ .class = 0x060400, .header_type = 1 }));
        ASSERT(pci_is_bridge(&(PciDevice){ .class = 0x060400 }));
        ASSERT(pci_is_bridge(&(PciDevice){ .class = 0x060000 }));
        ASSERT(pci_is_bridge(&(PciDevice){ .class = 0x060100 }));
        ASSERT(pci_is_bridge(&(PciDevice){ .class = 0x060700, .header_type = 2 }));
        /* An NVSwitch is an endpoint of base class 06, and so is a non-transparent bridge's near side. */
        ASSERT(!pci_is_bridge(&(PciDevice){ .class = 0x068000, .vendor = 0x10de, .device = 0x22a3 }));
        ASSERT(pci_is_nvswitch(&(PciDevice){ .class = 0x068000, .vendor = 0x10de, .device = 0x22a3 }));
        ASSERT(!pci_is_nvswitch(&(PciDevice){ .class = 0x068000, .vendor = 0x8086 }));
        ASSERT(!pci_is_nvswitch(&(PciDevice){ .class = 0x060400, .vendor = 0x10de }));
        ASSERT(!pci_is_bridge(&(PciDevice){ .class = 0x030000 }));
}

TEST(gpus) {
        ASSERT(pci_is_nvidia_gpu(&(PciDevice){ .class = 0x030000, .vendor = 0x10de }));
        ASSERT(pci_is_nvidia_gpu(&(PciDevice){ .class = 0x030200, .vendor = 0x10de }));
        ASSERT(!pci_is_nvidia_gpu(&(PciDevice){ .class = 0x040300, .vendor = 0x10de }));
        ASSERT(!pci_is_nvidia_gpu(&(PciDevice){ .class = 0x030000, .vendor = 0x1002 }));
        ASSERT(!pci_is_nvidia_gpu(
                        &(PciDevice){ .class = 0x030200, .vendor = 0x10de, .virtual_function = true }));
        ASSERT(pci_is_display(&(PciDevice){ .class = 0x038000, .vendor = 0x1002 }));
}

static void put_device(const char *below, const char *bdf, const char *class, const char *device) {
        static const char *const names[] = { "class", "vendor", "device", "driver_override", "resource" };
        const char *const values[] = { class, "0x10de\n", device, "(null)\n",
                                       "0x00000000de000000 0x00000000deffffff 0x0000000000040200\n"
                                       "0x000000e000000000 0x000000e7ffffffff 0x000000000014220c\n"
                                       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n" };
        char *path = NULL, *target = NULL;

        ASSERT_EQ(str_printf(&path, "/sys/bus/pci/devices/%s", bdf), 0);
        ASSERT_EQ(str_printf(&target, "../../../devices/%s/%s", below, bdf), 0);
        tree_link(path, target);
        free(path);
        free(target);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                ASSERT_EQ(str_printf(&path, "/sys/devices/%s/%s/%s", below, bdf, names[i]), 0);
                tree_put(path, values[i]);
                free(path);
        }
}

TEST(scan_reads_a_machine) {
        int root = tree_new();
        const PciDevice *d;
        PciDevice none = {};
        char *driver = NULL;
        PciBus bus;
        Bdf b;

        put_device("pci0000:00/0000:00:01.0", "0000:01:00.0", "0x030000\n", "0x2684\n");
        tree_put("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/boot_vga", "1\n");
        tree_put("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/reset_method", "flr bus\n");
        tree_link("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/iommu_group",
                  "../../../../kernel/iommu_groups/14");
        put_device("pci0000:00/0000:00:01.0", "0000:01:00.1", "0x040300\n", "0x22ba\n");
        tree_link("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.1/driver",
                  "../../../../bus/pci/drivers/snd_hda_intel");
        put_device("pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0", "10000:e1:00.0", "0x030200\n",
                   "0x2335\n");
        tree_link("/sys/bus/pci/devices/0000:09:00.0", "../../../devices/gone");
        tree_link("/sys/bus/pci/devices/nonsense", "../../../devices/gone");

        ASSERT_EQ(pci_scan(root, &bus), 0);
        ASSERT_EQ(bus.n, 3);
        d = &bus.devices[0];
        ASSERT_STREQ(d->name, "0000:01:00.0");
        ASSERT_STREQ(d->path, "pci-0000:00:01.0/00.0");
        ASSERT_EQ(d->class, 0x030000);
        ASSERT_EQ(d->vendor, 0x10de);
        ASSERT_EQ(d->device, 0x2684);
        ASSERT_EQ(d->iommu_group, 14);
        ASSERT_EQ(d->numa_node, -1);
        ASSERT(d->boot_vga);
        ASSERT(!d->driver);
        ASSERT_STREQ(d->reset_method, "flr bus");
        ASSERT_EQ(d->bar_size[0], 16 << 20);
        ASSERT_EQ(d->bar_size[1], 32LL << 30);
        ASSERT_EQ(d->bar_size[2], 0);
        ASSERT_EQ(d->n_placed, 2);
        ASSERT(!d->unplaced);
        ASSERT_STREQ(d->devpath, "/devices/pci0000:00/0000:00:01.0/0000:01:00.0");
        ASSERT_STREQ(bus.devices[1].driver, "snd_hda_intel");
        ASSERT_EQ(bus.devices[1].iommu_group, -1);
        ASSERT(!bus.devices[1].reset_method);
        ASSERT_STREQ(bus.devices[2].path, "pci-0000:00:0e.0/06.0/00.0");

        ASSERT_EQ(bdf_parse("0000:01:00.1", &b), 0);
        ASSERT(pci_find(&bus, b) == &bus.devices[1]);
        ASSERT(pci_same_slot(&bus.devices[0], &bus.devices[1]));
        ASSERT_EQ(pci_read_driver(root, &bus.devices[1], &driver), 0);
        ASSERT_STREQ(driver, "snd_hda_intel");
        free(driver);
        driver = (char *) "";
        ASSERT_EQ(pci_read_driver(root, &bus.devices[0], &driver), 0);
        ASSERT(!driver);
        b.function = 5;
        (void) bdf_format(b, none.name);
        ASSERT_EQ(pci_read_driver(root, &none, &driver), -ENODEV);
        ASSERT(!pci_find(&bus, b));
        pci_bus_done(&bus);
}

/* The kernel's three ways to show a BAR that is of no use, and a port, which is no memory. */
TEST(bars_without_an_address) {
        static const char *const lines[] = {
                "0x0000000000000000 0x00000000000000ff 0x0000000000040101\n",
                "0x0000000000000000 0x00000007ffffffff 0x000000000014220c\n",
                "0x0000004000000000 0x00000047ffffffff 0x000000002014220c\n",
                "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
        };
        static const bool unplaced[] = { false, true, true, false };
        int root = tree_new();

        put_device("pci0000:00", "0000:00:03.0", "0x030000\n", "0x2684\n");
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                PciBus bus;

                tree_put("/sys/devices/pci0000:00/0000:00:03.0/resource", lines[i]);
                ASSERT_EQ(pci_scan(root, &bus), 0);
                ASSERT_EQ(bus.devices[0].n_placed, 0);
                ASSERT_EQ(bus.devices[0].unplaced, unplaced[i]);
                pci_bus_done(&bus);
        }
}

TEST(only_bridges_are_asked_for_their_header) {
        static const char config[] = "\xde\x10\0\0\0\0\0\0\0\0\0\0\0\0\x81";
        int root = tree_new();
        PciBus bus;

        put_device("pci0000:00", "0000:00:01.0", "0x060400\n", "0x0001\n");
        put_device("pci0000:00", "0000:00:02.0", "0x068000\n", "0x22a3\n");
        put_device("pci0000:00", "0000:00:03.0", "0x030000\n", "0x2684\n");
        put_device("pci0000:00", "0000:00:04.0", "0x060400\n", "0x0001\n");
        for (int i = 1; i <= 3; i++) {
                char *path = NULL;

                ASSERT(asprintf(&path, "/sys/devices/pci0000:00/0000:00:%02d.0/config", i) > 0);
                ASSERT_EQ(fs_write_atomic(root, path, config, sizeof(config), 0644), 0);
                free(path);
        }
        ASSERT_EQ(fs_write_atomic(root, "/sys/devices/pci0000:00/0000:00:04.0/config",
                                  "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16,
                                  0644),
                  0);
        ASSERT_EQ(pci_scan(root, &bus), 0);
        ASSERT_EQ(bus.devices[0].header_type, 1);
        ASSERT_EQ(bus.devices[1].header_type, 1);
        ASSERT_EQ(bus.devices[2].header_type, 0);
        ASSERT_EQ(bus.devices[3].header_type, 0);
        ASSERT(pci_is_bridge(&bus.devices[3]));
        ASSERT_STREQ(bus.devices[2].path, "pci-0000:00:03.0");
        pci_bus_done(&bus);
}

TEST(virtual_functions_have_paths_of_their_own) {
        int root = tree_new();
        PciBus bus;

        put_device("pci0000:3a/0000:3a:00.0", "0000:3b:00.0", "0x030200\n", "0x20b0\n");
        put_device("pci0000:3a/0000:3a:00.0", "0000:3b:00.4", "0x030200\n", "0x20b0\n");
        put_device("pci0000:3a/0000:3a:00.0", "0000:3c:00.0", "0x030200\n", "0x20b0\n");
        tree_link("/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.4/physfn", "../0000:3b:00.0");
        tree_link("/sys/devices/pci0000:3a/0000:3a:00.0/0000:3c:00.0/physfn", "../0000:3b:00.0");
        ASSERT_EQ(pci_scan(root, &bus), 0);
        ASSERT_STREQ(bus.devices[0].path, "pci-0000:3a:00.0/00.0");
        ASSERT_STREQ(bus.devices[1].path, "pci-0000:3a:00.0/00.0+4");
        ASSERT_STREQ(bus.devices[2].path, "pci-0000:3a:00.0/00.0+256");
        ASSERT(pci_is_nvidia_gpu(&bus.devices[0]));
        ASSERT(!pci_is_nvidia_gpu(&bus.devices[1]));
        pci_bus_done(&bus);
}

TEST(no_bus_is_an_empty_bus) {
        int root = tree_new();
        PciBus bus;

        ASSERT_EQ(pci_scan(root, &bus), 0);
        ASSERT_EQ(bus.n, 0);
        pci_bus_done(&bus);
}

/* One read instead of five; what it does not say exactly is read in the old way. */
TEST(ids_are_read_at_once) {
        static const struct {
                const char *modalias;
                unsigned device;
        } cases[] = {
                { "pci:v000010DEd00002684sv00001458sd000040E5bc03sc00i00\n", 0x2684 },
                { "pci:v000010DEd00002684sv00001458sd000040E5bc03sc00i00x\n", 0x1111 },
                { "pci:v000010DEd00002684sv00001458sd000040E5bc03sc00\n", 0x1111 },
                { "pci:v000010DEd00012684sv00001458sd000040E5bc03sc00i00\n", 0x1111 },
                { "\n", 0x1111 },
        };
        int root = tree_new();

        put_device("pci0000:00", "0000:01:00.0", "0x030200\n", "0x1111\n");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PciBus bus = {};

                tree_put("/sys/devices/pci0000:00/0000:01:00.0/modalias", cases[i].modalias);
                ASSERT_EQ(pci_scan(root, &bus), 0);
                ASSERT_EQ(bus.n, 1);
                ASSERT_EQ(bus.devices[0].device, cases[i].device);
                ASSERT_EQ(bus.devices[0].class, cases[i].device == 0x1111 ? 0x030200u : 0x030000u);
                pci_bus_done(&bus);
        }
}
