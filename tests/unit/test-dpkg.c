/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dpkg.h"
#include "strv.h"
#include "tests/tree.h"

static void parse(const char *text, DpkgStatus *ret) {
        ASSERT_EQ(dpkg_parse(text, strlen(text), ret), 0);
}

TEST(tells_the_states_apart) {
        _cleanup_(dpkg_done) DpkgStatus s = {};

        parse("Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\n"
              "Description: a library\n Package: not-a-field\n\n"
              "Package: gone\nStatus: deinstall ok config-files\n\n"
              "Package: half\nStatus: install ok half-configured\n\n"
              "Package: kept\nStatus: hold ok installed\n\n"
              "Package: torn\nStatus: install reinstreq installed\n\n\n"
              "package:awaits\nSTATUS:\tinstall ok triggers-awaited",
              &s);
        ASSERT_EQ(s.n, 6);
        ASSERT_EQ(dpkg_state(&s, "zlib1g"), PACKAGE_INSTALLED);
        ASSERT_STREQ(dpkg_find(&s, "zlib1g")->version, "1:1.2");
        ASSERT_EQ(dpkg_state(&s, "gone"), PACKAGE_ABSENT);
        ASSERT_EQ(dpkg_state(&s, "half"), PACKAGE_BROKEN);
        ASSERT_EQ(dpkg_state(&s, "kept"), PACKAGE_INSTALLED);
        ASSERT(dpkg_find(&s, "kept")->held && !dpkg_find(&s, "zlib1g")->held);
        ASSERT_EQ(dpkg_state(&s, "torn"), PACKAGE_BROKEN);
        ASSERT_EQ(dpkg_state(&s, "awaits"), PACKAGE_BROKEN);
        ASSERT_EQ(dpkg_state(&s, "not-a-field"), PACKAGE_ABSENT);
        ASSERT(s.broken);
}

TEST(the_fields_may_come_in_any_order) {
        _cleanup_(dpkg_done) DpkgStatus s = {};

        parse("Version: 1\nPackage: a\nPriority: optional\nStatus: install ok unpacked\nPackages: no\n\n"
              "Status: hold ok installed\nVersion: 2\nSection: libs\nPackage: b\nDescription: b\n\n"
              "Package: c\nVersion: 3\n",
              &s);
        ASSERT_EQ(s.n, 3);
        ASSERT_EQ(dpkg_state(&s, "a"), PACKAGE_BROKEN);
        ASSERT_STREQ(dpkg_find(&s, "a")->version, "1");
        ASSERT_EQ(dpkg_state(&s, "b"), PACKAGE_INSTALLED);
        ASSERT_STREQ(dpkg_find(&s, "b")->version, "2");
        ASSERT_EQ(dpkg_state(&s, "c"), PACKAGE_ABSENT);
}

TEST(the_best_architecture_counts) {
        _cleanup_(dpkg_done) DpkgStatus s = {};

        parse("Package: libc6\nStatus: deinstall ok config-files\nArchitecture: i386\n\n"
              "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n\n"
              "Package: libc6\nStatus: deinstall ok config-files\nArchitecture: armhf\n",
              &s);
        ASSERT_EQ(dpkg_state(&s, "libc6"), PACKAGE_INSTALLED);
        ASSERT(!s.broken);
}

TEST(missing_keeps_the_order) {
        static const char *const wanted[] = { "z", "here", "a", "half", NULL };
        _cleanup_(dpkg_done) DpkgStatus s = {};
        _cleanup_strv_ char **missing = NULL;
        _cleanup_free_ char *list = NULL;

        parse("Package: here\nStatus: install ok installed\n\nPackage: half\nStatus: install ok unpacked\n",
              &s);
        ASSERT_EQ(dpkg_missing(&s, wanted, &missing), 0);
        list = strv_join(missing, " ");
        ASSERT_STREQ(list, "z a half");
}

TEST(nonsense_is_no_package) {
        static const char bytes[] =
                        "Package\0: x\nStatus: install\n\n:\n: :\n\nPackage:\nStatus: a b installed\n";
        _cleanup_(dpkg_done) DpkgStatus s = {}, empty = {};

        ASSERT_EQ(dpkg_parse(bytes, sizeof(bytes) - 1, &s), 0);
        ASSERT_EQ(s.n, 0);
        parse("", &empty);
        ASSERT_EQ(dpkg_state(&empty, "x"), PACKAGE_ABSENT);
}

TEST(reads_the_files_of_a_machine) {
        static const char text[] = "Package: a\nStatus: install ok installed\n";
        int root = tree_new();
        DpkgStatus s = {};

        ASSERT_EQ(dpkg_read(root, &s), -ENOENT);
        tree_put("/var/lib/dpkg/status", text);
        ASSERT_EQ(dpkg_read(root, &s), 0);
        ASSERT_EQ(s.n, 1);
        ASSERT(!s.interrupted);
        dpkg_done(&s);
        tree_put("/var/lib/dpkg/updates/tmp.i", "");
        ASSERT_EQ(dpkg_read(root, &s), 0);
        ASSERT(!s.interrupted);
        dpkg_done(&s);
        tree_put("/var/lib/dpkg/updates/0001", "");
        ASSERT_EQ(dpkg_read(root, &s), 0);
        ASSERT(s.interrupted);
        dpkg_done(&s);
}

/* Read in pieces: a paragraph goes over the end of each. */
TEST(reads_more_than_a_piece) {
        enum { PACKAGES = 3000, LINE = 400 };
        char *text = NULL, filler[LINE + 1], name[32];
        _cleanup_(dpkg_done) DpkgStatus s = {};
        int root = tree_new();
        size_t size;
        FILE *f = open_memstream(&text, &size);

        ASSERT(f);
        memset(filler, 'P', LINE);
        filler[LINE] = '\0';
        for (int i = 0; i < PACKAGES; i++)
                fprintf(f, "Package: p%04d\nStatus: install ok installed\nVersion: 1.%d\nDescription: %s\n\n",
                        i, i, filler);
        /* And a line that is longer than a piece. */
        fputs("Package: long\nDepends: ", f);
        for (int i = 0; i < PACKAGES; i++)
                fputs(filler, f);
        fputs("\nStatus: install ok installed", f);
        ASSERT_EQ(fclose(f), 0);
        tree_put("/var/lib/dpkg/status", text);
        free(text);
        ASSERT_EQ(dpkg_read(root, &s), 0);
        ASSERT_EQ(s.n, PACKAGES + 1);
        ASSERT_EQ(dpkg_state(&s, "long"), PACKAGE_INSTALLED);
        for (int i = 0; i < PACKAGES; i++) {
                const DpkgPackage *p;

                (void) snprintf(name, sizeof(name), "p%04d", i);
                p = dpkg_find(&s, name);
                ASSERT(p && p->state == PACKAGE_INSTALLED);
                (void) snprintf(name, sizeof(name), "1.%d", i);
                ASSERT_STREQ(p->version, name);
        }
}
