/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/tree.h"
#include "unitfile.h"

TEST(exists_wherever_systemd_looks) {
        static const char *const paths[] = { "/etc/systemd/system/a.service", "/run/systemd/system/a.service",
                                             "/usr/local/lib/systemd/system/a.service",
                                             "/usr/lib/systemd/system/a.service",
                                             "/lib/systemd/system/a.service" };
        int root = tree_new();

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                ASSERT_EQ(unitfile_exists(root, "a.service"), 0);
                tree_put(paths[i], "[Service]\n");
                ASSERT_EQ(unitfile_exists(root, "a.service"), 1);
                ASSERT_EQ(unitfile_exists(root, "b.service"), 0);
                ASSERT_EQ(fs_remove(root, paths[i]), 1);
        }
}

TEST(a_link_to_nowhere_is_no_unit) {
        int root = tree_new();

        tree_link("/etc/systemd/system/a.service", "/usr/lib/systemd/system/gone.service");
        ASSERT_EQ(unitfile_exists(root, "a.service"), 0);
        tree_put("/usr/lib/systemd/system/gone.service", "[Service]\n");
        ASSERT_EQ(unitfile_exists(root, "a.service"), 1);
}

TEST(enabled_is_wanted_by_the_boot) {
        int root = tree_new();

        tree_put("/usr/lib/systemd/system/a.service", "[Service]\n");
        ASSERT_EQ(unitfile_is_enabled(root, "a.service"), 0);
        tree_link("/etc/systemd/system/multi-user.target.wants/a.service",
                  "/usr/lib/systemd/system/a.service");
        ASSERT_EQ(unitfile_is_enabled(root, "a.service"), 1);
        ASSERT_EQ(unitfile_is_enabled(root, "b.service"), 0);
}

TEST(what_cannot_be_known_is_told) {
        char name[300];
        int root = tree_new();

        tree_put("/etc/systemd/system/multi-user.target.wants/b.service", "");
        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        ASSERT_EQ(unitfile_exists(root, name), -ENAMETOOLONG);
        ASSERT_EQ(unitfile_is_enabled(root, name), -ENAMETOOLONG);
}
