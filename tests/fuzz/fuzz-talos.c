/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The image factory's answers: whatever comes back, a version is one, an id is 64 hex digits. */

#include "talos.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *id = NULL;
        char *const names[] = { (char *) "siderolabs/qemu-guest-agent", NULL };
        const char *missing = NULL;
        char buf[TALOS_VERSION_MAX];
        TalosVersion v, again;

        assert(text);
        if (talos_version_latest(text, NULL, &v) >= 0) {
                assert(!v.pre);
                assert(talos_version_parse(talos_version_format(v, buf), &again) >= 0);
                assert(talos_version_compare(v, again) == 0);
        }
        if (talos_version_parse(text, &v) >= 0)
                assert(talos_version_compare(v, v) == 0);
        if (talos_schematic_id(text, &id) >= 0)
                assert(strlen(id) == 64);
        if (talos_extensions_check(text, names, &missing) == -ENOENT)
                assert(missing == names[0]);
        return 0;
}
