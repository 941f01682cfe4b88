/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A record of what was made: a file that would be removed has an absolute path, and nothing is empty. */

#include "rollback.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(rollback_done) Rollback b = {};

        if (rollback_parse((const char *) data, size, &b) < 0) {
                assert(b.n == 0);
                return 0;
        }
        for (size_t i = 0; i < b.n; i++) {
                assert(*b.steps[i].object && !strchr(b.steps[i].object, '\n'));
                assert(b.steps[i].kind != ROLLBACK_FILE || b.steps[i].object[0] == '/');
        }
        return 0;
}
