/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nvidiacheck.h"
#include "nvidiahost.h"

typedef struct Look {
        DpkgStatus packages;
        AptSources sources;
        NvidiaFacts facts;
        NvidiaPlan plan;
} Look;

static void look_done(Look *l) {
        dpkg_done(&l->packages);
        aptsources_done(&l->sources);
        nvidia_facts_done(&l->facts);
        nvidia_plan_done(&l->plan);
}

/* A machine without a list of packages or a known release has a finding for that elsewhere. */
static int look(int root, const Conf *c, Look *l) {
        int r;

        r = dpkg_read(root, &l->packages);
        if (r >= 0)
                r = aptsources_load(root, NULL, &l->sources);
        if (r >= 0)
                r = nvidia_facts_read(root, c, &l->packages, &l->sources, &l->facts);
        return r < 0 ? r : nvidia_decide(&l->facts.host, c, &l->plan);
}

static int tell_plan(const Look *l, Findings *ret) {
        const NvidiaPlan *p = &l->plan;
        char branch[sizeof("NVIDIA's 4294967295")] = "NVIDIA's newest";

        if (p->branch > 0)
                (void) snprintf(branch, sizeof(branch), "NVIDIA's %u", p->branch);
        return findings_add(ret, FINDING_OK, "driver", NULL, NULL, "%s, with %s kernel modules%s, %s", branch,
                            p->open ? "open" : "proprietary", p->built_here ? " built here" : "",
                            !p->packages                                        ? "is here"
                                            : p->source == NVIDIA_SOURCE_NVIDIA ? "from NVIDIA's repository"
                                                                                : "from the distribution");
}

/* Which drivers Ubuntu has, and whether their modules are signed, takes a program to ask. */
static int tell_question(const Look *l, Findings *ret) {
        const NvidiaHost *h = &l->facts.host;

        if (h->secure_boot && !h->key_enrolled)
                return findings_add(
                                ret, FINDING_WARN, "driver", NULL,
                                "Run a kernel of Ubuntu's that it has modules for (linux-generic), or enrol a key "
                                "('mokutil --import'), or turn Secure Boot off.",
                                "Secure Boot is on: only modules that Ubuntu built and signed will do, and the nvidia "
                                "phase refuses any other");
        return findings_add(ret, FINDING_OK, "driver", NULL, NULL,
                            "what Ubuntu offers for these GPUs; the nvidia phase asks");
}

int nvidiacheck_add(int root, const Conf *c, Findings *ret) {
        _cleanup_(look_done) Look l = {};
        int r;

        if (!c->nvidia)
                return findings_add(ret, FINDING_OK, "driver", NULL, NULL,
                                    "none is asked for, as Nvidia=no says");
        r = look(root, c, &l);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(n, l.plan.notes)
                if (r >= 0)
                        r = findings_add(ret, FINDING_WARN, "driver", NULL, NULL, "%s", *n);
        if (r < 0)
                return r;
        switch (l.plan.verdict) {
        case NVIDIA_NOTHING:
                return findings_add(ret, FINDING_OK, "driver", NULL, NULL, "none: %s", l.plan.reason);
        case NVIDIA_ASK:
                return tell_question(&l, ret);
        case NVIDIA_INSTALL:
                return tell_plan(&l, ret);
        case NVIDIA_REFUSED:
                return findings_add(ret, FINDING_FAIL, "driver", NULL, l.plan.remedy, "%s", l.plan.reason);
        }
        return 0;
}

int nvidiacheck_wants_driver(int root, const Conf *c) {
        _cleanup_(look_done) Look l = {};
        int r;

        r = look(root, c, &l);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return l.plan.verdict != NVIDIA_NOTHING;
}
