/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <sys/stat.h>

#include "fs.h"
#include "guestlog.h"
#include "strv.h"
#include "tests/tap.h"

static void collect(const char *line, void *userdata) {
        assert(strv_extend((char ***) userdata, line) >= 0);
}

/* What comes of a text, with '|' between lines. */
static char *lines_of(const char *text) {
        _cleanup_strv_ char **l = NULL;
        GuestLines g = {};

        guestlines_feed(&g, text, strlen(text), 1, collect, &l);
        guestlines_flush(&g, 1, collect, &l);
        return l ? strv_join(l, "|") : strdup("");
}

TEST(lines_without_what_a_terminal_would_obey) {
        static const char *const cases[][2] = {
                { "", "" },
                { "one\ntwo\r\n\n \nthree", "one|two|three" },
                { "\x1b[2J\x1b[01;31mred\x1b[0m and \tblack  \n", "red and \tblack" },
                { "\x1b]0;a title\x07text\n\x1b]0;one\x1b\\more\n", "text|more" },
                { "\x1b(Bplain\x1b"
                  "7 \x1b=too\n",
                  "plain too" },
                { "10%\r50%\r100%\n", "100%" },
                { "cut \x1b[3\nnext\n", "cut|next" },
                { "twice \x1b[\x1b[31mred\n", "twice red" },
                { "bell\a and back\b\x7f\n", "bell and back" },
                { "gr\xc3\xbc\xc3\x9f\n", "gr\xc3\xbc\xc3\x9f" },
                { "bad \xff\xfe\n", "bad ??" },
                { "C1 \xc2\x9b"
                  "31m\n",
                  "C1 ??31m" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *got = lines_of(cases[i][0]);

                ASSERT_STREQ(got, cases[i][1]);
        }
}

TEST(a_line_has_an_end) {
        _cleanup_strv_ char **l = NULL;
        GuestLines g = {};

        for (size_t i = 0; i < 2 * GUESTLINE_MAX + 3; i++)
                guestlines_feed(&g, "x", 1, 1, collect, &l);
        guestlines_feed(&g, "\n", 1, 1, collect, &l);
        ASSERT_EQ(strv_length(l), 3);
        ASSERT_EQ(strlen(l[0]), GUESTLINE_MAX);
        ASSERT_EQ(strlen(l[2]), 3);
}

TEST(too_many_are_counted_only) {
        _cleanup_strv_ char **l = NULL;
        GuestLines g = {};

        for (size_t i = 0; i < GUESTLINE_BURST + 500; i++)
                guestlines_feed(&g, "x\n", 2, 1, collect, &l);
        ASSERT_EQ(strv_length(l), GUESTLINE_BURST);
        /* A second later there is room for a second's lines. */
        for (size_t i = 0; i < GUESTLINE_RATE + 50; i++)
                guestlines_feed(&g, "y\n", 2, 1 + USEC_PER_SEC, collect, &l);
        ASSERT_EQ(strv_length(l), GUESTLINE_BURST + 1 + GUESTLINE_RATE);
        ASSERT_STREQ(l[GUESTLINE_BURST], "(500 lines left out)");
        ASSERT_STREQ(l[GUESTLINE_BURST + 1], "y");
}

static void append(const char *path, const char *text) {
        _cleanup_fclose_ FILE *f = fopen(path, "ae");

        assert(f && fputs(text, f) >= 0);
}

/* Valid until the next call. */
static const char *read_new(GuestLog *log) {
        _cleanup_strv_ char **l = NULL;
        static char text[256];

        ASSERT_EQ(guestlog_read(log, collect, &l), 0);
        text[0] = '\0';
        STRV_FOREACH(line, l) {
                size_t n = strlen(text);

                (void) snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? "|" : "", *line);
        }
        return text;
}

TEST(a_file_as_virtlogd_writes_it) {
        char dir[] = "/tmp/test-guestlog-XXXXXX", path[64], old[64];
        _cleanup_(guestlog_freep) GuestLog *log = NULL;
        int root;

        ASSERT(mkdtemp(dir));
        (void) snprintf(path, sizeof(path), "%s/vm.console", dir);
        (void) snprintf(old, sizeof(old), "%s/vm.console.0", dir);
        root = fs_open_root(dir);
        ASSERT(root >= 0);
        append(path, "before\n");
        ASSERT_EQ(guestlog_open(root, "/vm.console", &log), 0);
        ASSERT_STREQ(read_new(log), "");
        append(path, "one\ntw");
        ASSERT_STREQ(read_new(log), "one");
        append(path, "o\n");
        ASSERT_STREQ(read_new(log), "two");
        append(path, "last of the old\n");
        ASSERT_EQ(rename(path, old), 0);
        append(path, "first of the new\n");
        ASSERT_STREQ(read_new(log), "last of the old|first of the new");
        ASSERT_EQ(truncate(path, 0), 0);
        append(path, "cut\n");
        ASSERT_STREQ(read_new(log), "cut");
        ASSERT_EQ(unlink(path), 0);
        ASSERT_STREQ(read_new(log), "");
        append(path, "again\n");
        ASSERT_STREQ(read_new(log), "again");
        (void) unlink(path);
        (void) unlink(old);
        (void) rmdir(dir);
        (void) safe_close(root);
}

static bool is_news(const GuestLog *log) {
        struct pollfd p = { .fd = guestlog_fd(log), .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

/* One directory has the consoles of all machines. */
TEST(what_others_write_is_no_news) {
        char dir[] = "/tmp/test-guestlog-XXXXXX", path[64], other[64];
        _cleanup_(guestlog_freep) GuestLog *log = NULL;
        int root;

        ASSERT(mkdtemp(dir));
        (void) snprintf(path, sizeof(path), "%s/vm.console", dir);
        (void) snprintf(other, sizeof(other), "%s/other.console", dir);
        root = fs_open_root(dir);
        ASSERT(root >= 0);
        append(other, "before\n");
        ASSERT_EQ(guestlog_open(root, "/vm.console", &log), 0);
        append(other, "other\n");
        ASSERT(!is_news(log));
        append(path, "one\n");
        ASSERT(is_news(log));
        ASSERT_STREQ(read_new(log), "one");
        append(other, "other\n");
        ASSERT(!is_news(log));
        append(path, "two\n");
        ASSERT(is_news(log));
        ASSERT_STREQ(read_new(log), "two");
        (void) unlink(path);
        (void) unlink(other);
        (void) rmdir(dir);
        (void) safe_close(root);
}

TEST(a_guest_that_never_pauses_is_not_read_to_its_end) {
        char dir[] = "/tmp/test-guestlog-XXXXXX", path[64];
        _cleanup_(guestlog_freep) GuestLog *log = NULL;
        _cleanup_strv_ char **l = NULL;
        int root;

        ASSERT(mkdtemp(dir));
        (void) snprintf(path, sizeof(path), "%s/vm.console", dir);
        root = fs_open_root(dir);
        ASSERT_EQ(guestlog_open(root, "/vm.console", &log), 0);
        append(path, "");
        ASSERT_EQ(truncate(path, 1 << 30), 0);
        append(path, "\nlast\n");
        for (int i = 0; guestlog_read(log, collect, &l) == 1; i++)
                ASSERT(i < 8);
        ASSERT_STREQ(l[strv_length(l) - 1], "last");
        ASSERT_EQ(guestlog_open(root, "/none/vm.console", &log), -ENOENT);
        (void) unlink(path);
        (void) rmdir(dir);
        (void) safe_close(root);
}
