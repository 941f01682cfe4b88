/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "nvidiaversion.h"
#include "tests/tree.h"

static void expect(int (*read)(int root, char **ret), const char *want) {
        _cleanup_free_ char *got = NULL;
        int r = read(tree_root, &got);

        ASSERT_EQ(r, want ? 0 : -ENOENT);
        if (want)
                ASSERT_STREQ(got, want);
}

TEST(reads_the_loaded_module) {
        int root = tree_new();

        expect(nvidiaversion_loaded, NULL);
        tree_put("/proc/driver/nvidia/version",
                 "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x@y)\n"
                 "GCC version:  gcc version 12.2.0\n");
        expect(nvidiaversion_loaded, "580.95.05");
        /* Debian's archive */
        tree_put("/sys/module/nvidia_current/version", "535.261.03\n");
        expect(nvidiaversion_loaded, "535.261.03");
        tree_put("/sys/module/nvidia/version", "550.163.01\n");
        expect(nvidiaversion_loaded, "550.163.01");
        ASSERT_EQ(fs_remove(root, "/sys/module/nvidia/version"), 1);
        expect(nvidiaversion_loaded, "535.261.03");
}

static void link_to(const char *path, const char *target) {
        _cleanup_free_ char *below = NULL;

        tree_put(path, "");
        ASSERT(str_printf(&below, "%s%s", tree_path, path) >= 0);
        ASSERT_EQ(unlink(below), 0);
        ASSERT_EQ(symlink(target, below), 0);
}

TEST(reads_the_library) {
        (void) tree_new();
        expect(nvidiaversion_library, NULL);
        /* A file without a version in its name tells none. */
        link_to("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.stub");
        expect(nvidiaversion_library, NULL);
        /* Debian's archive: the usual place leads through alternatives. */
        link_to("/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1", "libcuda.so.535.261.03");
        expect(nvidiaversion_library, "535.261.03");
        link_to("/usr/lib/aarch64-linux-gnu/libcuda.so.1", "libcuda.so.580.95.05");
        expect(nvidiaversion_library, "580.95.05");
}
