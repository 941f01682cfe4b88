/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Declared machines as units: which exclude each other, and who comes first. */

#include "planvm.h"
#include "strv.h"
#include "tests/tap.h"

static PciDevice devices[] = {
        { .bdf = { 0, 1, 0, 0 },
          .name = "0000:01:00.0",
          .iommu_group = 12,
          .path = (char *) "pci-0000:00:01.0/00.0" },
        { .bdf = { 0, 2, 0, 0 },
          .name = "0000:02:00.0",
          .iommu_group = 13,
          .path = (char *) "pci-0000:00:02.0/00.0" },
        { .bdf = { 0, 3, 0, 0 },
          .name = "0000:03:00.0",
          .iommu_group = 13,
          .path = (char *) "pci-0000:00:02.0/01.0" },
        { .bdf = { 0, 4, 0, 0 },
          .name = "0000:04:00.0",
          .iommu_group = -1,
          .path = (char *) "pci-0000:00:03.0/00.0" },
        { .bdf = { 0, 4, 0, 1 },
          .name = "0000:04:00.1",
          .iommu_group = -1,
          .path = (char *) "pci-0000:00:03.0/00.1" },
};
static const PciBus bus = { devices, ELEMENTSOF(devices) };
static VmFile files[2];
static const Catalog catalog = { files, 2 };
static Plan plan;
static char **told;

static void note(const char *path, unsigned line, const char *text, void *userdata) {
        ASSERT_EQ(strv_extendf(&told, "%s:%u: %s", path, line, text), 0);
}

static void declare(VmFile *f, const char *name, const char *gpu, const char *wanted) {
        _cleanup_strv_ char **text = NULL;
        _cleanup_free_ char *path = NULL, *joined = NULL;

        vmfile_done(f);
        f->name = strdup(name);
        ASSERT(f->name && asprintf(&path, "/%s", name) > 0);
        ASSERT_EQ(strv_extendf(&text, "[Vm]\nKind=debian\n[Gpu]\nGpu=%s\n[Install]\nWantedBy=%s\n", gpu,
                               wanted),
                  0);
        joined = strv_join(text, "");
        ASSERT(joined);
        ASSERT_EQ(vmfile_parse(f, path, joined, strlen(joined), NULL, NULL), 0);
        ASSERT_EQ(vmfile_check(f, NULL, NULL), 0);
}

static const char *text_of(const char *path) {
        for (size_t i = 0; i < plan.n; i++)
                if (streq(plan.entries[i].path, path))
                        return plan.entries[i].text ?: plan.entries[i].target;
        return NULL;
}

/* Machines a and b with these GPUs, both wanted or none. */
static void make(const char *first, const char *second, const char *wanted) {
        plan_done(&plan);
        strv_free(told);
        told = NULL;
        declare(&files[0], "a", first, wanted);
        declare(&files[1], "b", second, wanted);
        ASSERT_EQ(planvm_add(&plan, &catalog, &bus, note, NULL), 0);
}

/* What a command is told of it. */
static bool is_apart(const char *name, const char *other) {
        _cleanup_strv_ char **l = NULL;

        ASSERT_EQ(planvm_apart(&catalog, &bus, name, &l), 0);
        ASSERT(!l || (strv_length(l) == 1 && streq(l[0], other)));
        return l;
}

static bool exclude_each_other(const char *first, const char *second) {
        const char *a, *b;

        make(first, second, "");
        ASSERT_EQ(strv_length(told), 0);
        a = text_of("gpuvm-vm@a.service.d/50-gpuvm.conf");
        b = text_of("gpuvm-vm@b.service.d/50-gpuvm.conf");
        ASSERT(a && b && !strstr(a, "Conflicts="));
        ASSERT_EQ(!strstr(b, "\nConflicts=gpuvm-vm@a.service\n"), !strstr(b, "\nAfter=gpuvm-vm@a.service\n"));
        ASSERT_EQ(is_apart("a", "b"), !!strstr(b, "\nConflicts="));
        ASSERT_EQ(is_apart("b", "a"), !!strstr(b, "\nConflicts="));
        return strstr(b, "\nConflicts=gpuvm-vm@a.service\n");
}

TEST(who_shares) {
        ASSERT(exclude_each_other("0000:01:00.0", "01:00.0"));
        ASSERT(exclude_each_other("01:00.0", "pci-0000:00:01.0/00.0"));
        ASSERT(exclude_each_other("02:00.0", "03:00.0")); /* a group */
        ASSERT(exclude_each_other("04:00.0", "04:00.1")); /* a slot */
        ASSERT(exclude_each_other("01:00.0 02:00.0", "04:00.0 pci-0000:00:02.0/01.0"));
        ASSERT(exclude_each_other("09:00.0", "0000:09:00.0")); /* not there, and still one */
        ASSERT(!exclude_each_other("01:00.0", "02:00.0"));
        ASSERT(!exclude_each_other("01:00.0", "04:00.0")); /* without a group */
        ASSERT(!exclude_each_other("none", "none"));
        ASSERT(!exclude_each_other("1", "1")); /* whichever are free */
        ASSERT(!exclude_each_other("", ""));
        ASSERT(!exclude_each_other("09:00.0", "0a:00.0"));
}

TEST(the_order_behind_its_gpus) {
        make("pci-0000:00:02.0/01.0 01:00.0 09:00.0", "2", "");
        ASSERT_STREQ(text_of("gpuvm-vm@a.service.d/50-gpuvm.conf"),
                     PLAN_DROPIN_HEAD "SourcePath=/a\nAfter=gpuvm-vfio@0000:03:00.0.service\n"
                                      "After=gpuvm-vfio@0000:01:00.0.service\n");
        ASSERT_STREQ(text_of("gpuvm-vm@b.service.d/50-gpuvm.conf"), PLAN_DROPIN_HEAD "SourcePath=/b\n");
}

/* Both cannot start with the host: the first does, and the second one's file is named. */
TEST(both_wanted) {
        make("02:00.0", "03:00.0", "multi-user.target");
        ASSERT(text_of("multi-user.target.wants/gpuvm-vm@a.service"));
        ASSERT(!text_of("multi-user.target.wants/gpuvm-vm@b.service"));
        ASSERT_EQ(strv_length(told), 1);
        ASSERT(startswith(told[0], "/b:6: b shares GPU 0000:03:00.0, or its IOMMU group, with a"));
        ASSERT(strstr(told[0], "(/a:6)"));
        make("02:00.0", "01:00.0", "multi-user.target graphical.target multi-user.target");
        ASSERT_EQ(strv_length(told), 0);
        ASSERT(text_of("multi-user.target.wants/gpuvm-vm@b.service"));
        ASSERT(text_of("graphical.target.wants/gpuvm-vm@b.service"));
        ASSERT_EQ(plan.n, 6);
}

TEST(a_broken_one_excludes_nobody) {
        make("01:00.0", "01:00.0", "multi-user.target");
        files[0].n_problems = 1;
        plan_done(&plan);
        ASSERT_EQ(planvm_add(&plan, &catalog, &bus, note, NULL), 0);
        ASSERT(!text_of("gpuvm-vm@a.service.d/50-gpuvm.conf"));
        ASSERT(!strstr(text_of("gpuvm-vm@b.service.d/50-gpuvm.conf"), "Conflicts="));
        ASSERT(text_of("multi-user.target.wants/gpuvm-vm@b.service"));
        ASSERT(!is_apart("a", "b") && !is_apart("b", "a"));
        ASSERT(!is_apart("c", "a"));
}

TEST(when_the_bus_is_needed) {
        make("1", "none", "");
        ASSERT(!planvm_needs_bus(&catalog));
        make("1", "pci-0000:00:01.0/00.0", "");
        ASSERT(planvm_needs_bus(&catalog));
}
