/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The settings of a guest, and behind an empty line what its own check says. */

#include "enginecheck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        char *end = text ? strstr(text, "\n\n") : NULL;

        if (!text)
                abort();
        if (end)
                *end = '\0';
        for (EngineName e = 0; e < _ENGINE_NAME_MAX; e++) {
                _cleanup_free_ char *url = NULL;
                int r = enginecheck_url(e, text, end ? end + 2 : "", "192.0.2.7", &url);

                /* Nobody but that machine is asked, whatever the guest says. */
                if (r < 0 || (r > 0) != (url != NULL) ||
                    (url && strncmp(url, "http://192.0.2.7:", strlen("http://192.0.2.7:")) != 0))
                        abort();
        }
        return 0;
}
