/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A bundle from anybody: whatever it is, what is taken from it has names that stay where they are put, is
 * within the limits, and reads the same once it was written again. */

#include "tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(tar_done) Tar t = {}, again = {};
        _cleanup_free_ void *packed = NULL;
        size_t n, total = 0;

        if (tar_read(data, size, &t) < 0)
                return 0;
        for (size_t i = 0; i < t.n; i++) {
                const TarEntry *e = &t.items[i];

                if (!tar_path_is_valid(e->path) || e->size > TAR_FILE_MAX || e->data[e->size] != '\0')
                        abort();
                total += e->size;
        }
        if (t.n > TAR_ENTRIES_MAX || total > TAR_TOTAL_MAX)
                abort();
        /* Names in no known encoding cannot be written; ours are ASCII. */
        if (tar_write(&t, &packed, &n) < 0)
                return 0;
        if (tar_read(packed, n, &again) < 0 || again.n != t.n)
                abort();
        return 0;
}
