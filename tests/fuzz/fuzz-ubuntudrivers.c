/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines of ubuntu-drivers: what comes out of them becomes arguments of apt-get. */

#include "ubuntudrivers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_driver(const UbuntuDriver *d) {
        check(d->branch <= 999);
        if (!d->modules)
                return;
        check(startswith(d->modules, "linux-modules-nvidia-") != NULL);
        check(strspn(d->modules, "abcdefghijklmnopqrstuvwxyz0123456789.+-") == strlen(d->modules));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(ubuntu_drivers_done) UbuntuDrivers l = {};
        _cleanup_free_ char *text = malloc(size + 1);
        char *save = NULL;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                size_t before = l.n;
                int r = ubuntu_drivers_add_line(&l, line);

                check((r == 0 || r == 1) && l.n == before + (size_t) r);
        }
        for (size_t i = 0; i < l.n; i++)
                check_driver(&l.items[i]);
        return 0;
}
