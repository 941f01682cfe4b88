/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Libvirt: its test driver, with a machine "test" that runs. Each connection has a host of its own. */

#include "tests/tap.h"
#include "virt.h"

/* Its libraries bring thread-local storage with them, and LeakSanitizer looks for some of it where there is
 * none: sometimes, as the memory happens to lie. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void) {
        return "intercept_tls_get_addr=0";
}

static inline Virt *connect_to_test(void) {
        Virt *v = NULL;
        int r;

        r = virt_open("test:///default", &v, NULL);
        if (r == -ENOPKG)
                SKIP("libvirt's library is not installed");
        ASSERT_EQ(r, 0);
        return v;
}
