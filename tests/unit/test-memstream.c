/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "memstream.h"
#include "tests/tap.h"

TEST(text_of_any_size) {
        _cleanup_(memstream_done) Memstream m = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = memstream_open(&m);

        ASSERT(f);
        for (unsigned i = 0; i < 10000; i++)
                fprintf(f, "%04u\n", i);
        ASSERT_EQ(memstream_close(&m, &text, &size), 0);
        ASSERT_EQ(size, 50000);
        ASSERT_STREQ(text + size - 10, "9998\n9999\n");
}

TEST(nothing_is_text_too) {
        _cleanup_(memstream_done) Memstream m = {};
        _cleanup_free_ char *text = NULL;

        ASSERT(memstream_open(&m));
        ASSERT_EQ(memstream_close(&m, &text, NULL), 0);
        ASSERT_STREQ(text, "");
}

TEST(what_is_given_up_is_freed) {
        _cleanup_(memstream_done) Memstream m = {};

        ASSERT(memstream_open(&m));
        fputs("half", m.file);
}

/* As when memory was short once, and is not any more when it is closed: a full device takes nothing either.
 */
TEST(what_was_lost_is_an_error) {
        Memstream m = { .file = fopen("/dev/full", "we") };
        char *text = NULL;

        ASSERT(m.file);
        setbuf(m.file, NULL);
        ASSERT(fputs("lost", m.file) < 0);
        ASSERT_EQ(memstream_close(&m, &text, NULL), -ENOMEM);
        ASSERT(!text && !m.file);
}
