/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mark of a function that hangs: a reason in one line, and a process that can be one. */

#include "poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        _cleanup_(poison_done) Poison p = {};

        if (poison_parse(text, &p) >= 0 && (!p.why || strchr(p.why, '\n') || p.child < 0))
                abort();
        return 0;
}
