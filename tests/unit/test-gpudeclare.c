/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpudeclare.h"
#include "strv.h"
#include "tests/tree.h"

#define FILE_PATH "/etc/gpuvm/vms/lab.vm"
#define DIRECTORY FILE_PATH ".d"
#define DROPIN    DIRECTORY "/60-vmctl-gpu.conf"
#define FIRST     "0000:01:00.0"
#define SECOND    "0000:21:00.0"
#define PATH      "pci-0000:20:03.1/00.0"

static const PciBus bus = {
        .devices = (PciDevice[]){ { .name = FIRST }, { .name = SECOND, .path = (char *) PATH } },
        .n = 2,
};

static int declare(const char *gpu) {
        _cleanup_free_ char *text = NULL;
        int root = tree_new();

        ASSERT_EQ(str_printf(&text, "[Vm]\nKind=debian\n[Gpu]\n%s\n", gpu), 0);
        tree_put(FILE_PATH, text);
        return root;
}

static int plan(int root, const char *gpu, bool has, GpuDeclareChange *ret) {
        char *gpus[] = { (char *) gpu, NULL };

        return gpudeclare_plan(root, &bus, "lab", gpus, has, ret);
}

/* The addresses that the file names then. */
static const char *named(int root) {
        static char text[256];
        _cleanup_(vmfile_done) VmFile f = {};
        _cleanup_free_ char *joined = NULL;
        _cleanup_strv_ char **l = NULL;

        ASSERT_EQ(catalog_read(root, "lab", NULL, NULL, &f), 1);
        ASSERT_EQ(f.n_problems, 0);
        ASSERT_EQ(gpudeclare_named(&bus, &f, &l), 0);
        joined = l ? strv_join(l, " ") : strdup("open");
        ASSERT(joined);
        (void) snprintf(text, sizeof(text), "%s", joined);
        return text;
}

static void change(int root, const char *gpu, bool has) {
        _cleanup_(gpudeclare_done) GpuDeclareChange c = {}, again = {};

        ASSERT_EQ(plan(root, gpu, has, &c), 1);
        ASSERT(!c.obstacle);
        ASSERT_STREQ(c.path, DROPIN);
        ASSERT_EQ(gpudeclare_apply(root, &c), 0);
        ASSERT_EQ(plan(root, gpu, has, &again), 0);
}

static void stays(int root, const char *gpu, bool has) {
        _cleanup_(gpudeclare_done) GpuDeclareChange c = {};

        ASSERT_EQ(plan(root, gpu, has, &c), 0);
        ASSERT(!c.obstacle);
}

static void is_in_the_way(int root, const char *gpu, bool has, const char *why) {
        _cleanup_(gpudeclare_done) GpuDeclareChange c = {};

        ASSERT_EQ(plan(root, gpu, has, &c), 1);
        ASSERT(c.obstacle && strstr(c.obstacle, why));
}

TEST(there_and_back) {
        int root = declare("Gpu=none");
        _cleanup_free_ char *text = NULL;

        change(root, SECOND, true);
        ASSERT_STREQ(named(root), SECOND);
        ASSERT_EQ(fs_read(root, DROPIN, FS_FILE_MAX, &text, NULL), 0);
        ASSERT(strstr(text, "[Gpu]\nGpu=\nGpu=" PATH "\n"));
        change(root, FIRST, true);
        ASSERT_STREQ(named(root), SECOND " " FIRST);
        change(root, SECOND, false);
        ASSERT_STREQ(named(root), FIRST);
        change(root, FIRST, false);
        ASSERT_STREQ(named(root), "");
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

TEST(back_and_there) {
        int root = declare("Gpu=" PATH " 01:00.0");

        change(root, SECOND, false);
        ASSERT_STREQ(named(root), FIRST);
        change(root, FIRST, false);
        ASSERT_STREQ(named(root), "");
        change(root, FIRST, true);
        change(root, SECOND, true);
        ASSERT_STREQ(named(root), SECOND " " FIRST);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

TEST(nothing_to_say) {
        int root = declare("Rom=off");

        stays(root, SECOND, true);
        stays(root, SECOND, false);
        tree_put(FILE_PATH, "[Vm]\nKind=debian\n[Gpu]\nGpu=21:00.0\n");
        stays(root, SECOND, true);
        stays(root, FIRST, false);
        ASSERT_EQ(fs_remove(root, FILE_PATH), 1);
        stays(root, SECOND, true);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

/* Of a file that has become open or a wish since then. */
TEST(the_file_has_changed) {
        int root = declare("Gpu=none");

        change(root, SECOND, true);
        tree_put(FILE_PATH, "[Vm]\nKind=debian\n[Gpu]\nGpu=2\n");
        change(root, SECOND, false);
        ASSERT_STREQ(named(root), "");
        ASSERT_EQ(fs_exists(root, DROPIN), 1);
        tree_put(FILE_PATH, "[Vm]\nKind=debian\n");
        change(root, SECOND, true);
        change(root, SECOND, false);
        ASSERT_STREQ(named(root), "open");
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

TEST(wishes_stand) {
        int root = declare("Gpu=2 x RTX 4090");

        is_in_the_way(root, SECOND, true, FILE_PATH " asks for GPUs by number or model ('2 x RTX 4090')");
        stays(root, SECOND, false);
}

TEST(others_beside_it) {
        int root = declare("Gpu=none");

        tree_put(DIRECTORY "/10-early.conf", "[Gpu]\nGpu=\nGpu=01:00.0\n");
        tree_put(DIRECTORY "/90-late.conf", "[Gpu]\nRom=off\n");
        change(root, SECOND, true);
        ASSERT_STREQ(named(root), FIRST " " SECOND);
        change(root, SECOND, false);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
        ASSERT_EQ(fs_exists(root, DIRECTORY "/10-early.conf"), 1);
        tree_put(DIRECTORY "/90-late.conf", "[Gpu]\nGpu=\nGpu=none\n");
        is_in_the_way(root, SECOND, true, DIRECTORY "/90-late.conf, which is read after " DROPIN);
}

TEST(not_ours) {
        int root = declare("Gpu=none");

        tree_put(DROPIN, "[Gpu]\nGpu=\nGpu=01:00.0\n");
        is_in_the_way(root, SECOND, true, DROPIN " is not by vmctl");
        is_in_the_way(root, FIRST, false, DROPIN " is not by vmctl");
        ASSERT_EQ(fs_remove(root, DROPIN), 1);
        tree_put("/dev/null", "");
        tree_link(DROPIN, "/dev/null");
        is_in_the_way(root, SECOND, true, DROPIN);
}

TEST(mistakes) {
        int root = declare("Gpu=none\nColour=red");

        is_in_the_way(root, SECOND, true, FILE_PATH " has mistakes");
}

/* /usr/lib and /run are not for us to write. */
TEST(declared_elsewhere) {
        int root = tree_new();

        tree_put("/usr/lib/gpuvm/vms/lab.vm", "[Vm]\nKind=debian\n[Gpu]\nGpu=none\n");
        change(root, SECOND, true);
        ASSERT_STREQ(named(root), SECOND);
        change(root, SECOND, false);
        ASSERT_EQ(fs_exists(root, DROPIN), 0);
}

/* What cannot be written changes nothing. */
TEST(no_room_for_it) {
        int root = declare("Gpu=none");
        _cleanup_(gpudeclare_done) GpuDeclareChange c = {};

        ASSERT_EQ(plan(root, SECOND, true, &c), 1);
        tree_link(DIRECTORY, "/nowhere");
        ASSERT(gpudeclare_apply(root, &c) < 0);
        ASSERT_STREQ(named(root), "");
}
