/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "memstream.h"

FILE *memstream_open(Memstream *m) {
        m->file = open_memstream(&m->text, &m->size);
        return m->file;
}

int memstream_close(Memstream *m, char **ret, size_t *ret_size) {
        bool failed = ferror(m->file) != 0;

        if (fclose(TAKE_PTR(m->file)) != 0 || failed)
                return -ENOMEM;
        *ret = TAKE_PTR(m->text);
        if (ret_size)
                *ret_size = m->size;
        return 0;
}

void memstream_done(Memstream *m) {
        if (m->file)
                (void) fclose(m->file);
        free(m->text);
        *m = (Memstream){};
}
