/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A record of evidence: whatever JSON it is, it goes there and back, and its answers can be judged. */

#include "evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1), *again = NULL;
        _cleanup_(evidence_done) Evidence e = {}, f = {};
        _cleanup_(findings_done) Findings l = {};
        _cleanup_(conf_done) Conf c = {};

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        if (evidence_parse(text, &e) < 0)
                return 0;
        if (conf_init(&c) < 0 || virtcheck_judge(&e.virt, &c, e.root > 0, true, &l) < 0 ||
            virtroute_judge(&e.routes, "routes", &l) < 0)
                abort();
        for (size_t i = 0; i < e.n_gpus; i++)
                if (!evidence_gpu(&e, e.gpus[i].address))
                        abort();
        if (evidence_format(&e, &again) < 0 || evidence_parse(again, &f) < 0 || f.n_disks != e.n_disks ||
            f.n_gpus != e.n_gpus || f.virt.error != e.virt.error || f.routes.n != e.routes.n)
                abort();
        return 0;
}
