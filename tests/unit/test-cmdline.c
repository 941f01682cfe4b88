/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cmdline.h"
#include "strv.h"
#include "tests/tap.h"

static char **parse(const char *s) {
        char **l;

        ASSERT_EQ(cmdline_parse(s, &l), 0);
        return l;
}

TEST(words) {
        _cleanup_strv_ char **l = parse("BOOT_IMAGE=/vmlinuz root=UUID=1-2  ro\tquiet\n");

        ASSERT_EQ(strv_length(l), 4);
        ASSERT_STREQ(cmdline_get(l, "root"), "UUID=1-2");
        ASSERT_STREQ(cmdline_get(l, "quiet"), "");
        ASSERT(cmdline_get(l, "roo") == NULL);
        ASSERT(cmdline_has(l, "ro"));
        ASSERT(!cmdline_has(l, "root"));
}

TEST(last_one_wins_and_dashes_are_underscores) {
        _cleanup_strv_ char **l = parse("intel_iommu=off a-b=1 intel-iommu=on a_b=2");

        ASSERT_STREQ(cmdline_get(l, "intel_iommu"), "on");
        ASSERT_STREQ(cmdline_get(l, "a-b"), "2");
        ASSERT_STREQ(cmdline_get(l, "a_b"), "2");
}

TEST(quotes_as_the_kernel_takes_them) {
        _cleanup_strv_ char **l = parse("a=\"one two\" \"b=three four\" c=x\"y z\"w \"d\" e=\"open end");

        ASSERT_EQ(strv_length(l), 5);
        ASSERT_STREQ(cmdline_get(l, "a"), "one two");
        ASSERT_STREQ(cmdline_get(l, "b"), "three four");
        ASSERT_STREQ(cmdline_get(l, "c"), "x\"y z\"w");
        ASSERT_STREQ(cmdline_get(l, "d"), "");
        ASSERT_STREQ(cmdline_get(l, "e"), "open end");
}

TEST(odd_ones) {
        _cleanup_strv_ char **none = parse(" \n"), **odd = parse("= =x \" a=\" b=\"\" =\"z\"");

        ASSERT_EQ(strv_length(none), 0);
        ASSERT(cmdline_get(none, "a") == NULL);
        ASSERT_STREQ(odd[0], "=");
        ASSERT_STREQ(odd[1], "=x");
        ASSERT_EQ(strv_length(odd), 5);
        ASSERT_STREQ(odd[4], "=\"z\"");
        ASSERT_STREQ(cmdline_get(odd, "b"), "");
}
