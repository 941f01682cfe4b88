/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Headers of disk images: one that passes names no file, and is no bigger than allowed. */

#include "qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *backing = NULL;
        const char *reason = NULL;
        Qcow2 q;

        if (qcow2_check(data, size, UINT64_C(1) << 40, &q, &reason) >= 0) {
                assert(q.size > 0 && q.size <= UINT64_C(1) << 40);
                assert(qcow2_backing(data, size, &backing) == -ENOENT);
        } else
                assert(reason);
        if (qcow2_backing(data, size, &backing) >= 0)
                assert(*backing);
        return 0;
}
