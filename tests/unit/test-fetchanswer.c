/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fetchanswer: what servers say before a file. Real ones: helper/image.sh. */

#include "fetchanswer.h"
#include "tests/tap.h"

enum { MAX = 1000 };

static const char *reason;

/* Headers up to the empty line, each line by itself. */
static int hear(FetchAnswer *a, const char *headers, uint64_t at) {
        int r = 0;

        reason = NULL;
        fetchanswer_begin(a);
        for (const char *end; r >= 0 && *headers; headers = end + 1) {
                end = strchr(headers, '\n');
                r = fetchanswer_line(a, headers, (size_t) (end - headers) + 1, at, MAX, &reason);
        }
        ASSERT((r < 0) == (reason != NULL));
        return r;
}

TEST(a_file) {
        FetchAnswer a;

        fetchanswer_init(&a);
        ASSERT_EQ(hear(&a,
                       "HTTP/1.1 200 OK\r\ncontent-length:  42\r\nETag: \"x\"\r\nLast-Modified: then\r\n\r\n",
                       0),
                  0);
        ASSERT(a.whole && a.strong);
        ASSERT_EQ(a.length, 42);
        ASSERT_STREQ(a.validator, "\"x\"");
        /* The same file, from byte 10 on; what another answer calls it is nothing to us. */
        ASSERT_EQ(hear(&a, "HTTP/2 206\nContent-Range: bytes 10-41/42\nETag: \"y\"\n\n", 10), 0);
        ASSERT(a.whole);
        ASSERT_STREQ(a.validator, "\"x\"");
        ASSERT_EQ(hear(&a, "HTTP/2 206\nContent-Range: bytes 10-41/*\nContent-Length: 32\n\n", 10), 0);
        ASSERT_EQ(a.length, 42);
        fetchanswer_done(&a);
}

TEST(hops_on_the_way) {
        FetchAnswer a;

        fetchanswer_init(&a);
        ASSERT_EQ(hear(&a,
                       "HTTP/1.1 100 Continue\n\nHTTP/1.1 302 Found\nContent-Length: 5000\nETag: \"x\"\n\n"
                       "HTTP/1.1 200 OK\nETag: W/\"weak\"\nLast-Modified: then\n\n",
                       0),
                  0);
        ASSERT(a.whole && !a.strong && a.length == UINT64_MAX);
        ASSERT_STREQ(a.validator, "then");
        fetchanswer_done(&a);
}

TEST(answers_that_do_not_go_together) {
        static const struct {
                const char *headers, *reason;
                uint64_t at;
                int error;
        } cases[] = {
                { "HTTP/1.1 200 OK\n\n", "does not go on", 10, -ESTALE },
                { "HTTP/1.1 206 Part\nContent-Range: bytes 11-41/42\n\n", "another place", 10, -EPROTO },
                { "HTTP/1.1 206 Part\n\n", "another place", 10, -EPROTO },
                { "HTTP/1.1 206 Part\nContent-Range: bytes 10-41/43\n\n", "no sense", 10, -EPROTO },
                { "HTTP/1.1 206 Part\nContent-Range: bytes 10-41/41\n\n", "no sense", 10, -EPROTO },
                { "HTTP/1.1 206 Part\nContent-Range: bytes 41-10/42\n\n", "no sense", 10, -EPROTO },
                { "HTTP/1.1 206 Part\nContent-Range: 10-41/42\n\n", "no sense", 10, -EPROTO },
                { "HTTP/1.1 206 Part\nContent-Range: bytes 0-41/42\n\n", "nobody asked", 0, -EPROTO },
                { "HTTP/1.1 200 OK\nContent-Length: 1001\n\n", "announces more", 0, -EFBIG },
                { "HTTP/1.1 200 OK\nContent-Length: many\n\n", "no sense", 0, -EPROTO },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FetchAnswer a;

                fetchanswer_init(&a);
                if (cases[i].at > 0)
                        a.length = 42;
                ASSERT_EQ(hear(&a, cases[i].headers, cases[i].at), cases[i].error);
                ASSERT(strstr(reason, cases[i].reason));
                ASSERT(!a.whole);
                fetchanswer_done(&a);
        }
}

TEST(headers_have_an_end) {
        char line[1024];
        FetchAnswer a;
        size_t n = 0;

        memset(line, 'x', sizeof(line));
        fetchanswer_init(&a);
        fetchanswer_begin(&a);
        while (fetchanswer_line(&a, line, sizeof(line), 0, MAX, &reason) == 0)
                n++;
        ASSERT_EQ(n, FETCHANSWER_HEADERS_MAX / sizeof(line));
        ASSERT(strstr(reason, "too many headers"));
        fetchanswer_done(&a);
}

static const char *error_of(int status, const char *body, int want) {
        static char text[1024];
        char *said = NULL, headers[64];
        FetchAnswer a;

        (void) snprintf(headers, sizeof(headers), "HTTP/1.1 %d X\n\n", status);
        fetchanswer_init(&a);
        ASSERT_EQ(hear(&a, headers, 0), 0);
        ASSERT(!a.whole);
        fetchanswer_excerpt(&a, body, strlen(body));
        ASSERT_EQ(fetchanswer_error(&a, &said), want);
        (void) snprintf(text, sizeof(text), "%s", said);
        free(said);
        fetchanswer_done(&a);
        return text;
}

TEST(errors_in_words) {
        char much[2 * FETCHANSWER_EXCERPT_MAX] = "";

        ASSERT_STREQ(error_of(404, "no such schematic\nat all", -ENOENT),
                     "the server answers 404: no such schematic");
        ASSERT_STREQ(error_of(410, "", -ENOENT), "the server answers 410");
        ASSERT_STREQ(error_of(503, "<html>", -EREMOTEIO), "the server answers 503");
        memset(much, 'x', sizeof(much) - 1);
        ASSERT_EQ(strlen(error_of(500, much, -EREMOTEIO)),
                  strlen("the server answers 500: ") + FETCHANSWER_EXCERPT_MAX);
}
