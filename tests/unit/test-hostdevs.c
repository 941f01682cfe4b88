/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hostdevs.h"
#include "metadata.h"
#include "strv.h"
#include "tests/tap.h"

TEST(all_pci_functions_and_nothing_else) {
        _cleanup_strv_ char **l = NULL;
        int r = hostdevs_parse(
                        "<domain><devices><hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x0a' "
                        "slot='0x1f' function='0x7'/></source><address type='pci' domain='0x0000' bus='0x06' slot='0x00' "
                        "function='0x0'/></hostdev><hostdev type='usb'><source><address bus='1' device='2'/></source></hostdev>"
                        "<hostdev type='pci'><source><address bus='3' slot='0' function='1'/></source></hostdev>"
                        "<hostdev type='pci'><source><address bus='0x100' slot='0' function='1'/></source></hostdev>"
                        "<hostdev type='pci'/></devices></domain>",
                        &l);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "0000:0a:1f.7");
        ASSERT_STREQ(l[1], "0000:03:00.1");
}

TEST(a_machine_without_any) {
        _cleanup_strv_ char **l = NULL;
        int r = hostdevs_parse("<domain/>", &l);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(strv_length(l), 0);
        ASSERT_EQ(hostdevs_parse("<network/>", &l), -EBADMSG);
        ASSERT_EQ(hostdevs_parse("<domain>", &l), -EBADMSG);
}

#define PORT(index) "<controller type='pci' index='" index "' model='pcie-root-port'"
#define AT(bus)     "<address type='pci' domain='0x0000' bus='" bus "' slot='0x00' function='0x0'/>"
#define HOSTDEV(function)                                                                                \
        "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x0000' bus='0x21' " \
        "slot='0x00' function='" function "'/></source>"

/* As libvirt describes a machine: every device has its place. */
static const char machine[] =
                "<domain type='kvm'><metadata><g:vm xmlns:g='" METADATA_URI "' kind='debian'/></metadata>"
                "<memory unit='KiB'>1048576</memory><os><type arch='x86_64'>hvm</type></os>"
                "<cpu mode='host-passthrough'/><devices><controller type='pci' index='0' model='pcie-root'/>" PORT("1") "/>" PORT("2") ">" AT("0x00") "</controller>" PORT("3") "><target hotplug='off'/></controller>" PORT(
                                "4") "/>" PORT("5") "/>" PORT("6") "/>"
                                                                   "<disk type='file'>" AT("0x01") "</disk>" HOSTDEV("0x0") "<alias name='hostdev0'/>" AT(
                                                                                   "0x05") "</hostdev>"
                                                                                           "<memballoon model='virtio'>" AT(
                                                                                                           "0x04") "</memballoon></devices></domain>";

static const HostdevCard card = { .functions = { { .bus = 0x21 }, { .bus = 0x21, .function = 1 } },
                                  .n = 2,
                                  .is_gpu = true };

TEST(ports_that_are_free) {
        _cleanup_free_ unsigned *ports = NULL;
        size_t n;
        int r = hostdevs_free_ports(machine, &ports, &n);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(n, 2);
        ASSERT_EQ(ports[0], 2);
        ASSERT_EQ(ports[1], 6);
}

TEST(where_a_function_is) {
        HostdevPlace place;
        int r = hostdevs_find(machine, card.functions[0], &place);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT_STREQ(place.alias, "hostdev0");
        ASSERT_EQ(place.bus, 5);
        ASSERT_EQ(hostdevs_find(machine, card.functions[1], &place), 0);
}

TEST(what_keeps_one_that_runs_from_a_gpu) {
        _cleanup_free_ char *bits = NULL, *none = NULL, *limit = NULL;
        int r = hostdevs_refusal(machine, &bits);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT(bits && strstr(bits, "address bits"));
        ASSERT_EQ(hostdevs_refusal("<domain type='qemu'><os><type arch='x86_64'>hvm</type></os></domain>",
                                   &none),
                  0);
        ASSERT(!none);
        ASSERT_EQ(hostdevs_refusal(
                                  "<domain type='qemu'><memory unit='KiB'>4194304</memory><memtune><hard_limit "
                                  "unit='KiB'>4300000</hard_limit></memtune></domain>",
                                  &limit),
                  0);
        ASSERT(limit && strstr(limit, "hard_limit"));
}

/* What a part of it was is put together: one slot, at a port that nothing has. */
TEST(a_whole_card_at_the_next_start) {
        _cleanup_free_ char *with = NULL, *again = NULL, *without = NULL;
        _cleanup_free_ unsigned *ports = NULL;
        HostdevPlace first, second;
        size_t n;
        int r = hostdevs_add(machine, &card, 1, &with);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT_EQ(hostdevs_find(with, card.functions[0], &first), 1);
        ASSERT_EQ(hostdevs_find(with, card.functions[1], &second), 1);
        ASSERT_EQ(first.bus, 2);
        ASSERT_EQ(second.bus, 2);
        ASSERT(strstr(with, "multifunction=\"on\"") && strstr(with, "<memballoon model=\"none\"/>"));
        ASSERT(strstr(with, "<g:gpu address=\"0000:21:00.0\"/>"));
        ASSERT(strstr(with, "<maxphysaddr mode=\"passthrough\"/>"));
        ASSERT(!strstr(with, "virtio"));
        ASSERT_EQ(hostdevs_free_ports(with, &ports, &n), 0);
        ASSERT_EQ(n, 4); /* 4, 5 and 6, of which two were used, and one that is new */
        ASSERT_EQ(hostdevs_add(with, &card, 1, &again), 0);
        ASSERT_EQ(hostdevs_remove(with, &card, 1, &without), 1);
        ASSERT(!strstr(without, "<hostdev") && !strstr(without, "g:gpu"));
        ASSERT_EQ(hostdevs_remove(without, &card, 1, &again), 0);
}

TEST(no_machine_of_that_kind) {
        _cleanup_free_ char *xml = NULL;
        int r = hostdevs_add("<domain/>", &card, 1, &xml);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, -EOPNOTSUPP);
        ASSERT_EQ(hostdevs_add("<network/>", &card, 1, &xml), -EBADMSG);
        ASSERT_EQ(hostdevs_remove("<domain/>", &card, 1, &xml), 0);
        ASSERT(!xml);
}

TEST(what_a_machine_says_of_itself) {
        _cleanup_free_ char *with = NULL, *without = NULL, *same = NULL;
        int r = hostdevs_note("<vm kind='debian'/>", &card, 1, true, &with);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT_STREQ(with, "<vm kind=\"debian\"><gpu address=\"0000:21:00.0\"/></vm>");
        ASSERT_EQ(hostdevs_note(with, &card, 1, true, &same), 0);
        ASSERT_EQ(hostdevs_note(with, &card, 1, false, &without), 1);
        ASSERT_STREQ(without, "<vm kind=\"debian\"/>");
        ASSERT_EQ(hostdevs_note("<domain/>", &card, 1, true, &same), -EBADMSG);
        ASSERT(!same);
}
