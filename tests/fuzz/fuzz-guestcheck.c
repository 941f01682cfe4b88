/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a guest's files and programs say, and what is said of it then. */

#include "guestcheck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s) {
        for (; s && *s; s++)
                if (*s < ' ' || *s > '~')
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *said = NULL;
        GuestGpu gpu = { "0000:01:00.0", 0x10de, 0x2684, true };
        _cleanup_(findings_done) Findings l = {};
        GuestFacts f = { .state = VM_RUNNING, .agent = true, .smi = true };

        f.name = strdup("x");
        f.smi_text = strdup(text);
        f.gpus = malloc(sizeof(gpu));
        *f.gpus = gpu;
        f.n_gpus = 1;
        if (guestcheck_parse_pci(text, &f.pci, &f.n_pci) < 0 || !f.pci)
                abort();
        if (guestcheck_parse_init(text, &f.init, &f.init_text) < 0 && f.init_text)
                abort();
        check_text(f.init_text);
        if (guestcheck(&f, &l) < 0 || guestcheck_describe(&f, guestcheck_unready(&l), &said) < 0 || l.n < 4)
                abort();
        guestfacts_done(&f);
        return 0;
}
