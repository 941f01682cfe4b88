/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpuname.h"
#include "gpustate.h"
#include "strv.h"
#include "tests/tree.h"

#define DEVICES "/sys/bus/pci/devices/"

/* A function in group 7, on a driver or none. */
static void function(const char *address, const char *device, const char *class, const char *driver) {
        static const char *const names[] = { "vendor", "device", "class", "header_type" };
        const char *const values[] = { "0x10de\n", device, class, "0\n" };
        char path[128], target[64];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(path, sizeof(path), DEVICES "%s/%s", address, names[i]);
                tree_put(path, values[i]);
        }
        (void) snprintf(path, sizeof(path), DEVICES "%s/iommu_group", address);
        tree_link(path, "../../../../kernel/iommu_groups/7");
        (void) snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/7/devices/%s", address);
        tree_put(path, "");
        (void) snprintf(path, sizeof(path), DEVICES "%s/driver", address);
        (void) snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", strempty(driver));
        if (driver)
                tree_link(path, target);
}

static int machine(const char *driver) {
        int root = tree_new();

        function("0000:01:00.0", "0x2684\n", "0x030000\n", driver);
        function("0000:01:00.1", "0x22ba\n", "0x040300\n", "snd_hda_intel");
        ASSERT_EQ(fs_mkdir_p(root, "/proc", 0755), 0);
        return root;
}

static void look(int root, GpuStates *s) {
        _cleanup_(conf_done) Conf c = {};

        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(gpustate_read(root, &c, true, s), 0);
}

TEST(the_hosts_driver_has_it) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_free_ char *text = NULL;

        look(machine("nvidia"), &s);
        ASSERT_EQ(s.n, 1);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_HOST);
        ASSERT_EQ(s.list[0].n_functions, 2);
        ASSERT_STREQ(s.list[0].functions[1]->name, "0000:01:00.1");
        ASSERT(!s.list[0].refused);
        ASSERT_EQ(gpustate_describe_owner(&s.list[0], &text), 0);
        ASSERT_STREQ(text, "host, idle");
}

TEST(on_vfio_it_is_free_or_a_machines) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_free_ char *text = NULL;
        char *others[] = { (char *) "0000:02:00.0", NULL };
        char *its[] = { (char *) "0000:01:00.1", (char *) "0000:01:00.0", NULL };

        look(machine("vfio-pci"), &s);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_FREE);
        ASSERT_EQ(gpustate_mark_machine(&s, "b", others), 0);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_FREE);
        ASSERT_EQ(gpustate_mark_machine(&s, "talos-01", its), 0);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_MACHINE);
        ASSERT_EQ(gpustate_describe_owner(&s.list[0], &text), 0);
        ASSERT_STREQ(text, "machine talos-01");
}

TEST(nobody_is_free_whom_nobody_looked_at) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_(conf_done) Conf c = {};
        int root = machine("vfio-pci");

        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(gpustate_read(root, &c, false, &s), 0);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_UNKNOWN);
}

/* The sound is with the host, and what plays there has no GPU. */
TEST(a_half_of_it_is_not_all) {
        _cleanup_(gpustate_done) GpuStates s = {};
        int root = machine("vfio-pci");

        tree_put(DEVICES "0000:01:00.1/sound/card0/pcmC0D3p/dev", "1:5\n");
        tree_put("/proc/900/comm", "pipewire\n");
        tree_put("/proc/900/maps", "");
        tree_put("/proc/900/cgroup", "0::/\n");
        tree_link("/proc/900/fd/3", "/dev/zero");
        look(root, &s);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_FREE);
}

TEST(a_machine_has_the_whole_group) {
        _cleanup_(gpustate_done) GpuStates s = {};
        char *its[] = { (char *) "0000:02:00.0", NULL };
        int root = machine("vfio-pci");

        for (unsigned i = 0; i < 32; i++) {
                char address[32];

                (void) snprintf(address, sizeof(address), "0000:00:%02x.0", i);
                function(address, "0x1521\n", "0x020000\n", "vfio-pci");
        }
        function("0000:02:00.0", "0x2684\n", "0x030000\n", "vfio-pci");
        look(root, &s);
        ASSERT_EQ(s.n, 2);
        ASSERT_EQ(s.list[0].n_functions, 35);
        ASSERT_EQ(gpustate_mark_machine(&s, "talos-01", its), 0);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_MACHINE);
        ASSERT_EQ(s.list[1].owner, GPU_OWNER_MACHINE);
}

TEST(without_a_driver_nobody_has_it) {
        _cleanup_(gpustate_done) GpuStates s = {};

        look(machine(NULL), &s);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_NOBODY);
}

TEST(a_function_that_hangs_is_the_whole_cards) {
        _cleanup_(gpustate_done) GpuStates s = {};
        int root = machine("vfio-pci");

        tree_put("/run/gpuvm/poisoned/0000:01:00.1", "it hangs\n0 0\n");
        look(root, &s);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_STUCK);
        ASSERT_STREQ(s.list[0].stuck, "it hangs");
        ASSERT(!s.list[0].looked);
}

TEST(who_has_it_open) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_free_ char *text = NULL;
        int root = machine("nouveau");

        tree_put(DEVICES "0000:01:00.0/drm/card1/dev", "1:5\n"); /* /dev/zero stands in */
        tree_put("/proc/812/comm", "Xorg\n");
        tree_put("/proc/812/maps", "");
        tree_put("/proc/812/cgroup", "0::/\n");
        tree_link("/proc/812/fd/3", "/dev/zero");
        look(root, &s);
        ASSERT_EQ(s.list[0].owner, GPU_OWNER_HOST);
        ASSERT_EQ(s.list[0].holders.n, 1);
        ASSERT_EQ(gpustate_describe_owner(&s.list[0], &text), 0);
        ASSERT_STREQ(text, "host: Xorg (812)");
}

TEST(the_link_of_one_that_sleeps_says_nothing) {
        _cleanup_(gpustate_done) GpuStates awake = {}, asleep = {};
        int root = machine("nvidia");

        tree_put(DEVICES "0000:01:00.0/current_link_speed", "16.0 GT/s PCIe\n");
        tree_put(DEVICES "0000:01:00.0/current_link_width", "8\n");
        tree_put(DEVICES "0000:01:00.0/power_state", "D0\n");
        look(root, &awake);
        ASSERT_STREQ(awake.list[0].link, "16.0 GT/s PCIe x8");
        tree_put(DEVICES "0000:01:00.0/power_state", "D3cold\n");
        look(root, &asleep);
        ASSERT_STREQ(asleep.list[0].power, "D3cold");
        ASSERT(!asleep.list[0].link);
}

TEST(is_found_by_what_people_call_it) {
        static const char *const words[] = { "0", "0000:01:00.0", "01:00.0", "rtx 4090", "4090" };
        _cleanup_(gpustate_done) GpuStates s = {};
        GpuState *g;

        look(machine("nvidia"), &s);
        ASSERT_EQ(free_and_strdup(&s.list[0].name, "GeForce RTX 4090"), 0);
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                ASSERT_EQ(gpustate_find(&s, words[i], &g), 1);
                ASSERT(g == &s.list[0]);
        }
        ASSERT_EQ(gpustate_find(&s, "1", &g), 0);
        ASSERT_EQ(gpustate_find(&s, "0000:01:00.1", &g), 0);
        ASSERT_EQ(gpustate_find(&s, "A100", &g), 0);
        ASSERT_EQ(gpustate_find(&s, "", &g), 0);
}

TEST(twins_have_one_name) {
        _cleanup_(gpustate_done) GpuStates s = {};
        int root = machine("nvidia");
        GpuState *g;

        function("0000:02:00.0", "0x2684\n", "0x030000\n", "nvidia");
        look(root, &s);
        for (size_t i = 0; i < s.n; i++)
                ASSERT_EQ(free_and_strdup(&s.list[i].name, "GeForce RTX 4090"), 0);
        ASSERT_EQ(gpustate_find(&s, "4090", &g), -ENOTUNIQ);
        ASSERT_EQ(gpustate_find(&s, "1", &g), 1);
        ASSERT(g == &s.list[1]);
}

TEST(the_driver_knows_its_name) {
        _cleanup_(gpustate_done) GpuStates s = {};
        int root = machine("nvidia");

        tree_put("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H200\nIRQ: 41\n");
        look(root, &s);
        ASSERT_STREQ(s.list[0].name, "NVIDIA H200");
}

TEST(names_are_short) {
        static const struct {
                const char *model, *name;
        } models[] = {
                { "AD102 [GeForce RTX 4090]", "GeForce RTX 4090" },
                { "GeForce 8800", "GeForce 8800" },
                { "odd [", "odd [" },
                { "odd []", "odd []" },
        };

        for (size_t i = 0; i < ELEMENTSOF(models); i++) {
                _cleanup_free_ char *name = NULL;

                ASSERT_EQ(gpuname_shorten(models[i].model, &name), 0);
                ASSERT_STREQ(name, models[i].name);
        }
}
