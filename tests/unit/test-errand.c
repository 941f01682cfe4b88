/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "errand.h"
#include "tests/tree.h"

/* For what is done at once, but on a busy machine. */
#define SEC (60 * USEC_PER_SEC)

static const PciDevice gpu = {
        .bdf = { 0, 1, 0, 0 },
        .name = "0000:01:00.0",
        .vendor = 0x10de,
        .class = 0x030000,
        .driver = (char *) "nouveau",
        .iommu_group = 12,
};
static const PciDevice free_one = { .bdf = { 0, 2, 0, 0 }, .name = "0000:02:00.0", .iommu_group = 13 };

static int machine(Worker **ret) {
        int root = tree_new();

        tree_put("/sys/bus/pci/devices/0000:01:00.0/drm/card1/dev", "1:5\n");
        tree_put("/proc/77/comm", "viewer\n");
        tree_put("/proc/77/maps", "");
        tree_link("/proc/77/fd/3", "/dev/zero");
        tree_put("/proc/modules", "vfio_pci 16384 0 - Live 0x0\n");
        return worker_start(root, NULL, NULL, ret);
}

TEST(names_who_has_it_open) {
        const PciDevice *both[] = { &free_one, &gpu };
        _cleanup_free_ char *who = NULL, *nobody = NULL;
        _cleanup_(worker_freep) Worker *w = NULL;

        ASSERT_EQ(machine(&w), 0);
        ASSERT_EQ(errand_who(w, both, 2, NULL, true, SEC, &who), 1);
        ASSERT(startswith(who, "viewer (pid 77, uid "));
        ASSERT(endswith(who, " has drm/card1 open"));
        ASSERT_EQ(errand_who(w, both, 1, NULL, true, SEC, &nobody), 0);
        ASSERT_STREQ(nobody, "");
}

TEST(does_not_count_one_that_lets_go) {
        const PciDevice *one[] = { &gpu };
        _cleanup_free_ char *nobody = NULL, *who = NULL;
        _cleanup_(worker_freep) Worker *w = NULL;

        ASSERT_EQ(machine(&w), 0);
        ASSERT_EQ(errand_who(w, one, 1, "viewer", true, SEC, &nobody), 0);
        ASSERT_EQ(errand_who(w, one, 1, "view", true, SEC, &who), 1);
}

/* What is in its directory is known, and not looked for again. */
TEST(goes_by_the_names_that_are_known) {
        _cleanup_free_ char *nobody = NULL, *who = NULL;
        _cleanup_(worker_freep) Worker *w = NULL;
        PciDevice named = gpu;
        const PciDevice *one[] = { &named };

        ASSERT_EQ(machine(&w), 0);
        named.names = (char *[]){ (char *) "vendor", (char *) "sound", NULL };
        ASSERT_EQ(errand_who(w, one, 1, NULL, true, SEC, &nobody), 0);
        named.names = (char *[]){ (char *) "vendor", (char *) "drm", NULL };
        ASSERT_EQ(errand_who(w, one, 1, NULL, true, SEC, &who), 1);
}

TEST(refuses_what_is_too_much) {
        const PciDevice *many[512];
        _cleanup_free_ char *who = NULL;
        _cleanup_(worker_freep) Worker *w = NULL;

        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = &gpu;
        ASSERT_EQ(machine(&w), 0);
        ASSERT_EQ(errand_who(w, many, ELEMENTSOF(many), NULL, true, SEC, &who), -E2BIG);
        ASSERT(!who);
}

TEST(loads_modules) {
        _cleanup_(worker_freep) Worker *w = NULL;

        ASSERT_EQ(machine(&w), 0);
        ASSERT_EQ(errand_load(w, "vfio-pci", SEC), 0);
        ASSERT_EQ(errand_load(w, "nvidia", SEC), -ENOENT);
        ASSERT_EQ(errand_load_alias(w, "pci:v000010DEd00002684", SEC), 0);
}

TEST(processes_are_looked_at_if_asked_for) {
        const PciDevice *one[] = { &gpu };
        _cleanup_(worker_freep) Worker *w = NULL;
        _cleanup_free_ char *nobody = NULL;

        ASSERT_EQ(machine(&w), 0);
        ASSERT_EQ(errand_who(w, one, 1, NULL, false, SEC, &nobody), 0);
        ASSERT_STREQ(nobody, "");
}
