/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A record of the undo ledger: what is accepted is exactly what would be written for it. */

#include "ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(ledger_record_done) LedgerRecord r = {};
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (ledger_parse((const char *) data, size, &r) < 0)
                return 0;
        if (ledger_format(&r, &text, &n) < 0 || n != size || memcmp(text, data, n) != 0)
                abort();
        return 0;
}
