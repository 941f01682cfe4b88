/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a declared machine: what comes out is told in lines of text, is bounded, and nothing of it
 * gets into units but names of units and GPUs. */

#include "catalog.h"
#include "planvm.h"
#include "strv.h"
#include "vmkind.h"
#include "vmtold.h"

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

/* What is kept of it comes back as it was. */
static void check_told(const VmFile *f) {
        _cleanup_(vmfile_done) VmFile again = {};
        _cleanup_strv_ char **told = NULL;

        check(vmtold_write(f, &told) == 0 && vmtold_read(told, &again) == 0);
        for (VmKey k = 0; k < _VMKEY_MAX; k++)
                STRV_FOREACH(value, again.values[k])
                        check(vmtold_has(k) && f->values[k] &&
                              (vmkey_rows[k].type == VMKEY_FLAG || strv_contains(f->values[k], *value)));
}

/* A sentence, or nothing. */
static void check_kind(const VmFile *f) {
        _cleanup_free_ char *said = NULL;
        int r = vmkind_check(f, &said);

        check(r == 0 ? !said : r == -EINVAL && said);
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
        check_told(&f);
        check_kind(&f);
        check(planvm_add(&p, &c, &none, NULL, NULL) == 0);
        check(f.n_problems == 0 || p.n == 0);
        for (size_t i = 0; i < p.n; i++)
                check_entry(&p.entries[i]);
        vmfile_done(&f);
        return 0;
}
