/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "ini.h"
#include "strv.h"
#include "tests/tap.h"

/* Everything that the callbacks are told, one event a line. */
typedef struct Events {
        char *text;
        int answer;
} Events;

static int add(Events *e, unsigned line, const char *format, const char *a, const char *b, const char *c) {
        _cleanup_free_ char *item = NULL, *old = e->text;

        ASSERT_EQ(str_printf(&item, format, line, a, b, c), 0);
        ASSERT_EQ(str_printf(&e->text, "%s%s\n", strempty(old), item), 0);
        return e->answer;
}

static int section(unsigned line, const char *s, void *userdata) {
        return add(userdata, line, "%u [%s]", s, NULL, NULL);
}

static int assignment(unsigned line, const char *s, const char *key, const char *value, void *userdata) {
        return add(userdata, line, "%u %s.%s=%s", strempty(s), key, value);
}

static void problem(unsigned line, const char *text, void *userdata) {
        (void) add(userdata, line, "%u ! %.8s", text, NULL, NULL);
}

static void expect_size(const char *data, size_t size, const char *want) {
        Events e = {};
        Ini ini = { section, assignment, problem, &e };

        ASSERT_EQ(ini_parse(&ini, data, size), 0);
        ASSERT_STREQ(strempty(e.text), want);
        free(e.text);
}

static void expect(const char *data, const char *want) {
        expect_size(data, strlen(data), want);
}

TEST(plain) {
        expect("[A]\nx=1\n y = 2 \n\n[B]\nz==3\n", "1 [A]\n2 A.x=1\n3 A.y=2\n5 [B]\n6 B.z==3\n");
        expect("", "");
        expect("[A]\nx=", "1 [A]\n2 A.x=\n");
}

TEST(comments_only_at_the_start_of_a_line) {
        expect("# a\n;b\n  # c\n[A]\nx=1 # not one\n", "4 [A]\n5 A.x=1 # not one\n");
}

TEST(continuations) {
        expect("[A]\nx=1\\\n  2\\\n# comment\\\n; comment\n3\ny=4\n", "1 [A]\n2 A.x=1   2 3\n7 A.y=4\n");
        expect("[A]\nx=1\\\n\ny=2\n", "1 [A]\n2 A.x=1\n4 A.y=2\n");
        expect("[A]\nx=1\\\\\ny=2\n", "1 [A]\n2 A.x=1\\\\\n3 A.y=2\n");
        expect("[A]\nx=1\\", "1 [A]\n2 A.x=1\n");
}

TEST(line_ends_and_byte_order_mark) {
        expect("\xef\xbb\xbf[A]\r\nx=1\\\r\n2\r\n", "1 [A]\n2 A.x=1 2\n");
        expect("[A]\n\xef\xbb\xbfx=1\n", "1 [A]\n2 A.\xef\xbb\xbfx=1\n");
}

TEST(what_is_no_such_line) {
        expect("[A]\nnonsense\n=1\n[\n[]\nx=1\n[B]\ny=2\n",
               "1 [A]\n2 ! No '=' i\n3 ! No key b\n4 ! Section \n5 ! Section \n7 [B]\n8 B.y=2\n");
        expect("x=1\n", "1 .x=1\n");
}

TEST(bytes_that_are_no_text) {
        expect_size("[A]\nx=1\0\ny=2\n", 13, "1 [A]\n2 ! NUL byte\n3 A.y=2\n");
        expect("[A]\nx=\xc0\x80\ny=\xed\xa0\x80\nz=\xc3\xa4\n",
               "1 [A]\n2 ! Line is \n3 ! Line is \n4 A.z=\xc3\xa4\n");
        /* a line of it spoils the whole that is continued, and nothing else */
        expect("[A]\nx=\xff\\\ny=2\nz=3\n", "1 [A]\n2 ! Line is \n4 A.z=3\n");
        /* what belongs to a header that cannot be read must not land in [A] */
        expect("[A]\nx=1\n[\xff]\nx=2\n", "1 [A]\n2 A.x=1\n3 ! Line is \n");
}

TEST(long_lines) {
        size_t n = 1024 * 1024;
        _cleanup_free_ char *s = malloc(n);

        ASSERT(s != NULL);
        memset(s, 'x', n);
        memcpy(s, "[A]\n", 4);
        memcpy(s + n - 5, "\ny=2\n", 5);
        expect_size(s, n, "1 [A]\n2 ! Line lon\n3 A.y=2\n");
        for (size_t i = 5; i < n - 5; i += 2)
                memcpy(s + i, "\\\n", 2);
        memcpy(s + n - 5, "\ny=2\n", 5);
        expect_size(s, n, "1 [A]\n2 ! Line lon\n524286 A.y=2\n");
}

TEST(a_callback_ends_it) {
        Events e = { .answer = -ENOMEM };
        Ini ini = { section, assignment, problem, &e };

        ASSERT_EQ(ini_parse(&ini, "[A]\n[B]\n", 8), -ENOMEM);
        ASSERT_STREQ(e.text, "1 [A]\n");
        free(e.text);
}

static void expect_words(const char *value, const char *want) {
        _cleanup_strv_ char **l = NULL;
        _cleanup_free_ char *joined = NULL;

        ASSERT_EQ(ini_split_words(value, &l), 0);
        joined = strv_join(l, "|");
        ASSERT_STREQ(joined, want);
}

TEST(word_lists) {
        _cleanup_strv_ char **l = NULL;

        expect_words(" a  b\tc ", "a|b|c");
        expect_words("\"a b\" 'c \"d' e\\ f g\"h i\"j", "a b|c \"d|e f|gh ij");
        expect_words("''", "");
        expect_words("a\\", "a\\");
        ASSERT_EQ(ini_split_words("a \"b", &l), -EINVAL);
}
