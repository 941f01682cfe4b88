/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A definition with what is declared in place of what it was; what nobody spoke of stays. */

#include "strv.h"
#include "tests/tap.h"
#include "vmchange.h"

#define KEPT                                                                                                            \
        "<devices><disk type='file'/><interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/>" \
        "<model type='virtio'/></interface></devices>"
static const char definition[] =
                "<domain type='kvm'><name>a</name><memory unit='GiB'>4</memory><currentMemory unit='KiB'>4194304</currentMemory>"
                "<vcpu placement='static' cpuset='0-7' current='1'>2</vcpu><cpu mode='host-passthrough'>"
                "<topology sockets='2' dies='1' cores='1' threads='1'/><maxphysaddr mode='passthrough'/></cpu>" KEPT
                "</domain>";

static VmFile file;
static char *got;

/* As the file with this text wants it; keys: those that differ. */
static int change(const char *xml, const char *text, const VmKey *keys, size_t n, VmChange how) {
        _cleanup_(vmplan_done) VmPlan wanted = {};
        _cleanup_free_ char *said = NULL;
        VmDifferences l = { .n = n };
        VmWish w;

        vmfile_done(&file);
        free(got);
        got = NULL;
        file.name = strdup("a");
        ASSERT(file.name);
        ASSERT_EQ(vmfile_parse(&file, "/a", text, strlen(text), NULL, NULL), 0);
        w = vmdiff_wish(&file);
        ASSERT_EQ(vmplan_imagine(&w, &wanted, &said), 0);
        for (size_t i = 0; i < n; i++)
                l.items[i] = (VmDifference){ .key = keys[i], .how = how };
        return vmchange_definition(xml, &file, &wanted, &l, &got);
}

#define KEYS(...) (const VmKey[]){ __VA_ARGS__ }, ELEMENTSOF(((const VmKey[]){ __VA_ARGS__ }))

TEST(cpus_and_memory) {
        int r = change(definition, "[Vm]\nKind=debian\nCpus=6\nMemory=8G\n", KEYS(VMKEY_CPUS, VMKEY_MEMORY),
                       VMCHANGE_RESTART);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT(strstr(got, "<vcpu placement=\"static\" cpuset=\"0-7\" current=\"6\">6</vcpu>"));
        ASSERT(strstr(got,
                      "<maxphysaddr mode=\"passthrough\"/><topology sockets=\"1\" dies=\"1\" cores=\"6\" threads=\"1\"/></cpu>"));
        ASSERT(!strstr(got, "sockets=\"2\""));
        ASSERT(strstr(got,
                      "<memory unit=\"KiB\">8388608</memory><currentMemory unit=\"KiB\">8388608</currentMemory>"));
        ASSERT(strstr(got, "<source bridge=\"br0\"/>"));
}

TEST(description) {
        int r = change(definition, "[Vm]\nKind=debian\nDescription=Jelly & fish\n", KEYS(VMKEY_DESCRIPTION),
                       VMCHANGE_RESTART);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT(strstr(got, "<title>Jelly &amp; fish</title>"));
}

TEST(pages_come_and_go) {
        int r = change(definition, "[Vm]\nKind=debian\nHugepages=1G\n", KEYS(VMKEY_HUGEPAGES),
                       VMCHANGE_RESTART);
        _cleanup_free_ char *with = NULL;

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT(strstr(got,
                      "<memoryBacking><hugepages><page size=\"1048576\" unit=\"KiB\"/></hugepages></memoryBacking>"));
        with = strdup(got);
        ASSERT(with);
        ASSERT_EQ(change(with, "[Vm]\nKind=debian\nHugepages=2M\n", KEYS(VMKEY_HUGEPAGES), VMCHANGE_RESTART),
                  1);
        ASSERT(strstr(got,
                      "<memoryBacking><hugepages><page size=\"2048\" unit=\"KiB\"/></hugepages></memoryBacking>"));
        ASSERT_EQ(change(with, "[Vm]\nKind=debian\n", KEYS(VMKEY_HUGEPAGES), VMCHANGE_RESTART), 1);
        ASSERT(!strstr(got, "hugepages"));
}

#define OURS(what)                                                                        \
        "<domain type='kvm'><metadata><g:vm xmlns:g='urn:gpuvm:vm:1' kind='debian'>" what \
        "</g:vm></metadata>"                                                              \
        "</domain>"

TEST(what_it_asks_for) {
        int r = change(OURS("<g:wish gpus='1'/>"), "[Vm]\nKind=debian\n[Gpu]\nGpu=2x RTX 4090\n",
                       KEYS(VMKEY_GPU), VMCHANGE_RESTART);
        _cleanup_free_ char *without = NULL;

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT(strstr(got, "wish gpus=\"2 x RTX 4090\"/>"));
        ASSERT(!strstr(got, "\"1\""));
        ASSERT_EQ(change(OURS("<g:wish gpus='1'/>"), "[Vm]\nKind=debian\n[Gpu]\nGpu=none\n", KEYS(VMKEY_GPU),
                         VMCHANGE_RESTART),
                  1);
        ASSERT(!strstr(got, "wish"));
        ASSERT_EQ(vmchange_gpu_wish(OURS("<g:wish gpus='1'/>"), &file, &without), 0);
        ASSERT(!strstr(without, "wish"));
        ASSERT_EQ(change("<domain/>", "[Vm]\nKind=debian\n[Gpu]\nGpu=1\n", KEYS(VMKEY_GPU), VMCHANGE_RESTART),
                  -EBADMSG);
}

TEST(network) {
        int r = change(definition, "[Vm]\nKind=debian\n[Network]\nNetwork=lab&\n", KEYS(VMKEY_NETWORK),
                       VMCHANGE_RESTART);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT(strstr(got,
                      "<interface type=\"network\"><mac address=\"52:54:00:00:00:01\"/><model type=\"virtio\"/>"
                      "<source network=\"lab&amp;\"/></interface>"));
        ASSERT_EQ(change("<domain><devices/></domain>", "[Vm]\nKind=debian\n[Network]\nNetwork=lab\n",
                         KEYS(VMKEY_NETWORK), VMCHANGE_RESTART),
                  -EBADMSG);
}

TEST(firmware_of_cards) {
        static const char cards[] =
                        "<domain><devices>"
                        "<hostdev type='pci'><rom bar='off'/><address type='pci' function='0x0'/></hostdev>"
                        "<hostdev type='pci'><address type='pci' function='0x1'/></hostdev></devices></domain>";
        int r = change(cards, "[Vm]\nKind=debian\n[Gpu]\nRom=/srv/a.rom\n", KEYS(VMKEY_ROM),
                       VMCHANGE_RESTART);
        _cleanup_free_ char *with = NULL;

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 1);
        ASSERT(strstr(got, "function=\"0x0\"/><rom bar=\"on\" file=\"/srv/a.rom\"/></hostdev>"));
        ASSERT(strstr(got, "function=\"0x1\"/></hostdev>"));
        ASSERT(!strstr(got, "off"));
        with = strdup(got);
        ASSERT(with);
        ASSERT_EQ(change(with, "[Vm]\nKind=debian\n[Gpu]\nRom=off\n", KEYS(VMKEY_ROM), VMCHANGE_RESTART), 1);
        ASSERT(strstr(got, "<rom bar=\"off\"/>"));
        ASSERT_EQ(change(with, "[Vm]\nKind=debian\n[Gpu]\nRom=on\n", KEYS(VMKEY_ROM), VMCHANGE_RESTART), 1);
        ASSERT(!strstr(got, "rom"));
}

TEST(what_is_not_for_the_next_start) {
        int r = change(definition, "[Vm]\nKind=debian\nCpus=6\n", KEYS(VMKEY_CPUS), VMCHANGE_ANEW);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT(!got);
        ASSERT_EQ(change(definition, "[Vm]\nKind=debian\n", KEYS(VMKEY_KIND), VMCHANGE_RESTART), -EBADMSG);
        ASSERT_EQ(change("<network/>", "[Vm]\nKind=debian\nCpus=6\n", KEYS(VMKEY_CPUS), VMCHANGE_RESTART),
                  -EBADMSG);
        ASSERT_EQ(change("<domain/>", "[Vm]\nKind=debian\nCpus=6\n", KEYS(VMKEY_CPUS), VMCHANGE_RESTART),
                  -EBADMSG);
}
