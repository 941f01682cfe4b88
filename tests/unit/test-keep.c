/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "keep.h"
#include "strv.h"
#include "tests/tap.h"
#include "tests/tree.h"

static PciBus bus;

/* A bus of plain endpoints with these addresses, and a bridge where the class says so. */
static void new_bus(const char *const *names, size_t n) {
        bus = (PciBus){ calloc(n, sizeof(PciDevice)), n };
        for (size_t i = 0; i < n; i++) {
                PciDevice *d = &bus.devices[i];

                ASSERT_EQ(bdf_parse(names[i], &d->bdf), 0);
                (void) bdf_format(d->bdf, d->name);
                d->class = strstr(names[i], ":1d.0") ? 0x060400 : 0x010802;
        }
}
#define NEW_BUS(...)                                                 \
        do {                                                         \
                static const char *const names_[] = { __VA_ARGS__ }; \
                new_bus(names_, ELEMENTSOF(names_));                 \
        } while (0)

static const char *find(const KeepList *k, const char *name) {
        Bdf b;

        ASSERT_EQ(bdf_parse(name, &b), 0);
        for (size_t i = 0; i < k->n; i++)
                if (bdf_compare(k->items[i].bdf, b) == 0)
                        return k->items[i].why;
        return NULL;
}

static KeepList look(void) {
        KeepList k;

        ASSERT_EQ(keep_find(tree_root, &bus, &k), 0);
        return k;
}

static void done(KeepList *k) {
        keep_done(k);
        free(bus.devices);
}

TEST(a_plain_disk_and_its_partitions) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:00:1d.0", "0000:02:00.0", "0000:03:00.0");
        tree_put("/proc/self/mountinfo",
                 "1 0 259:3 / /home rw - ext4 /dev/nvme0n1p3 rw\n"
                 "2 0 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n");
        tree_link("/sys/dev/block/259:2",
                  "../../devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/"
                  "nvme0n1/nvme0n1p2");
        tree_link("/sys/dev/block/259:3",
                  "../../devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/"
                  "nvme0n1/nvme0n1p3");
        tree_link("/sys/class/block/nvme0n1p2",
                  "../../devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/"
                  "nvme0n1/nvme0n1p2");
        tree_link("/sys/class/block/nvme0n1p3",
                  "../../devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/"
                  "nvme0n1/nvme0n1p3");
        k = look();
        ASSERT_EQ(k.n, 1); /* the bridge is none, the other disk is idle */
        ASSERT_STREQ(find(&k, "0000:02:00.0"), "the disk under /");
        done(&k);
}

TEST(through_luks_lvm_and_a_partitioned_raid) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0", "0000:03:00.0", "0000:04:00.0");
        tree_put("/proc/self/mountinfo",
                 "1 0 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n"
                 "2 0 259:9 / /srv rw - xfs /dev/md0p1 rw\n");
        tree_link("/sys/dev/block/253:1", "../../devices/virtual/block/dm-1");
        tree_link("/sys/class/block/dm-1", "../../devices/virtual/block/dm-1");
        tree_link("/sys/devices/virtual/block/dm-1/slaves/dm-0", "../../dm-0");
        tree_link("/sys/class/block/dm-0", "../../devices/virtual/block/dm-0");
        tree_link("/sys/devices/virtual/block/dm-0/slaves/sda3", "x");
        tree_link("/sys/class/block/sda3", "../../devices/pci0000:00/0000:02:00.0/ata1/host0/sda/sda3");
        tree_link("/sys/dev/block/259:9", "../../devices/virtual/block/md0/md0p1");
        tree_link("/sys/class/block/md0p1", "../../devices/virtual/block/md0/md0p1");
        tree_link("/sys/class/block/md0", "../../devices/virtual/block/md0");
        tree_link("/sys/devices/virtual/block/md0/slaves/sdb", "x");
        tree_link("/sys/devices/virtual/block/md0/slaves/sdc", "x");
        tree_put("/sys/devices/virtual/block/md0/md0p1/partition", "1\n");
        tree_link("/sys/class/block/sdb", "../../devices/pci0000:00/0000:03:00.0/ata2/host1/sdb");
        tree_link("/sys/class/block/sdc", "../../devices/pci0000:00/0000:04:00.0/ata3/host2/sdc");
        k = look();
        ASSERT_EQ(k.n, 3);
        ASSERT_STREQ(find(&k, "0000:02:00.0"), "the disk under /");
        ASSERT_STREQ(find(&k, "0000:03:00.0"), "the disk under /srv");
        ASSERT_STREQ(find(&k, "0000:04:00.0"), "the disk under /srv");
        done(&k);
}

TEST(through_nvme_multipath) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0", "0000:03:00.0", "0000:04:00.0");
        tree_put("/proc/self/mountinfo", "1 0 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n");
        tree_link("/sys/dev/block/259:1",
                  "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p1");
        tree_link("/sys/class/block/nvme0n1p1",
                  "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p1");
        tree_link("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0",
                  "../../../pci0000:00/0000:02:00.0/nvme/nvme0");
        tree_link("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme1",
                  "../../../pci0000:00/0000:03:00.0/nvme/nvme1");
        k = look();
        ASSERT_EQ(k.n, 2);
        ASSERT(find(&k, "0000:02:00.0"));
        ASSERT(find(&k, "0000:03:00.0"));
        done(&k);
}

TEST(btrfs_of_two_disks_and_a_disk_behind_vmd) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:00:0e.0", "0000:02:00.0", "10000:e1:00.0");
        tree_put("/proc/self/mountinfo", "1 0 0:24 /@ / rw - btrfs /dev/sda2 rw\n");
        tree_link("/sys/class/block/sda2", "../../devices/pci0000:00/0000:02:00.0/ata1/host0/sda/sda2");
        tree_link("/sys/class/block/nvme0n1",
                  "../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e1:00.0/"
                  "nvme/nvme0/nvme0n1");
        tree_put("/sys/devices/pci0000:00/0000:02:00.0/ata1/host0/sda/sda2/partition", "2\n");
        tree_link("/sys/fs/btrfs/1234/devices/sda2",
                  "../../../../devices/pci0000:00/0000:02:00.0/ata1/host0/sda/sda2");
        tree_link("/sys/fs/btrfs/1234/devices/nvme0n1", "x");
        tree_put("/sys/fs/btrfs/features/raid1c34", "0\n");
        k = look();
        ASSERT_EQ(k.n, 3);
        ASSERT(find(&k, "0000:00:0e.0"));
        ASSERT(find(&k, "10000:e1:00.0"));
        done(&k);
}

TEST(a_mapped_device_without_its_node) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0", "0000:03:00.0");
        tree_put("/proc/self/mountinfo", "1 0 0:24 /@ / rw - btrfs /dev/mapper/vg-root rw\n");
        tree_link("/sys/class/block/dm-0", "../../devices/virtual/block/dm-0");
        tree_put("/sys/devices/virtual/block/dm-0/dm/name", "vg-home\n");
        tree_link("/sys/devices/virtual/block/dm-0/slaves/sdb", "x");
        tree_link("/sys/class/block/dm-1", "../../devices/virtual/block/dm-1");
        tree_put("/sys/devices/virtual/block/dm-1/dm/name", "vg-root\n");
        tree_link("/sys/devices/virtual/block/dm-1/slaves/sda", "x");
        tree_link("/sys/class/block/sda", "../../devices/pci0000:00/0000:02:00.0/ata1/host0/sda");
        tree_link("/sys/class/block/sdb", "../../devices/pci0000:00/0000:03:00.0/ata2/host1/sdb");
        k = look();
        ASSERT_EQ(k.n, 1);
        ASSERT_STREQ(find(&k, "0000:02:00.0"), "the disk under /");
        done(&k);
}

TEST(zfs_keeps_each_controller_that_the_host_drives) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0", "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0");
        bus.devices[0].driver = (char *) "nvme";
        bus.devices[1].class = 0x010601;
        bus.devices[1].driver = (char *) "ahci";
        bus.devices[2].driver = (char *) "vfio-pci";
        bus.devices[4].class = 0x020000;
        bus.devices[4].driver = (char *) "igb";
        tree_put("/proc/self/mountinfo",
                 "1 0 0:24 / / rw - ext4 /dev/sda1 rw\n"
                 "2 1 0:30 / /srv rw - zfs tank/srv rw\n");
        k = look();
        ASSERT_EQ(k.n, 2);
        ASSERT_STREQ(find(&k, "0000:02:00.0"), "the disk under /srv");
        ASSERT_STREQ(find(&k, "0000:03:00.0"), "the disk under /srv");
        done(&k);
}

TEST(swap_on_a_mapped_device) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0");
        tree_put("/proc/swaps",
                 "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
                 "/swapfile\t\tfile\t1\t0\t-2\n"
                 "/dev/mapper/swap    partition\t1\t0\t-3\n");
        tree_link("/dev/mapper/swap", "../dm-7");
        tree_link("/sys/class/block/dm-7", "../../devices/virtual/block/dm-7");
        tree_link("/sys/devices/virtual/block/dm-7/slaves/sda1", "x");
        tree_link("/sys/class/block/sda1", "../../devices/pci0000:00/0000:02:00.0/ata1/host0/sda/sda1");
        k = look();
        ASSERT_STREQ(find(&k, "0000:02:00.0"), "the disk with swap space");
        done(&k);
}

static void put_route(const char *interface) {
        char *text = NULL;

        ASSERT(asprintf(&text, "%s\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", interface) >
               0);
        tree_put("/proc/self/net/route", text);
        free(text);
}

TEST(the_uplink_through_bridge_vlan_and_bond) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0", "0000:02:00.1", "0000:05:00.0");
        put_route("br0");
        tree_link("/sys/class/net/br0", "../../devices/virtual/net/br0");
        tree_link("/sys/devices/virtual/net/br0/lower_bond0.5", "../bond0.5");
        tree_link("/sys/class/net/bond0.5", "../../devices/virtual/net/bond0.5");
        tree_link("/sys/devices/virtual/net/bond0.5/lower_bond0", "../bond0");
        tree_link("/sys/class/net/bond0", "../../devices/virtual/net/bond0");
        tree_link("/sys/devices/virtual/net/bond0/lower_eno1", "x");
        tree_link("/sys/devices/virtual/net/bond0/lower_eno2", "x");
        tree_link("/sys/class/net/eno1", "../../devices/pci0000:00/0000:02:00.0/net/eno1");
        tree_link("/sys/class/net/eno2", "../../devices/pci0000:00/0000:02:00.1/net/eno2");
        tree_link("/sys/class/net/eno3", "../../devices/pci0000:00/0000:05:00.0/net/eno3");
        tree_put("/sys/devices/pci0000:00/0000:05:00.0/net/eno3/operstate", "up\n");
        k = look();
        ASSERT_EQ(k.n, 2);
        ASSERT_STREQ(find(&k, "0000:02:00.0"), "the network card of the default route (br0)");
        ASSERT(find(&k, "0000:02:00.1"));
        done(&k);
}

TEST(without_a_traceable_route_every_card_that_is_up_counts) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0", "0000:05:00.0");
        put_route("ppp0");
        tree_link("/sys/class/net/ppp0", "../../devices/virtual/net/ppp0");
        tree_link("/sys/class/net/eno1", "../../devices/pci0000:00/0000:02:00.0/net/eno1");
        tree_link("/sys/class/net/eno3", "../../devices/pci0000:00/0000:05:00.0/net/eno3");
        tree_put("/sys/devices/pci0000:00/0000:02:00.0/net/eno1/operstate", "down\n");
        tree_put("/sys/devices/pci0000:00/0000:05:00.0/net/eno3/operstate", "up\n");
        k = look();
        ASSERT_EQ(k.n, 1);
        ASSERT_STREQ(find(&k, "0000:05:00.0"), "a network card in use (eno3)");
        done(&k);
}

TEST(loops_end) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0");
        put_route("br0");
        tree_link("/sys/class/net/br0", "../../devices/virtual/net/br0");
        tree_link("/sys/devices/virtual/net/br0/lower_br0", "../br0");
        k = look();
        ASSERT_EQ(k.n, 0);
        done(&k);
}

TEST(consoles_and_bmc) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:00:02.0", "0000:00:16.3", "0000:01:00.0", "0000:03:00.0", "0000:04:00.0");
        bus.devices[0] = (PciDevice){ .bdf = bus.devices[0].bdf,
                                      .class = 0x030000,
                                      .vendor = 0x8086,
                                      .boot_vga = true };
        bus.devices[2].class = 0x030000;
        bus.devices[2].vendor = 0x10de;
        bus.devices[2].boot_vga =
                        true; /* a GPU that shows the firmware's console may go where there is another */
        bus.devices[3].class = 0x030000;
        bus.devices[3].vendor = 0x1a03;
        tree_put("/proc/consoles", "ttyS4                -W- (EC   p a)    4:68\ntty0 -WU (E p ) 4:1\n");
        tree_link("/sys/class/tty/ttyS4", "../../devices/pci0000:00/0000:00:16.3/tty/ttyS4");
        tree_link("/sys/class/tty/tty0", "../../devices/virtual/tty/tty0");
        k = look();
        ASSERT_EQ(k.n, 3);
        ASSERT_STREQ(find(&k, "0000:00:02.0"), "the display of the console");
        ASSERT_STREQ(find(&k, "0000:03:00.0"), "the display of the management controller (BMC)");
        ASSERT_STREQ(find(&k, "0000:00:16.3"), "the console ttyS4");
        done(&k);
}

/* The GPU is the display that the firmware started with, and there is this of others. */
static KeepList with_gpu_console(uint16_t other, const char *consoles) {
        NEW_BUS("0000:00:02.0", "0000:01:00.0", "0000:01:00.1", "0000:02:00.0");
        if (other)
                bus.devices[0] = (PciDevice){ .bdf = bus.devices[0].bdf, .class = 0x038000, .vendor = other };
        for (size_t i = 1; i < 4; i++) {
                bus.devices[i].class = i == 2 ? 0x040300 : 0x030000;
                bus.devices[i].vendor = 0x10de;
                bus.devices[i].boot_vga = i == 1;
        }
        if (consoles)
                tree_put("/proc/consoles", consoles);
        return look();
}

TEST(the_only_console_asks_for_consent) {
        static const char *const displays[] = { "tty0 -WU (EC p ) 4:7\n", "tty1 -WU (EC p ) 4:1\n", "",
                                                NULL };
        static const char *const others[] = { "ttyS0 -W- (EC p a) 4:64\ntty0 -WU (E p ) 4:7\n",
                                              "tty0 -WU (E p ) 4:7\nhvc0 -W- (EC p ) 229:0\n",
                                              "ttyAMA0 -W- (EC p a) 204:64\n" };

        (void) tree_new();
        for (size_t i = 0; i < ELEMENTSOF(displays); i++) {
                KeepList k = with_gpu_console(0, displays[i]);

                ASSERT_EQ(k.n, 1);
                ASSERT_STREQ(find(&k, "0000:01:00.0"), "the only console of this machine");
                ASSERT(k.items[0].consent);
                done(&k);
        }
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                KeepList k = with_gpu_console(0, others[i]);

                ASSERT_EQ(k.n, 0);
                done(&k);
        }
        {
                KeepList k = with_gpu_console(0x8086, "tty0 -WU (EC p ) 4:7\n");

                ASSERT_EQ(k.n, 0);
                done(&k);
        }
}

/* The bus is that of one group; the machine has more. */
TEST(another_display_is_looked_for_in_the_whole_machine) {
        KeepList k;

        (void) tree_new();
        tree_put("/sys/bus/pci/devices/0000:00:02.0/class", "0x020000\n");
        tree_put("/sys/bus/pci/devices/0000:00:02.0/modalias",
                 "pci:v00008086d00004680sv00001458sd00001458bc02sc00i00\n");
        k = with_gpu_console(0, NULL);
        ASSERT_EQ(k.n, 1);
        done(&k);
        tree_put("/sys/bus/pci/devices/0000:04:00.0/class", "0x030000\n");
        tree_put("/sys/bus/pci/devices/0000:04:00.0/modalias",
                 "pci:v000010DEd00002684sv00001458sd00001458bc03sc00i00\n");
        k = with_gpu_console(0, NULL);
        ASSERT_EQ(k.n, 1); /* one more of NVIDIA's, which may be given away just so */
        done(&k);
        tree_put("/sys/bus/pci/devices/0000:05:00.0/class", "0x030000\n");
        tree_put("/sys/bus/pci/devices/0000:05:00.0/modalias",
                 "pci:v00001002d0000164Esv00001458sd00001458bc03sc00i00\n");
        k = with_gpu_console(0, NULL);
        ASSERT_EQ(k.n, 0);
        done(&k);
}

TEST(nothing_is_kept_of_an_empty_machine) {
        KeepList k;

        (void) tree_new();
        NEW_BUS("0000:02:00.0");
        k = look();
        ASSERT_EQ(k.n, 0);
        done(&k);
}
