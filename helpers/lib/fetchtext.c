/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fetchtext.h"

static int read_bytes(Fetch *f, uint64_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *bytes = malloc(max + 1);
        size_t n = 0;

        if (!bytes)
                return -ENOMEM;
        for (;;) {
                const void *data;
                ssize_t k = fetch_read(f, &data);

                if (k < 0)
                        return (int) k;
                if (k == 0)
                        break;
                memcpy(bytes + n, data, (size_t) k);
                n += (size_t) k;
        }
        bytes[n] = '\0';
        *ret = TAKE_PTR(bytes);
        *ret_size = n;
        return 0;
}

int fetchtext_bytes(const char *url, const FetchOptions *o, char **ret, size_t *ret_size,
                    char **reterr_message) {
        _cleanup_(fetch_freep) Fetch *f = NULL;
        int r;

        r = fetch_open(url, o, &f);
        if (r < 0)
                return r;
        r = read_bytes(f, o->max, ret, ret_size);
        if (r < 0)
                *reterr_message = strdup(fetch_message(f));
        return r;
}

int fetchtext(const char *url, const FetchOptions *o, char **ret, char **reterr_message) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = fetchtext_bytes(url, o, &text, &n, reterr_message);
        if (r < 0)
                return r;
        if (strlen(text) != n) {
                *reterr_message = strdup("the server sends no text");
                return -EPROTO;
        }
        *ret = TAKE_PTR(text);
        return 0;
}
