/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Check --smoke: a machine is started, and its guest heard. What has failed before tells why it would not. */

#include "check.h"
#include "fs.h"
#include "smoke.h"

static const char *find_cause(const Findings *f) {
        static const char *const needs[] = { "system", "packages", "libvirt", "storage" };

        for (size_t k = 0; k < ELEMENTSOF(needs); k++)
                for (size_t i = 0; i < f->n; i++)
                        if (streq(f->items[i].check, needs[k]) &&
                            (f->items[i].level == FINDING_FAIL || f->items[i].because))
                                return needs[k];
        return NULL;
}

static int add(Checkup *u, const Smoke *s) {
        if (s->booted)
                return findings_add(&u->findings, FINDING_OK, "smoke", NULL, NULL,
                                    "A machine starts here, %s, and its guest spoke %s",
                                    s->kvm ? "with KVM" : "emulated", s->text);
        u->vm_capable = false;
        return findings_add(&u->findings, FINDING_FAIL, "smoke", NULL,
                            "'journalctl -u libvirtd' and /var/log/libvirt/qemu/" SMOKE_NAME
                            ".log may tell more",
                            "No machine starts here, %s: %s", s->kvm ? "with KVM" : "emulated", s->text);
}

static int run(CheckHost *h) {
        _cleanup_(smoke_done) Smoke s = {};
        int r;

        r = smoke_run(h->root, h->conf.pool_path, &s);
        if (r == -EOPNOTSUPP)
                return findings_add(&h->checkup.findings, FINDING_SKIP, "smoke", NULL, NULL,
                                    "There is no guest for this processor that is small enough");
        if (r == -ETIMEDOUT) {
                s.kvm = false;
                r = free_and_strdup(&s.text, "libvirt did not come back from it");
        }
        return r < 0 ? r : add(&h->checkup, &s);
}

int check_smoke(CheckHost *h) {
        const char *cause = find_cause(&h->checkup.findings);
        int r;

        if (cause) {
                r = findings_add(&h->checkup.findings, FINDING_SKIP, "smoke", NULL, NULL, "Follows from '%s'",
                                 cause);
                if (r >= 0)
                        h->checkup.findings.items[h->checkup.findings.n - 1].because = cause;
        } else {
                r = run(h);
        }
        return r < 0 ? log_error_errno(r, "Cannot start a machine to see whether one starts: %m") : 0;
}
