/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tests/tap.h"

TEST(splits_and_joins) {
        _cleanup_strv_ char **l = NULL, **none = NULL;
        _cleanup_free_ char *s = NULL, *empty = NULL;

        ASSERT_EQ(strv_split("  b\ta  c ", " \t", &l), 0);
        ASSERT_EQ(strv_length(l), 3);
        ASSERT(strv_contains(l, "a"));
        ASSERT(!strv_contains(l, "d"));
        strv_sort(l);
        s = strv_join(l, ", ");
        ASSERT_STREQ(s, "a, b, c");
        ASSERT_EQ(strv_split("   ", " ", &none), 0);
        ASSERT(!none);
        empty = strv_join(none, ",");
        ASSERT_STREQ(empty, "");
}

TEST(extends) {
        _cleanup_strv_ char **l = NULL;

        ASSERT_EQ(strv_extend(&l, "one"), 0);
        ASSERT_EQ(strv_extendf(&l, "%d-%s", 2, "two"), 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[1], "2-two");
        ASSERT(!l[2]);
}

TEST(a_file_of_ours_is_whole_or_not) {
        _cleanup_strv_ char **l = NULL;
        char **none = NULL;

        ASSERT_EQ(strv_split_whole("a b\nend\n", 8, 8, &l), 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "a b");
        ASSERT_STREQ(l[1], "end");
        ASSERT_EQ(strv_split_whole("a b\nend\n", 8, 7, &none), -EBADMSG);
        ASSERT_EQ(strv_split_whole("a b\nend", 7, 8, &none), -EBADMSG);
        ASSERT_EQ(strv_split_whole("a\0b\nend\n", 8, 8, &none), -EBADMSG);
        ASSERT_EQ(strv_split_whole("", 0, 8, &none), -EBADMSG);
}
