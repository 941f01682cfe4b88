/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Undo: takes back what the steps of the bootstrap changed, or shows what that is. */

#include "json.h"
#include "ledger.h"
#include "phase.h"
#include "restore.h"
#include "takeback.h"

enum { ARG_LIST = 0x200, ARG_ALL, ARG_FORCE };

static bool arg_list, arg_all, arg_force;

static const char *describe(const LedgerRecord *r) {
        if (streq(r->kind, "file"))
                return streq(r->was, "absent") ? "remove it, it was not there" : "put it back as it was";
        if (streq(r->kind, "dir"))
                return "remove it if it is empty";
        if (streq(r->kind, "package"))
                return "remove the package";
        if (streq(r->kind, "refresh") && streq(r->object, "network"))
                return "tell its owner";
        if (streq(r->kind, "refresh"))
                return streq(r->object, "docker")            ? "have it read its configuration again"
                                : streq(r->object, "guests") ? "let them reach the host's ports again"
                                : streq(r->object, "trial") || streq(r->object, "kernel")
                                ? "take away what is left of it"
                                : "make it anew";
        return r->was;
}

static int list(Takeback *t) {
        _cleanup_json_ json_object *all = json_object_new_array();
        bool json = t->p->json;

        if (!all)
                return log_oom();
        for (size_t i = 0; i < t->ledger.n; i++) {
                const LedgerRecord *r = &t->ledger.records[i];
                json_object *o;

                if (streq(r->kind, "wrote") || !restore_selects(t->steps, r))
                        continue;
                if (!json) {
                        printf("%-10s %-9s %s: %s\n", r->step, r->kind, r->object, describe(r));
                        continue;
                }
                o = json_object_new_object();
                (void) json_object_object_add(o, "record", json_object_new_string(r->name));
                (void) json_object_object_add(o, "step", json_object_new_string(r->step));
                (void) json_object_object_add(o, "kind", json_object_new_string(r->kind));
                (void) json_object_object_add(o, "object", json_object_new_string(r->object));
                (void) json_object_object_add(o, "was", json_object_new_string(r->was));
                (void) json_object_array_add(all, o);
        }
        if (json)
                puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
        else if (t->ledger.n > 0)
                puts("Upgraded packages and kernels stay as they are, and so do the files of VMs.");
        else
                puts("Nothing is recorded.");
        t->p->quiet_record = true;
        return 0;
}

static int choose_steps(Takeback *t, int argc, char *argv[]) {
        for (int i = 0; i < argc; i++) {
                bool known = false;

                for (size_t n = 0; n < t->ledger.n; n++)
                        known |= streq(t->ledger.records[n].step, argv[i]);
                if (!known)
                        phase_note(t->p, "Nothing is recorded for step '%s'", argv[i]);
                if (strv_extend(&t->steps, argv[i]) < 0)
                        return log_oom();
        }
        return 0;
}

static int parse(int value, const char *argument) {
        arg_list |= value == ARG_LIST;
        arg_all |= value == ARG_ALL;
        arg_force |= value == ARG_FORCE;
        return 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(takeback_done) Takeback t = { .p = p };
        int r;

        if (arg_all != (argc == 0) && !arg_list) {
                log_error(arg_all ? "Either steps or --all"
                                  : "Which step? 'gpuvm-undo --list' shows them; --all takes back everything");
                return PHASE_USAGE;
        }
        r = arg_list || p->dry_run ? 0 : takeback_take_turn(p);
        if (r < 0)
                return r;
        r = ledger_load(p->root, &t.ledger);
        if (r < 0)
                return phase_fail(p, r, r == -EACCES ? "Only root may read it" : "Look at it",
                                  "Cannot read " LEDGER_DIR);
        r = choose_steps(&t, argc, argv);
        if (r != 0)
                return r;
        STRV_FOREACH(name, t.ledger.damaged)
                log_warning("%s/%s is no whole record, ignoring it: look at it yourself", LEDGER_DIR, *name);
        if (arg_list)
                return list(&t);

        t.force = arg_force;
        return takeback_run(&t);
}

static const struct option options[] = {
        { "list", no_argument, NULL, ARG_LIST },
        { "all", no_argument, NULL, ARG_ALL },
        { "force", no_argument, NULL, ARG_FORCE },
        {},
};

static const Helper helper = {
        .name = "gpuvm-undo",
        .arguments = "STEP...",
        .summary = "Take back what steps of the bootstrap changed on this machine.",
        .options_help = "     --list       Show what is recorded, and what undo would do\n"
                        "     --all        Take back all steps\n"
                        "     --force      Take back files that were changed since, too\n",
        .options = options,
        .parse = parse,
        .run = run,
        .no_record = true,
        .no_turn = true,
};

DEFINE_HELPER(helper)
