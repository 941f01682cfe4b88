/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Diff: machines beside the files that declare them; and a machine as such a file. */

#include "declared.h"
#include "fs.h"
#include "json.h"
#include "vmunit.h"

json_object *declared_to_json(const VmDifference *i) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "section", vmkey_rows[i->key].section) < 0 ||
            json_add_text(o, "key", vmkey_rows[i->key].name) < 0 || json_add_text(o, "is", i->is) < 0 ||
            json_add_text(o, "declared", i->wanted) < 0 ||
            json_add_text(o, "takes", vmchange_to_string(i->how)) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int show_json(const Declared *d) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < d->n; i++) {
                const Compared *m = &d->all[i];
                json_object *o = json_object_new_object(), *l = json_object_new_array();
                int r = 0;

                for (size_t k = 0; k < m->differences.n && r >= 0; k++)
                        r = json_append(l, declared_to_json(&m->differences.items[k]));
                if (json_add(o, "differences", l) < 0 || json_add_text(o, "name", m->file->name) < 0 ||
                    json_add(o, "made", json_object_new_boolean(m->made)) < 0 || r < 0) {
                        (void) json_object_put(o);
                        return log_oom();
                }
                if (json_append(all, o) < 0)
                        return log_oom();
        }
        return all ? json_print(all, stdout) : log_oom();
}

static const char *takes_text(VmChange how) {
        static const char *const texts[] = {
                [VMCHANGE_NOW] = "can be done now",
                [VMCHANGE_RESTART] = "at its next start",
                [VMCHANGE_ANEW] = "to be made again",
        };

        return texts[how];
}

static int show_table(const Declared *d) {
        static const char *const columns[] = { "NAME", "KEY", "IS", "DECLARED", "TAKES", NULL };
        struct libscols_table *t = table_new(columns);
        int r = 0;

        for (size_t i = 0; i < d->n && r >= 0; i++) {
                const Compared *m = &d->all[i];

                if (!m->made)
                        r = table_add(t,
                                      (const char *const[]){ m->file->name, NULL, "not made", NULL,
                                                             "vmctl create" });
                for (size_t k = 0; k < m->differences.n && r >= 0; k++) {
                        const VmDifference *x = &m->differences.items[k];

                        r = table_add(t,
                                      (const char *const[]){ m->file->name, vmkey_rows[x->key].name, x->is,
                                                             x->wanted, takes_text(x->how) });
                }
        }
        return (table_print(t) ?: r) < 0 ? log_oom() : 0;
}

static size_t count(const Declared *d) {
        size_t n = 0;

        for (size_t i = 0; i < d->n; i++)
                n += !d->all[i].made || d->all[i].differences.n > 0;
        return n;
}

int cmd_diff(Context *c, char **args) {
        _cleanup_(declared_done) Declared d = { .root = -EBADF };
        int r;

        r = declared_look(c, args, &d);
        if (r >= 0 && vmctl_has(c, OPT_JSON))
                r = show_json(&d);
        else if (r >= 0 && vmctl_has(c, OPT_QUIET))
                for (size_t i = 0; i < d.n; i++) {
                        if (!d.all[i].made || d.all[i].differences.n > 0)
                                puts(d.all[i].file->name);
                }
        else if (r >= 0 && count(&d) > 0)
                r = show_table(&d);
        return r < 0 ? r : count(&d) > 0 ? VMCTL_FAILED : VMCTL_DONE;
}

static int print_file(const Context *c, const char *name, const char *text) {
        _cleanup_json_ json_object *o = NULL;

        if (!vmctl_has(c, OPT_JSON)) {
                fputs(text, stdout);
                return 0;
        }
        o = json_object_new_object();
        return json_add_text(o, "name", name) < 0 || json_add_text(o, "text", text) < 0
                        ? log_oom()
                        : json_print(o, stdout);
}

int cmd_export(Context *c, char **args) {
        _cleanup_(vmdefined_done) VmDefined machine = {};
        _cleanup_free_ char *text = NULL;
        bool autostart = false;
        int r;

        r = vmctl_connect(c);
        if (r >= 0)
                r = declared_machine(c, args[0], &machine);
        if (r == -ENOENT)
                return log_error_errno(r, "There is no virtual machine '%s'; 'vmctl list' shows them",
                                       args[0]);
        if (r < 0)
                return r;
        declared_disk(c, args[0], &machine);
        if (vmctl_is_local(c)) {
                _cleanup_close_ int root = fs_open_root(NULL);

                autostart = root >= 0 && vmunit_is_enabled(root, args[0]) > 0;
        }
        r = vmdefined_format(&machine, autostart, &text);
        if (r < 0)
                return log_error_errno(r, "Cannot write virtual machine '%s' as a file: %m", args[0]);
        return print_file(c, args[0], text);
}
