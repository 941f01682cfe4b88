/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The early rule: which functions it means, and which never. */

#include <fnmatch.h>

#include "earlymatch.h"
#include "earlyrule.h"
#include "strv.h"
#include "tests/tap.h"

#define ROOT "/devices/pci0000:00/"

static PciDevice devices[] = {
        { .bdf = { 0, 1, 0, 0 },
          .name = "0000:01:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .subsystem_vendor = 0x1458,
          .subsystem_device = 0x40bf,
          .class = 0x030000,
          .iommu_group = 12,
          .path = (char *) "pci-0000:00:01.0/00.0",
          .devpath = (char *) ROOT "0000:00:01.0/0000:01:00.0" },
        { .bdf = { 0, 1, 0, 1 },
          .name = "0000:01:00.1",
          .vendor = 0x10de,
          .device = 0x22ba,
          .class = 0x040300,
          .iommu_group = 12,
          .devpath = (char *) ROOT "0000:00:01.0/0000:01:00.1" },
        { .bdf = { 0, 2, 0, 0 },
          .name = "0000:02:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .class = 0x030200,
          .iommu_group = 13,
          .path = (char *) "pci-0000:00:02.0/00.0",
          .devpath = (char *) ROOT "0000:00:02.0/0000:02:00.0" },
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
static char **drivers; /* NULL: vfio-pci for all */
static EarlyRule rule;
static char *text, **left_out; /* of the rule */

static void make_for(const PciBus *b, const IommuKeep *keep, size_t n) {
        early_rule_done(&rule);
        ASSERT_EQ(early_rule(&conf, b, keep, n, drivers, &rule), 0);
        text = rule.text;
        left_out = rule.left_out;
}

static void make(const IommuKeep *keep, size_t n) {
        make_for(&bus, keep, n);
}

static size_t count(const char *word) {
        size_t n = 0;

        for (const char *p = text; (p = strstr(p, word)); p++)
                n++;
        return n;
}

/* As udev does it: fnmatch(3) without flags, for which a slash is a character as any other. */
static bool matches(const PciDevice *d, bool whole_slot, const char *devpath) {
        _cleanup_free_ char *match = NULL, *pattern = NULL;
        const char *start;

        ASSERT_EQ(earlymatch_function(d, whole_slot, &match), 0);
        start = startswith(match, "DEVPATH==\"");
        ASSERT(start && endswith(start, "\""));
        pattern = strndup(start, strlen(start) - 1);
        return fnmatch(pattern, devpath, 0) == 0;
}

TEST(nothing_for_flexible) {
        make(NULL, 0);
        ASSERT_STREQ(text, "");
        ASSERT(!left_out);
}

/* What keeps the rule off is asked before the table, and what it does stands behind it. */
TEST(conditions_table_actions) {
        const char *iommu, *asked, *jump, *table, *acts;

        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        iommu = strstr(text, "\nTEST!=\"iommu_group\", GOTO=\"gpuvm_vfio_end\"\n");
        asked = strstr(text, "\nIMPORT{cmdline}=\"gpuvm.bootstrap\"\n");
        jump = strstr(text, "\nENV{gpuvm.bootstrap}==\"0|[Nn]|[Nn][Oo]|");
        table = strstr(text, "\nDEVPATH==");
        acts = strstr(text, "driver_override");
        ASSERT(iommu && asked && jump && table && acts);
        ASSERT(iommu < jump && asked < jump && jump < table && table < acts);
        ASSERT_EQ(count("driver_override"), 1);
        ASSERT_EQ(count("SYSTEMD_WANTS"), 1);
        ASSERT(endswith(text, "\nLABEL=\"gpuvm_vfio_end\"\n"));
        /* Who falls through the table is not meant. */
        ASSERT(strstr(text, "GOTO=\"gpuvm_vfio_end\"\n\nLABEL=\"gpuvm_vfio_gpu\"\n"));
}

TEST(the_whole_group_and_a_unit_for_the_gpu) {
        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        ASSERT(strstr(text,
                      "\nDEVPATH==\"/devices/pci0000:00/0000:00:01.0/0000:[0-9a-f][0-9a-f]:00.0\", "
                      "ATTR{vendor}==\"0x10de\", ATTR{device}==\"0x2684\", ATTR{subsystem_vendor}==\"0x1458\", "
                      "ATTR{subsystem_device}==\"0x40bf\", GOTO=\"gpuvm_vfio_gpu\"\n"));
        ASSERT(strstr(text,
                      ":00.1\", ATTR{vendor}==\"0x10de\", ATTR{device}==\"0x22ba\", ATTR{subsystem_vendor}==\"0x0000\", "
                      "ATTR{subsystem_device}==\"0x0000\", GOTO=\"gpuvm_vfio_function\"\n"));
        ASSERT_EQ(count("\nDEVPATH=="), 3);
        ASSERT_EQ(count("0x8086"), 0); /* the other vendor's, that no section names */
}

/* The drivers that the kernel has for each of the four. */
TEST(variant_drivers) {
        static char *of[] = { (char *) "nvgrace_gpu_vfio_pci", (char *) "vfio-pci",
                              (char *) "nvgrace_gpu_vfio_pci", (char *) "xe_vfio_pci" };
        const char *own, *generic, *power;

        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        ASSERT_EQ(count("gpuvm_vfio_power"), 0); /* without one nothing is there for them */
        ASSERT_EQ(strv_length(rule.modules), 1);
        drivers = of;
        make(NULL, 0);
        ASSERT_EQ(strv_length(rule.modules), 2); /* the other vendor's card is not meant */
        ASSERT_STREQ(rule.modules[0], "vfio-pci");
        ASSERT_STREQ(rule.modules[1], "nvgrace_gpu_vfio_pci");
        own = strstr(text,
                     "\nATTR{vendor}==\"0x10de\", ATTR{device}==\"0x2684\", ATTR{subsystem_vendor}==\"0x1458\", "
                     "ATTR{subsystem_device}==\"0x40bf\", ATTR{driver_override}=\"nvgrace_gpu_vfio_pci\", "
                     "ENV{MODALIAS}=\"\", RUN{builtin}+=\"kmod load nvgrace_gpu_vfio_pci\", "
                     "GOTO=\"gpuvm_vfio_power\"\n");
        generic = strstr(text, "\nATTR{driver_override}=\"vfio-pci\", ENV{MODALIAS}=\"\", RUN{builtin}");
        power = strstr(text, "\nLABEL=\"gpuvm_vfio_power\"\n");
        ASSERT(strstr(text, "LABEL=\"gpuvm_vfio_function\"\n") < own);
        ASSERT(own && generic && power && own < generic && generic < power);
        ASSERT(power < strstr(text, "\nTEST==\"d3cold_allowed\""));
        /* The subsystem of the third is another: it has a line as well. The audio function has none. */
        ASSERT_EQ(count("ATTR{driver_override}"), 3);
        devices[2].subsystem_vendor = 0x1458;
        devices[2].subsystem_device = 0x40bf;
        make(NULL, 0);
        ASSERT_EQ(count("ATTR{driver_override}"), 2);
        conf.gpu_mode = GPU_FLEXIBLE;
        make(NULL, 0);
        ASSERT_STREQ(text, "");
        ASSERT(!rule.modules);
}

TEST(functions_in_groups_of_their_own_go_along) {
        conf.gpu_mode = GPU_EXCLUSIVE;
        devices[1].iommu_group = 14;
        make(NULL, 0);
        ASSERT_EQ(count(":00.1\", ATTR{vendor}==\"0x10de\""), 1);
        ASSERT_EQ(count("\nDEVPATH=="), 3);
}

TEST(one_of_two_twins) {
        sections[0] = (ConfGpu){ .path = (char *) "pci-0000:00:02.0/00.0",
                                 .mode = GPU_EXCLUSIVE,
                                 .mode_set = true };
        conf.n_gpus = 1;
        make(NULL, 0);
        ASSERT_EQ(count("\nDEVPATH=="), 1);
        ASSERT_EQ(count("0000:00:02.0"), 1);
        ASSERT_EQ(count("Mode=exclusive for all"), 0);
        /* The card of that section is elsewhere: what is in the slot now is not meant. */
        sections[0].card = (char *) "pci-0000:00:01.0/00.0";
        make(NULL, 0);
        ASSERT_EQ(count("0000:00:02.0"), 0);
        ASSERT_EQ(count("0000:00:01.0"), 2);
        /* It is gone, and another one is in its slot. */
        sections[0].card = (char *) "";
        sections[0].vendor = 0x10de;
        sections[0].device = 0x1234;
        make(NULL, 0);
        ASSERT_EQ(count("ATTR{device}=="), 1);
        ASSERT_EQ(count("ATTR{device}==\"0x1234\""), 1);
        ASSERT_EQ(count("ATTR{class}==\"0x03????\""), 0);
}

TEST(another_vendor_by_name_only) {
        sections[0] = (ConfGpu){ .path = (char *) "0000:03:00.0", .mode = GPU_EXCLUSIVE, .mode_set = true };
        conf.n_gpus = 1;
        make(NULL, 0);
        ASSERT_EQ(count("KERNEL==\"0000:03:00.0\", ATTR{vendor}==\"0x8086\""), 1);
        sections[0].mode_set = false; /* the section is about something else, and [Gpu] is not for it */
        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        ASSERT_EQ(count("0000:03:00.0"), 0);
}

TEST(what_the_host_needs_is_left_out) {
        const IommuKeep keep = { .bdf = { 0, 1, 0, 1 }, .why = "the disk under /" };

        conf.gpu_mode = GPU_EXCLUSIVE;
        make(&keep, 1);
        ASSERT_EQ(count("GOTO=\"gpuvm_vfio_gpu\""), 2); /* the other one, and what comes later */
        ASSERT(strstr(text,
                      "\nDEVPATH==\"/devices/pci0000:00/0000:00:01.0/0000:[0-9a-f][0-9a-f]:00.[0-7]\", "
                      "GOTO=\"gpuvm_vfio_end\"\n"));
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
        ASSERT_EQ(count("GOTO=\"gpuvm_vfio_function\""), 2);
        ASSERT_EQ(count("GOTO=\"gpuvm_vfio_gpu\""), 2);
        ASSERT_EQ(count(":00.1\", ATTR{vendor}"), 1);
        ASSERT_EQ(strv_length(left_out), 1);
        ASSERT(strstr(left_out[0], "it is the console"));
}

/* The generic lines come after everything that is more exact, and before the actions. */
TEST(newcomers_where_all_are_exclusive) {
        const char *table, *kept, *console, *generic, *acts;

        conf.gpu_mode = GPU_EXCLUSIVE;
        sections[0] = (ConfGpu){ .path = (char *) "0000:02:00.0", .mode = GPU_FLEXIBLE, .mode_set = true };
        conf.n_gpus = 1;
        make(NULL, 0);
        table = strstr(text, "0000:00:01.0/");
        kept = strstr(text, "0000:00:02.0/0000:[0-9a-f][0-9a-f]:00.[0-7]\", GOTO=\"gpuvm_vfio_end\"\n");
        console = strstr(text, "\nATTR{boot_vga}==\"1\", GOTO=\"gpuvm_vfio_end\"\n");
        generic = strstr(text, "\nATTR{class}==\"0x0300??|0x0302??\", GOTO=\"gpuvm_vfio_gpu\"\n");
        acts = strstr(text, "\nLABEL=\"gpuvm_vfio_gpu\"\n");
        ASSERT(table && kept && console && generic && acts);
        ASSERT(table < kept && kept < console && console < generic && generic < acts);
        ASSERT_EQ(count("KERNEL==\"0000:02:00."), 0); /* its card is here */
        ASSERT(!left_out);                            /* as it was asked for */
}

TEST(newcomers_with_nothing_there) {
        const PciBus none = {};

        conf.gpu_mode = GPU_EXCLUSIVE;
        make_for(&none, NULL, 0);
        ASSERT_EQ(count("GOTO=\"gpuvm_vfio_gpu\""), 1);
}

TEST(sections_of_cards_that_are_not_there) {
        conf.gpu_mode = GPU_EXCLUSIVE;
        sections[0] = (ConfGpu){ .path = (char *) "0000:09:00.0", .mode = GPU_FLEXIBLE, .mode_set = true };
        sections[1] = (ConfGpu){ .path = (char *) "pci-0000:3a:00.0/04.0/00.0",
                                 .mode = GPU_FLEXIBLE,
                                 .mode_set = true };
        conf.n_gpus = 2;
        make(NULL, 0);
        ASSERT_EQ(count("\nKERNEL==\"0000:09:00.[0-7]\", GOTO=\"gpuvm_vfio_end\"\n"), 1);
        ASSERT_EQ(count("\nDEVPATH==\"/devices/pci0000:3a/0000:3a:00.0/0000:[0-9a-f][0-9a-f]:04.0/"
                        "0000:[0-9a-f][0-9a-f]:00.[0-7]\", GOTO=\"gpuvm_vfio_end\"\n"),
                  1);
        sections[0].path = (char *) "pci-nonsense";
        make(NULL, 0);
        ASSERT_EQ(count("nonsense"), 0);
}

#define NINE "\nKERNEL==\"0000:09:00.[0-7]\", "

/* Where the host keeps what comes otherwise: before the lines for all, if there are any. */
TEST(exclusive_cards_that_are_not_there) {
        const PciBus none = {};

        sections[0] = (ConfGpu){ .path = (char *) "0000:09:00.0", .mode = GPU_EXCLUSIVE, .mode_set = true };
        conf.n_gpus = 1;
        make_for(&none, NULL, 0);
        ASSERT(strstr(text,
                      NINE "ATTR{boot_vga}==\"1\", GOTO=\"gpuvm_vfio_end\"" NINE
                           "ATTR{class}==\"0x03????\", GOTO=\"gpuvm_vfio_gpu\"" NINE
                           "KERNEL==\"*.[1-7]\", ATTR{class}==\"0x0403??|0x0c03??|0x0c80??\", "
                           "GOTO=\"gpuvm_vfio_function\"\nGOTO=\"gpuvm_vfio_end\"\n"));
        ASSERT_EQ(count("Mode=exclusive for all"), 0);
        /* One that was here before: no other. */
        sections[0].vendor = 0x10de;
        sections[0].device = 0x2684;
        sections[0].subsystem_vendor = 0x1458;
        make_for(&none, NULL, 0);
        ASSERT_EQ(count(NINE "KERNEL==\"*.0\", ATTR{vendor}==\"0x10de\", ATTR{device}==\"0x2684\", "
                             "ATTR{subsystem_vendor}==\"0x1458\", ATTR{subsystem_device}==\"0x0000\", "
                             "GOTO=\"gpuvm_vfio_gpu\"\n"),
                  1);
        ASSERT_EQ(count("0x03????"), 0);
        conf.gpu_mode = GPU_EXCLUSIVE;
        make_for(&none, NULL, 0);
        ASSERT(strstr(text, NINE) < strstr(text, "Mode=exclusive for all"));
        sections[0].path = (char *) "nonsense";
        conf.gpu_mode = GPU_FLEXIBLE;
        make_for(&none, NULL, 0);
        ASSERT_STREQ(text, "");
}

/* What a rule says of a card that is there now, whatever was there when it was made. */
TEST(whom_a_rule_means) {
        const PciBus none = {}, first = { devices, 2 };
        PciDevice other = devices[0];

        make(NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[0]), 0); /* there is none */
        conf.gpu_mode = GPU_EXCLUSIVE;
        make(NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[0]), 1);
        ASSERT_EQ(early_rule_means(text, &devices[2]), 1);
        ASSERT_EQ(early_rule_means(text, &devices[3]), 0);
        /* Put in later. */
        make_for(&first, NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[2]), 1);
        ASSERT_EQ(early_rule_means(text, &devices[3]), 0);
        devices[2].boot_vga = true;
        ASSERT_EQ(early_rule_means(text, &devices[2]), 0);
        devices[2].boot_vga = false;
        /* Its slot is one of those that stay, by path and by address. */
        sections[0] = (ConfGpu){ .path = (char *) "pci-0000:00:02.0/00.0",
                                 .mode = GPU_FLEXIBLE,
                                 .mode_set = true };
        conf.n_gpus = 1;
        make(NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[2]), 0);
        ASSERT_EQ(early_rule_means(text, &devices[0]), 1);
        make_for(&first, NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[2]), 0);
        sections[0].path = (char *) "0000:02:00.0";
        make_for(&none, NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[2]), 0);
        ASSERT_EQ(early_rule_means(text, &devices[0]), 1);
        /* One alone, and another card in its slot. */
        conf.gpu_mode = GPU_FLEXIBLE;
        sections[0] = (ConfGpu){ .path = (char *) "0000:01:00.0", .mode = GPU_EXCLUSIVE, .mode_set = true };
        make(NULL, 0);
        ASSERT_EQ(early_rule_means(text, &devices[0]), 1);
        ASSERT_EQ(early_rule_means(text, &devices[2]), 0);
        other.device = 0x1234;
        ASSERT_EQ(early_rule_means(text, &other), 0);
}

TEST(whom_a_rule_means_by_a_section) {
        static const char *const names[] = { "0000:01:00.0", "pci-0000:00:01.0/00.0" };
        const PciBus none = {};
        PciDevice other = devices[0];

        other.device = 0x1234;
        conf.n_gpus = 1;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                sections[0] = (ConfGpu){ .path = (char *) names[i], .mode = GPU_EXCLUSIVE, .mode_set = true };
                make_for(&none, NULL, 0);
                ASSERT_EQ(early_rule_means(text, &devices[0]), 1);
                ASSERT_EQ(early_rule_means(text, &other), 1); /* nobody had seen it */
                ASSERT_EQ(early_rule_means(text, &devices[2]), 0);
                sections[0].vendor = devices[0].vendor;
                sections[0].device = devices[0].device;
                sections[0].subsystem_vendor = devices[0].subsystem_vendor;
                sections[0].subsystem_device = devices[0].subsystem_device;
                make_for(&none, NULL, 0);
                ASSERT_EQ(early_rule_means(text, &devices[0]), 1);
                ASSERT_EQ(early_rule_means(text, &other), 0);
                other.boot_vga = true;
                ASSERT_EQ(early_rule_means(text, &other), 0);
                other.boot_vga = false;
        }
}

TEST(a_slot_whatever_the_buses) {
        const PciDevice *d = &devices[0];

        ASSERT(matches(d, false, ROOT "0000:00:01.0/0000:01:00.0"));
        ASSERT(matches(d, false, ROOT "0000:00:01.0/0000:e5:00.0"));
        ASSERT(!matches(d, false, ROOT "0000:00:01.1/0000:01:00.0"));
        ASSERT(!matches(d, false, ROOT "0000:00:01.0/0000:01:00.1"));
        ASSERT(!matches(d, false, ROOT "0000:00:01.0/0000:01:01.0"));
        ASSERT(!matches(d, false, ROOT "0000:00:01.0/0001:01:00.0"));
        ASSERT(!matches(d, false, ROOT "0000:00:01.0"));
        ASSERT(!matches(d, false, ROOT "0000:00:01.0/0000:01:00.0/0000:02:00.0"));
        ASSERT(!matches(d, false, "/devices/pci0000:40/0000:00:01.0/0000:01:00.0"));
        ASSERT(matches(d, true, ROOT "0000:00:01.0/0000:02:00.3"));
        ASSERT(!matches(d, true, ROOT "0000:00:01.0/0000:02:01.0"));
        ASSERT(!matches(d, true, ROOT "0000:00:01.0/0000:02:00.0/0000:03:00.0"));
}

TEST(slots_below_switches_and_domains) {
        const PciDevice deep = {
                .name = "0000:05:00.0",
                .devpath = (char *) "/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0/0000:3c:10.0/"
                                    "0000:05:00.0"
        };
        const PciDevice vmd = { .name = "10000:e1:00.0",
                                .devpath = (char *) ROOT
                                "0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0" };
        const PciDevice root = { .name = "0000:00:02.0", .devpath = (char *) ROOT "0000:00:02.0" };

        ASSERT(matches(&deep, false,
                       "/devices/pci0000:3a/0000:3a:00.0/0000:4b:00.0/0000:4c:10.0/0000:4d:00.0"));
        ASSERT(!matches(&deep, false,
                        "/devices/pci0000:3a/0000:3a:00.0/0000:4b:00.0/0000:4c:11.0/0000:4d:00.0"));
        ASSERT(!matches(&deep, false, "/devices/pci0000:3a/0000:3a:00.0/0000:4b:00.0/0000:4c:10.0"));
        ASSERT(matches(&vmd, false, ROOT "0000:00:0e.0/pci10001:80/10001:80:06.0/10001:81:00.0"));
        ASSERT(!matches(&vmd, false, ROOT "0000:00:0e.0/pci10001:80/10001:80:07.0/10001:81:00.0"));
        ASSERT(!matches(&vmd, false, ROOT "0000:00:0f.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0"));
        ASSERT(matches(&root, false, ROOT "0000:00:02.0"));
        ASSERT(!matches(&root, false, ROOT "0000:01:02.0"));
        ASSERT(matches(&root, true, ROOT "0000:00:02.1"));
}

/* What a pattern cannot say is not guessed. */
TEST(paths_that_cannot_be_matched) {
        static const char *const paths[] = {
                NULL,
                "/devices/platform/a*b/pci0000:00/0000:00:03.0",
                "/devices/a\"b/0000:00:03.0",
                "/devices/pci0000:00/0000:00:04.0",
        };
        PciDevice d = { .name = "0000:00:03.0" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_free_ char *one = NULL, *all = NULL;

                d.devpath = (char *) paths[i];
                ASSERT_EQ(earlymatch_function(&d, false, &one), 0);
                ASSERT_STREQ(one, "KERNEL==\"0000:00:03.0\"");
                ASSERT_EQ(earlymatch_function(&d, true, &all), 0);
                ASSERT_STREQ(all, "KERNEL==\"0000:00:03.[0-7]\"");
        }
}
