/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Driveruse: a count of the kernel that is all modules is nobody's use. */

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "driveruse.h"
#include "tests/tree.h"

#define SEC (60 * USEC_PER_SEC)

static PciDevice gpu = { .name = "0000:01:00.0", .driver = (char *) "nvidia" };
static PciDevice audio = { .name = "0000:01:00.1", .driver = (char *) "snd_hda_intel" };
static const PciDevice *const both[] = { &gpu, &audio };

static void module(const char *name, const char *count, const char *above) {
        char path[128];

        (void) snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
        tree_put(path, count);
        if (!above)
                return;
        (void) snprintf(path, sizeof(path), "/sys/module/%s/holders/%s", name, above);
        tree_link(path, "/sys/module/x");
}

static int is_none(int root) {
        _cleanup_(worker_freep) Worker *w = NULL;

        ASSERT_EQ(worker_start(root, NULL, NULL, &w), 0);
        return driveruse_is_none(w, root, both, 2, true, SEC);
}

/* As a host has them: nvidia_uvm and nvidia_modeset build on nvidia, nvidia_drm on nvidia_modeset. */
static int host(void) {
        int root = tree_new();

        gpu.driver = (char *) "nvidia";
        audio.driver = (char *) "snd_hda_intel";
        module("nvidia", "2\n", "nvidia_uvm");
        module("nvidia", "2\n", "nvidia_modeset");
        module("nvidia_uvm", "0\n", NULL);
        module("nvidia_modeset", "1\n", "nvidia_drm");
        module("nvidia_drm", "0\n", NULL);
        module("snd_hda_intel", "0\n", NULL);
        return root;
}

TEST(modules_alone_are_no_use) {
        ASSERT_EQ(is_none(host()), 1);
}

TEST(one_more_than_modules_is_use) {
        static const struct {
                const char *name, *idle, *more;
        } in_use[] = {
                { "nvidia", "2\n", "3\n" },         { "nvidia_uvm", "0\n", "1\n" },
                { "nvidia_modeset", "1\n", "2\n" }, { "nvidia_drm", "0\n", "1\n" },
                { "snd_hda_intel", "0\n", "1\n" },
        };

        int root = host();

        for (size_t i = 0; i < ELEMENTSOF(in_use); i++) {
                module(in_use[i].name, in_use[i].more, NULL);
                ASSERT_EQ(is_none(root), 0);
                module(in_use[i].name, in_use[i].idle, NULL);
                ASSERT_EQ(is_none(root), 1);
        }
}

TEST(where_nobody_counts_nobody_can_tell) {
        static const char *const odd[] = { "", "many\n", "-1\n" };
        int root = host();

        for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
                module("nvidia_drm", odd[i], NULL);
                ASSERT_EQ(is_none(root), 0);
        }
        /* A chain without an end. */
        module("nvidia_drm", "1\n", "nvidia_modeset");
        ASSERT_EQ(is_none(root), 0);
        ASSERT_EQ(fs_remove(root, "/sys/module/nvidia_uvm/refcnt"), 1);
        ASSERT_EQ(is_none(root), 0);
}

TEST(drivers_of_another_kind) {
        int root = host();

        module("nouveau", "0\n", NULL);
        gpu.driver = (char *) "nouveau";
        ASSERT_EQ(is_none(root), 0);
        gpu.driver = NULL; /* nobody opens what has none */
        ASSERT_EQ(is_none(root), 1);
}

/* With the numbers of /dev/null: what may be opened, is the group that the kernel tells of, and nobody has.
 */
TEST(groups_of_vfio) {
        int root = host();

        gpu.driver = (char *) "vfio-pci";
        gpu.iommu_group = 12;
        ASSERT_EQ(is_none(root), 0);
        tree_put("/sys/class/vfio/12/dev", "1:3\n");
        ASSERT_EQ(is_none(root), 0);
        tree_put("/dev/vfio/12", "");
        ASSERT_EQ(is_none(root), 0);
        ASSERT_EQ(fs_remove(root, "/dev/vfio/12"), 1);
        if (mknodat(root, "dev/vfio/12", S_IFCHR | 0600, makedev(1, 3)) < 0)
                SKIP("makes no device nodes");
        ASSERT_EQ(is_none(root), 1);
        /* Who opens a device alone is not counted. */
        tree_put("/sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio0/uevent", "");
        ASSERT_EQ(is_none(root), 1);
        tree_put("/sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio0/dev", "244:9\n");
        ASSERT_EQ(is_none(root), 0);
        ASSERT_EQ(fs_remove(root, "/sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio0/dev"), 1);
        tree_put("/sys/class/vfio/12/dev", "1:5\n");
        ASSERT_EQ(is_none(root), 0);
}

/* Who has /dev/fb0 open pins the module that draws, and that is not the GPU's. */
TEST(frame_buffers) {
        int root = host();

        tree_put("/sys/bus/pci/devices/0000:01:00.0/graphics/fb0/dev", "29:0\n");
        ASSERT_EQ(is_none(root), 0);
}
