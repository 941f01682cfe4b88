/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Headers of servers: an answer and, behind a NUL, the one when its connection is taken up. */

#include "fetchanswer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 1 << 20 };

static void check(bool holds) {
        if (!holds)
                abort();
}

static const char *hear(FetchAnswer *a, const char *p, const char *end, uint64_t at) {
        int r = 0;

        fetchanswer_begin(a);
        while (p < end && *p && r == 0) {
                const char *reason = NULL, *line = memchr(p, '\n', (size_t) (end - p));
                size_t n = line ? (size_t) (line - p) + 1 : (size_t) (end - p);

                r = fetchanswer_line(a, p, n, at, MAX, &reason);
                check((r < 0) == (reason != NULL));
                check(!a->whole || a->length == UINT64_MAX || a->length <= MAX || a->status == 206);
                p += n;
        }
        check(r == 0 || r == -EPROTO || r == -EFBIG || r == -ESTALE);
        return p < end ? p + 1 : p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *p = (const char *) data, *end = p + size;
        _cleanup_free_ char *text = NULL;
        FetchAnswer a;
        int r;

        fetchanswer_init(&a);
        p = hear(&a, p, end, 0);
        (void) hear(&a, p, end, 10);
        fetchanswer_excerpt(&a, data, size);
        r = fetchanswer_error(&a, &text);
        check((r == -ENOENT || r == -EREMOTEIO) && text && !strchr(text, '\n'));
        fetchanswer_done(&a);
        return 0;
}
