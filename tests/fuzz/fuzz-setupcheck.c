/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a guest says of its setup. */

#include "setupcheck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        _cleanup_(findings_done) Findings l = {};

        if (setupcheck_steps("x", text, 1, &l) < 0 || setupcheck_whole("x", text, 1, &l) < 0 ||
            setupcheck_program("x", text, &l) < 0 || setupcheck_engines("x", text, &l) < 0)
                abort();
        return 0;
}
