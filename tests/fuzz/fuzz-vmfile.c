/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a declared machine: what comes out is told in lines of text, is bounded, and nothing of it
 * gets into units but names of units and GPUs. */

#include "catalog.h"
#include "planvm.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void on_problem(const char *file, unsigned line, const char *text, void *userdata) {
        check(streq(file, "/a.vm") && *text && strlen(text) < 512);
        ++*(unsigned *) userdata;
}

static void check_entry(const PlanEntry *e) {
        const char *slash = strchr(e->path, '/');

        check(slash && slash > e->path && !strchr(slash + 1, '/') && slash[1] != '.');
        check(*e->path != '.' && !!e->text != !!e->target);
        for (const char *c = e->path; *c; c++)
                check(*c > ' ' && *c < 0x7f && *c != '%');
        for (const char *c = strempty(e->text); *c; c++)
                check(*c == '\n' || (*c >= ' ' && *c < 0x7f && *c != '%' && *c != '\\'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        VmFile f = { .name = strdup("a") };
        const Catalog c = { &f, 1 };
        _cleanup_(plan_done) Plan p = {};
        const PciBus none = {};
        unsigned told = 0;

        check(f.name);
        check(vmfile_parse(&f, "/a.vm", (const char *) data, size, on_problem, &told) == 0);
        check(vmfile_check(&f, on_problem, &told) == 0);
        check(told == f.n_problems);
        check(planvm_add(&p, &c, &none, NULL, NULL) == 0);
        check(f.n_problems == 0 || p.n == 0);
        for (size_t i = 0; i < p.n; i++)
                check_entry(&p.entries[i]);
        vmfile_done(&f);
        return 0;
}
