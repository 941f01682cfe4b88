/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Packed images, in pieces of odd sizes: it ends, in an error or after the last byte. The first byte says how
 * they are packed. */

#include "unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Input {
        const uint8_t *data;
        size_t n;
} Input;

static ssize_t feed(void *userdata, const void **ret) {
        Input *in = userdata;
        size_t k = MIN((size_t) 37, in->n);

        *ret = in->data;
        in->data += k;
        in->n -= k;
        return (ssize_t) k;
}

enum { OUTPUT_MAX = 4 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(unpack_freep) Unpack *u = NULL;
        static uint8_t buffer[65536];
        ssize_t n = 1, total = 0;
        Input in;

        if (size == 0)
                return 0;
        in = (Input){ data + 1, size - 1 };
        if (unpack_open(data[0] % 4, 16 << 20, feed, &in, &u) < 0)
                return 0;
        while (n > 0 && total < OUTPUT_MAX) {
                n = unpack_read(u, buffer, sizeof(buffer));
                assert(n <= (ssize_t) sizeof(buffer));
                total += MAX(n, (ssize_t) 0);
        }
        if (n == 0)
                assert(in.n == 0 && unpack_read(u, buffer, sizeof(buffer)) == 0);
        return 0;
}
