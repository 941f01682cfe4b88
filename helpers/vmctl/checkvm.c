/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Check of machines: whether each of them is well, and what to do about it. */

#include "guestlook.h"
#include "json.h"
#include "setupcheck.h"

/* The status of 'check': failed, or warnings only. */
enum { CHECK_PASS = 0, CHECK_FAIL = 1, CHECK_WARN = 2 };

static const int statuses[_FINDING_LEVEL_MAX] = {
        [FINDING_OK] = CHECK_PASS,
        [FINDING_WARN] = CHECK_WARN,
        [FINDING_FAIL] = CHECK_FAIL,
};

/* An engine that sleeps until somebody asks it is well. */
static FindingLevel verdict(const Findings *l) {
        FindingLevel worst = findings_worst(l)->level;

        return worst == FINDING_SKIP ? FINDING_OK : worst;
}

static void keep(Context *c, const char *name, const Findings *l) {
        const Finding *worst = findings_worst(l);
        _cleanup_free_ char *text = NULL;

        if (verdict(l) == FINDING_OK)
                guest_keep_verdict(c, name, FINDING_OK, "is well");
        else if (streq(worst->object, name))
                guest_keep_verdict(c, name, worst->level, worst->text);
        else if (asprintf(&text, "GPU %s %s", worst->object, worst->text) >= 0)
                guest_keep_verdict(c, name, worst->level, text);
        else
                text = NULL;
}

static int add_json(json_object *all, const GuestFacts *f, const Findings *l) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "name", f->name) < 0 ||
            json_add_text(o, "result", finding_level_to_string(verdict(l))) < 0 ||
            json_add_text(o, "state", vm_state_to_string(f->state)) < 0 ||
            json_add_text_or_null(o, "address", f->address) < 0 ||
            json_add(o, "findings", findings_to_json(l)) < 0 || json_append(all, TAKE_PTR(o)) < 0)
                return log_oom();
        return 0;
}

/* Of a guest that sets itself up. */
static int judge_setup(const char *name, const GuestFacts *f, Findings *l) {
        int r = 0;

        if (f->steps) {
                r = setupcheck_steps(name, f->steps, f->made_sec, l);
                if (r >= 0)
                        r = setupcheck_whole(name, f->steps, f->made_sec, l);
        }
        if (r >= 0 && f->steps)
                r = setupcheck_program(name, f->found, l);
        return r < 0 ? r : enginecheck(name, f->engines, l);
}

static void print(const Findings *l) {
        findings_print(l, stdout);
        if (verdict(l) != FINDING_OK)
                puts("gpuvm-troubleshooting(7) has symptoms, and what helps.");
}

/* Returns the worst level, or -errno. */
static int check_one(Context *c, const char *name, json_object *all) {
        _cleanup_(guestfacts_done) GuestFacts f = {};
        _cleanup_(findings_done) Findings l = {};
        int r;

        r = guest_look(c, name, true, &f);
        if (r < 0)
                return r;
        if (guestcheck(&f, &l) < 0 || judge_setup(name, &f, &l) < 0)
                return log_oom();
        if (f.state == VM_RUNNING)
                keep(c, name, &l);
        if (all)
                r = add_json(all, &f, &l);
        else if (!vmctl_has(c, OPT_QUIET))
                print(&l);
        return r < 0 ? r : (int) verdict(&l);
}

int cmd_check_machine(Context *c, char **args) {
        _cleanup_json_ json_object *all = vmctl_has(c, OPT_JSON) ? json_object_new_array() : NULL;
        int r, worst = FINDING_OK, error = 0;

        r = vmctl_connect(c);
        if (r < 0)
                return r;
        STRV_FOREACH(name, args) {
                r = check_one(c, *name, all);
                error = error ?: MIN(r, 0);
                worst = MAX(worst, r);
        }
        if (all && json_print(all, stdout) < 0)
                return -EIO;
        return error < 0 ? error : statuses[worst];
}
