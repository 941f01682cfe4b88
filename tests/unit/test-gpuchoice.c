/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which GPUs a machine gets that asks for some, and what is said of the others. */

#include "fs.h"
#include "gpuchoice.h"
#include "strv.h"
#include "tests/tap.h"

/* Two 4090 and two 3090; the last two share a group. */
static PciDevice devices[4];
static GpuState list[4];
static GpuStates states;

static void host(void) {
        static const char *const names[] = { "GeForce RTX 4090", "GeForce RTX 4090", "GeForce RTX 3090",
                                             "GeForce RTX 3090" };
        static const int groups[] = { 1, 2, 3, 3 };

        for (unsigned i = 0; i < ELEMENTSOF(devices); i++) {
                devices[i] = (PciDevice){ .iommu_group = groups[i], .driver = (char *) "nouveau" };
                (void) snprintf(devices[i].name, sizeof(devices[i].name), "0000:%02x:00.0", i + 1);
                list[i] = (GpuState){ .gpu = &devices[i], .name = (char *) names[i] };
        }
        states = (GpuStates){ .bus = { .devices = devices, .n = 4 }, .list = list, .n = 4 };
}

typedef struct Case {
        GpuWish wish;
        GpuChoice c;
} Case;

static void begin(Case *t, unsigned n, const char *model, char *const *own) {
        t->wish = (GpuWish){ .n = n, .model = (char *) model };
        ASSERT_EQ(gpuchoice_init(&states, &t->wish, "me", own, &t->c), 0);
}

static void picks(const Case *t, const char *want) {
        _cleanup_strv_ char **l = NULL;
        _cleanup_free_ char *got = NULL;

        ASSERT_EQ(gpuchoice_pick(&t->c, &l), *want ? 1 : 0);
        got = strv_join(l, " ");
        ASSERT_STREQ(got, want);
}

static void says(const Case *t, const char *want) {
        _cleanup_free_ char *got = NULL;

        ASSERT_EQ(gpuchoice_describe(&t->c, &got), 0);
        ASSERT_STREQ(got, want);
}

#define FIRST  "0000:01:00.0"
#define SECOND "0000:02:00.0"
#define GROUP  "0000:03:00.0 0000:04:00.0"

TEST(any_is_the_first) {
        Case t;

        host();
        begin(&t, 1, NULL, NULL);
        picks(&t, FIRST);
        ASSERT(gpuchoice_may_wait(&t.c));
        gpuchoice_done(&t.c);
}

TEST(several_of_a_model) {
        Case t;

        host();
        begin(&t, 2, "RTX 4090", NULL);
        picks(&t, FIRST " " SECOND);
        gpuchoice_done(&t.c);
        begin(&t, 3, "RTX 4090", NULL);
        picks(&t, "");
        ASSERT(!gpuchoice_may_wait(&t.c));
        gpuchoice_done(&t.c);
        begin(&t, 4, NULL, NULL);
        picks(&t, FIRST " " SECOND " " GROUP);
        gpuchoice_done(&t.c);
}

TEST(a_group_goes_whole) {
        Case t;

        host();
        begin(&t, 1, "3090", NULL);
        picks(&t, GROUP);
        ASSERT_EQ(gpuchoice_refuse(&t.c, "0000:04:00.0", true, "0000:04:00.0 is in use: Xorg (7)"), 0);
        picks(&t, "");
        ASSERT(gpuchoice_may_wait(&t.c));
        says(&t,
             "3090: 0000:01:00.0 GeForce RTX 4090: another model; 0000:02:00.0 GeForce RTX 4090: another model; "
             "0000:03:00.0 GeForce RTX 3090 goes with 0000:04:00.0 of its IOMMU group: 0000:04:00.0 is in use: Xorg (7); "
             "0000:04:00.0 GeForce RTX 3090: 0000:04:00.0 is in use: Xorg (7)");
        gpuchoice_done(&t.c);
}

TEST(a_larger_group_comes_last) {
        Case t;

        host();
        devices[2].driver = devices[3].driver = (char *) "vfio-pci";
        begin(&t, 1, NULL, NULL);
        picks(&t, FIRST);
        gpuchoice_done(&t.c);
        begin(&t, 2, NULL, NULL);
        picks(&t, GROUP);
        gpuchoice_done(&t.c);
}

TEST(what_is_ready_comes_first) {
        Case t;

        host();
        devices[1].driver = NULL;
        begin(&t, 1, NULL, NULL);
        picks(&t, SECOND);
        gpuchoice_done(&t.c);
        devices[0].driver = (char *) "vfio-pci";
        begin(&t, 1, NULL, NULL);
        picks(&t, FIRST);
        gpuchoice_done(&t.c);
        begin(&t, 1, NULL, (char *const[]){ (char *) SECOND, NULL });
        picks(&t, SECOND);
        gpuchoice_done(&t.c);
}

TEST(what_others_have_or_nobody_may) {
        Case t;

        host();
        list[0].machine = (char *) "other";
        list[1].refused = (char *) "it has the only console";
        list[2].stuck = (char *) "nvidia";
        begin(&t, 1, NULL, NULL);
        picks(&t, "");
        ASSERT(gpuchoice_may_wait(&t.c)); /* for the other machine's end */
        says(&t,
             "1: 0000:01:00.0 GeForce RTX 4090: machine 'other' has it; "
             "0000:02:00.0 GeForce RTX 4090: it cannot be given to a machine: it has the only console; "
             "0000:03:00.0 GeForce RTX 3090: it is stuck: nvidia; "
             "0000:04:00.0 GeForce RTX 3090 goes with 0000:03:00.0 of its IOMMU group: it is stuck: nvidia");
        gpuchoice_done(&t.c);
        begin(&t, 2, NULL, NULL);
        ASSERT(!gpuchoice_may_wait(&t.c));
        gpuchoice_done(&t.c);
}

TEST(its_own_by_name_is_none_more) {
        Case t;

        host();
        list[0].machine = (char *) "me";
        begin(&t, 2, "4090", NULL);
        picks(&t, "");
        ASSERT(!gpuchoice_may_wait(&t.c));
        gpuchoice_done(&t.c);
}

TEST(no_part_of_a_board_with_switches) {
        Case t;

        host();
        devices[3] = (PciDevice){ .vendor = 0x10de, .device = 0x22a3, .class = 0x068000, .iommu_group = 9 };
        states.n = 3;
        ASSERT(pci_is_nvswitch(&devices[3]));
        begin(&t, 1, NULL, NULL);
        picks(&t, "");
        gpuchoice_done(&t.c);
}

TEST(a_host_without_any) {
        Case t;

        host();
        states.n = 0;
        begin(&t, 1, "A100", NULL);
        picks(&t, "");
        says(&t, "A100: the host has none");
        gpuchoice_done(&t.c);
}
