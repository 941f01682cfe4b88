/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "osrelease.h"
#include "tests/tree.h"

TEST(reads_fields) {
        static const char text[] = "# comment\nID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME='Debian \"x\"'\n"
                                   "VERSION_CODENAME=trixie \nEMPTY=\nOPEN=\"never closed\n";
        static const struct {
                const char *field, *want;
        } rows[] = { { "ID", "debian" },
                     { "VERSION_ID", "13" },
                     { "PRETTY_NAME", "Debian \"x\"" },
                     { "VERSION_CODENAME", "trixie" },
                     { "EMPTY", "" },
                     { "OPEN", "never closed" } };
        int root = tree_new();
        char *value = NULL;

        ASSERT_EQ(osrelease_get(root, "ID", &value), -ENOENT);
        tree_put("/usr/lib/os-release", text);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ASSERT_EQ(osrelease_get(root, rows[i].field, &value), 0);
                ASSERT_STREQ(value, rows[i].want);
                free(value);
        }
        ASSERT_EQ(osrelease_get(root, "VERSION", &value), -ENODATA);
        ASSERT_EQ(osrelease_get(root, "comment", &value), -ENODATA);
}
