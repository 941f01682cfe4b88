/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a guest that makes an image writes on its disk: it names no more than it may, and steers no terminal.
 */

#include "buildinit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *s) {
        assert(s);
        for (; *s; s++)
                assert(*s >= ' ' && *s <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *disk = calloc(1, size + 1);
        _cleanup_(build_answer_done) BuildAnswer a = {};

        assert(disk);
        memcpy(disk, data, size);
        if (buildinit_answer(disk, size + 1, &a) < 0)
                return 0;
        check(a.step);
        check(a.reason);
        check(a.kernel);
        check(a.driver);
        assert(a.packages || !a.done);
        return 0;
}
