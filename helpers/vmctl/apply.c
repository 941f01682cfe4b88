/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Apply: machines become what is declared, as far as that costs nobody anything: those that are not there are
 * made, what can be changed is changed, what a restart is for is asked at a terminal, and what only a new
 * machine could have is told. A second run changes nothing, but the seeds of those that it has waited for. */

#include <signal.h>

#include "bus.h"
#include "create.h"
#include "declared.h"
#include "fs.h"
#include "guestlook.h"
#include "json.h"
#include "plan.h"
#include "planvm.h"
#include "qemuimg.h"
#include "stop.h"
#include "virtdisk.h"
#include "vmchange.h"
#include "vmunit.h"

#define GENERATED "/run/systemd/generator/%s.d/" PLAN_DROPIN

/* What came of one difference. */
typedef enum Fate { FATE_LEFT, FATE_DONE, FATE_AT_START, FATE_FAILED } Fate;

typedef struct Apply {
        Context *c;
        Declared d;
        json_object *all; /* for --json */
        bool dry_run, quiet;
        unsigned n_left; /* machines that are not as they are declared, or not ready */
        char **restart;  /* those that are on, and will be as declared at their next start */
} Apply;

static void apply_done(Apply *a) {
        declared_done(&a->d);
        (void) json_object_put(a->all);
        strv_free(a->restart);
}

static void drop_values(Context *sub) {
        for (Opt o = 0; o < _OPT_MAX; o++)
                strv_free(sub->values[o]);
}

static int add_value(Context *sub, const char *option, const char *value) {
        Opt o = vmctl_find_option(option);

        return o < _OPT_MAX ? strv_extend(&sub->values[o], value) : -EINVAL;
}

static int add_key(const VmFile *f, VmKey k, Context *sub) {
        const VmKeyRow *row = &vmkey_rows[k];
        int r = 0;

        if (row->type == VMKEY_FLAG)
                return vmfile_flag(f, k) ? add_value(sub, row->option, "") : 0;
        STRV_FOREACH(value, f->values[k])
                if (r >= 0)
                        r = add_value(sub, row->option, *value);
        return r;
}

/* "none" and paths are words of the file's own. */
static int add_gpus(const Compared *m, Context *sub) {
        const VmFile *f = m->file;
        int r = 0;

        if (!f->values[VMKEY_GPU])
                return 0;
        if (!m->gpus)
                return add_key(f, VMKEY_GPU, sub);
        if (!*m->gpus)
                return add_value(sub, "no-gpu", "");
        STRV_FOREACH(gpu, m->gpus)
                if (r >= 0)
                        r = add_value(sub, "gpu", *gpu);
        return r;
}

/* As if the file had been typed. */
static int make_options(const Apply *a, const Compared *m, Context *sub) {
        const VmFile *f = m->file;
        int r;

        r = add_value(sub, "name", f->name);
        for (VmKey k = 0; k < _VMKEY_MAX && r >= 0; k++)
                if (k == VMKEY_GPU)
                        r = add_gpus(m, sub);
                else if (vmkey_rows[k].option)
                        r = add_key(f, k, sub);
        if (r >= 0 && (a->quiet || vmctl_has(a->c, OPT_JSON)))
                r = add_value(sub, "quiet", "");
        if (r >= 0 && a->dry_run)
                r = add_value(sub, "dry-run", "");
        if (r >= 0 && vmctl_has(a->c, OPT_ROOT))
                r = add_value(sub, "root", vmctl_value(a->c, OPT_ROOT));
        return r;
}

/* Returns an exit status, or -errno after a message. */
static int make(const Apply *a, const Compared *m) {
        Context sub = { .command = a->c->command, .virt = a->c->virt };
        _cleanup_strv_ char **apart = NULL;
        int r;

        r = planvm_apart(&a->d.catalog, &a->d.bus, m->file->name, &apart);
        if (r >= 0)
                r = make_options(a, m, &sub);
        if (r >= 0)
                r = create_kind(&sub, vmfile_value(m->file, VMKEY_KIND), apart);
        drop_values(&sub);
        return r;
}

/* Whoever made it, and whenever. Returns 0, or -errno after a message. */
static int wait_until_ready(const Apply *a, const Compared *m) {
        Context sub = { .command = a->c->command, .virt = a->c->virt };
        const char *timeout = vmctl_value(a->c, OPT_TIMEOUT);
        int r;

        r = make_options(a, m, &sub);
        if (r >= 0 && timeout)
                r = add_value(&sub, "timeout", timeout);
        if (r >= 0)
                r = create_wait_made(&sub, vmfile_value(m->file, VMKEY_KIND), m->file->name);
        else
                r = log_oom();
        drop_values(&sub);
        return r;
}

static const char *fate_text(Fate f, VmChange how) {
        if (f == FATE_DONE)
                return "done";
        if (f == FATE_AT_START)
                return "at its next start";
        if (f == FATE_FAILED)
                return "failed";
        return how == VMCHANGE_ANEW ? "only for a machine that is made again" : "not done";
}

static void tell(const Apply *a, const VmFile *f, const VmDifference *i, Fate fate) {
        if (!a->quiet && !vmctl_has(a->c, OPT_JSON))
                printf("%s: %s %s -> %s: %s%s\n", f->name, vmkey_rows[i->key].name, i->is, i->wanted,
                       a->dry_run && fate != FATE_LEFT ? "would be " : "", fate_text(fate, i->how));
}

static bool has_any(const Compared *m, VmChange how) {
        for (size_t i = 0; i < m->differences.n; i++)
                if (m->differences.items[i].how == how)
                        return true;
        return false;
}

static int define(const Apply *a, const Compared *m) {
        _cleanup_free_ char *xml = NULL, *changed = NULL;
        int r;

        if (!has_any(m, VMCHANGE_RESTART))
                return 0;
        r = virtvm_definition(a->c->virt, m->file->name, &xml);
        if (r < 0)
                return vmctl_tell(a->c, r, "Cannot read the definition of '%s'", m->file->name);
        r = vmchange_definition(xml, m->file, &m->wanted, &m->differences, &changed);
        if (r < 0)
                return log_error_errno(r, "Cannot change the definition of '%s': %m", m->file->name);
        if (r == 0 || a->dry_run)
                return r;
        r = virtvm_define(a->c->virt, changed);
        return r < 0 ? vmctl_tell(a->c, r, "Cannot change '%s'; it is as it was", m->file->name) : 1;
}

static void qemu_said(const char *line, void *userdata) {
        log_error("qemu-img: %s", line);
}

/* Of one with cloud-init that has lost its seed (create-wait.c): that finds no datasource at a boot then, and
 * is off. */
static void tell_unused(const Apply *a, const Compared *m) {
        const Metadata *x = &m->machine.metadata;

        if (streq(x->kind, "talos") || !x->seed || fs_exists(a->d.root, x->seed) != 0)
                return;
        log_notice("'%s' has no seed any more, so cloud-init is off in it and uses no larger disk: 'sudo growpart /dev/vda 1 && sudo resize2fs /dev/vda1' in it does",
                   m->file->name);
}

/* Not below memory that was saved: what that knows of the disk would be wrong. */
static int grow_off(const Apply *a, const Compared *m) {
        const QemuImg q = { .root = a->d.root, .said = qemu_said };
        const char *name = m->file->name, *path = m->machine.metadata.disks[0];
        int r;

        r = virtvm_is_saved(a->c->virt, name);
        if (r < 0)
                return vmctl_tell(a->c, r, "Cannot tell whether '%s' was saved", name);
        if (r > 0) {
                log_notice("The memory of '%s' was saved, with its disk as it is: 'vmctl start %s' and apply again",
                           name, name);
                return 0;
        }
        if (a->dry_run)
                return 1;
        r = qemuimg_grow(&q, path, m->wanted.disk);
        if (r == 0)
                return 1;
        return log_error_errno(r < 0 ? r : -EIO, "Cannot make '%s', the disk of '%s', larger: %m", path,
                               name);
}

static int grow(const Apply *a, const Compared *m) {
        VmState state;
        int r;

        r = virtvm_state(a->c->virt, m->file->name, &state);
        if (r < 0)
                return vmctl_tell(a->c, r, "Cannot look at virtual machine '%s'", m->file->name);
        if (!vm_state_is_on(state))
                return grow_off(a, m);
        if (a->dry_run)
                return 1;
        r = virtdisk_grow(a->c->virt, m->file->name, m->machine.metadata.disks[0], m->wanted.disk);
        return r < 0 ? vmctl_tell(a->c, r, "Cannot make the disk of '%s' larger", m->file->name) : 1;
}

/* Those that only one of the two lists has. */
static int move_gpus(const Apply *a, const char *machine, char *const *from, char *const *to,
                     int (*command)(Context *c, char **args)) {
        Context sub = { .command = a->c->command, .virt = a->c->virt };
        _cleanup_strv_ char **args = NULL;
        int r;

        r = strv_extend(&args, machine);
        STRV_FOREACH(gpu, from)
                if (r >= 0 && !strv_contains(to, *gpu))
                        r = strv_extend(&args, *gpu);
        if (r >= 0 && args[1] && !a->dry_run) {
                r = add_value(&sub, "quiet", "");
                if (r >= 0 && vmctl_has(a->c, OPT_ROOT))
                        r = add_value(&sub, "root", vmctl_value(a->c, OPT_ROOT));
                if (r >= 0)
                        r = command(&sub, args);
        }
        drop_values(&sub);
        return r;
}

/* What it asks for and does not name. */
static int define_wish(const Apply *a, const Compared *m) {
        _cleanup_free_ char *xml = NULL, *changed = NULL;
        int r;

        if (a->dry_run || (m->gpus && !m->machine.metadata.gpu_wish))
                return 0;
        r = virtvm_definition(a->c->virt, m->file->name, &xml);
        if (r < 0)
                return vmctl_tell(a->c, r, "Cannot read the definition of '%s'", m->file->name);
        r = vmchange_gpu_wish(xml, m->file, &changed);
        if (r < 0)
                return log_error_errno(r, "Cannot change the definition of '%s': %m", m->file->name);
        r = virtvm_define(a->c->virt, changed);
        return r < 0 ? vmctl_tell(a->c, r, "Cannot change '%s'; it is as it was", m->file->name) : 0;
}

/* First what it gets: where that is refused, it keeps what it has. */
static int change_gpus(const Apply *a, const Compared *m) {
        char *const *now = m->machine.metadata.gpus;
        int r;

        r = define_wish(a, m);
        if (r == 0)
                r = move_gpus(a, m->file->name, m->gpus, now, cmd_gpu_attach);
        if (r == 0)
                r = move_gpus(a, m->file->name, now, m->gpus, cmd_gpu_detach);
        return r == 0 ? 1 : MIN(r, -EIO);
}

static Fate change(const Apply *a, const Compared *m, const VmDifference *i, int defined) {
        int r;

        if (i->how == VMCHANGE_ANEW)
                return FATE_LEFT;
        if (i->how == VMCHANGE_RESTART)
                return defined < 0 ? FATE_FAILED : FATE_AT_START;
        r = i->key == VMKEY_DISK ? grow(a, m) : change_gpus(a, m);
        if (i->key == VMKEY_DISK && r > 0 && !a->dry_run)
                tell_unused(a, m);
        return r < 0 ? FATE_FAILED : r == 0 ? FATE_LEFT : FATE_DONE;
}

static int add_json(Apply *a, const VmFile *f, bool made, bool changed, json_object *differences) {
        json_object *o = json_object_new_object();

        if (json_add_text(o, "name", f->name) < 0 || json_add(o, "made", json_object_new_boolean(made)) < 0 ||
            json_add(o, "changed", json_object_new_boolean(changed)) < 0) {
                (void) json_object_put(differences);
                (void) json_object_put(o);
                return log_oom();
        }
        if (json_add(o, "differences", differences) < 0) {
                (void) json_object_put(o);
                return log_oom();
        }
        return json_append(a->all, o) < 0 ? log_oom() : 0;
}

/* What is declared and is not so yet. */
static int note_rest(Apply *a, const Compared *m, bool at_start) {
        VmState state;

        if (has_any(m, VMCHANGE_ANEW) && !a->quiet)
                log_notice("What '%s' has only if it is made again costs what is on its disks: 'vmctl delete %s', then 'vmctl apply %s'",
                           m->file->name, m->file->name, m->file->name);
        if (!at_start || a->dry_run || virtvm_state(a->c->virt, m->file->name, &state) < 0 ||
            !vm_state_is_on(state))
                return 0;
        return strv_extend(&a->restart, m->file->name) < 0 ? log_oom() : 0;
}

/* The machine is there. What can be done is done, whatever becomes of the rest. */
static int change_machine(Apply *a, const Compared *m) {
        json_object *list = json_object_new_array();
        int defined = define(a, m), r = 0;
        bool changed = false, left = false, at_start = false;

        for (size_t i = 0; i < m->differences.n; i++) {
                const VmDifference *d = &m->differences.items[i];
                Fate fate = change(a, m, d, defined);
                json_object *o = declared_to_json(d);

                changed = changed || fate == FATE_DONE || fate == FATE_AT_START;
                at_start = at_start || fate == FATE_AT_START;
                left = left || fate == FATE_LEFT || fate == FATE_FAILED;
                tell(a, m->file, d, fate);
                if (json_add_text(o, "result", fate_text(fate, d->how)) < 0) {
                        (void) json_object_put(o);
                        r = log_oom();
                } else if (json_append(list, o) < 0)
                        r = log_oom();
        }
        a->n_left += left;
        if (!m->differences.n && !a->quiet && !vmctl_has(a->c, OPT_JSON))
                printf("%s: as it is declared\n", m->file->name);
        if (r >= 0)
                r = note_rest(a, m, at_start);
        if (r < 0) {
                (void) json_object_put(list);
                return r;
        }
        return add_json(a, m->file, true, changed && !a->dry_run, list);
}

static int make_machine(Apply *a, const Compared *m) {
        int r = make(a, m);

        if (r < 0 || r > 0) { /* it has told why; the others are made all the same */
                a->n_left++;
                r = add_json(a, m->file, false, false, json_object_new_array());
                return MIN(r, 0);
        }
        r = add_json(a, m->file, !a->dry_run, !a->dry_run, json_object_new_array());
        return r < 0 ? r : 1;
}

static int apply_one(Apply *a, const Compared *m) {
        int r = m->made ? change_machine(a, m) : make_machine(a, m);

        if (r < 0 || a->dry_run || !vmctl_has(a->c, OPT_WAIT) || (!m->made && r == 0))
                return r;
        a->n_left += wait_until_ready(a, m) < 0;
        return 0;
}

/* Whoever is at the terminal, and not in the background of it. */
static bool is_attended(const Apply *a) {
        return !a->quiet && !vmctl_has(a->c, OPT_JSON) && isatty(STDOUT_FILENO) &&
                        tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* As it does 'vmctl restart': whatever was to be taken back has been. */
static void let_signals_end_it(void) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                struct sigaction now;

                if (sigaction(signals[i], NULL, &now) >= 0 && now.sa_handler != SIG_IGN)
                        (void) signal(signals[i], SIG_DFL);
        }
}

/* Returns 1 if they are to be restarted now. */
static int ask_restart(const Apply *a) {
        _cleanup_free_ char *names = strv_join(a->restart, ", "), *question = NULL;

        if (create_interrupted() || stop_asked())
                return log_full_errno(LOG_ERR, EINTR, "Interrupted; no machine is restarted");
        let_signals_end_it();
        if (vmctl_has(a->c, OPT_YES))
                return 1;
        if (!is_attended(a))
                return 0;
        if (!names ||
            str_printf(&question, "Shut down %s and start again, to be as declared now?", names) < 0)
                return log_oom();
        fflush(stdout);
        return vmctl_ask(question);
}

/* For --json: what came of it. */
static int add_restarted(const Apply *a, const char *name, bool restarted) {
        for (size_t i = 0; i < json_object_array_length(a->all); i++) {
                json_object *o = json_object_array_get_idx(a->all, i);

                if (streq(json_text(o, "name"), name))
                        return json_add(o, "restarted", json_object_new_boolean(restarted)) < 0 ? log_oom()
                                                                                                : 0;
        }
        return 0;
}

/* Ready is what apply says that it is. */
static int restart_one(Apply *a, Context *sub, const Compared *m) {
        char *names[] = { m->file->name, NULL };
        bool restarted = cmd_restart(sub, names) == 0;

        if (!restarted)
                log_notice("Apply does not ask for that again: 'vmctl restart %s'", m->file->name);
        if (!restarted || (vmctl_has(a->c, OPT_WAIT) && wait_until_ready(a, m) < 0))
                a->n_left++;
        return add_restarted(a, m->file->name, restarted);
}

static int restart(Apply *a) {
        Context sub = { .command = a->c->command, .virt = a->c->virt };
        const char *timeout = vmctl_value(a->c, OPT_TIMEOUT);
        int r = a->restart ? ask_restart(a) : 0;

        if (r <= 0)
                return r;
        r = add_value(&sub, "quiet", "");
        if (r >= 0 && timeout)
                r = add_value(&sub, "timeout", timeout);
        if (r < 0)
                r = log_oom();
        for (size_t i = 0; i < a->d.n && r >= 0; i++)
                if (strv_contains(a->restart, a->d.all[i].file->name))
                        r = restart_one(a, &sub, &a->d.all[i]);
        drop_values(&sub);
        return r;
}

/* True if systemd has not read what the generator makes of the file as it is now. */
static bool is_unread(const Declared *d, const VmFile *f) {
        _cleanup_free_ char *path = NULL;
        struct stat generated, source;

        if (str_printf(&path, GENERATED, vmunit_name(f->name).text) < 0 ||
            fs_stat(d->root, path, &generated) < 0)
                return true;
        STRV_FOREACH(file, f->files)
                if (fs_stat(d->root, *file, &source) < 0 ||
                    timespec_is_later(&source.st_mtim, &generated.st_mtim))
                        return true;
        return false;
}

/* Once for all of them: containers of Docker's that have a GPU lose it by that. */
static int reload_units(const Apply *a) {
        _cleanup_bus_ Bus *bus = NULL;
        bool unread = false;
        int r;

        for (size_t i = 0; i < a->d.n; i++)
                unread = unread || is_unread(&a->d, a->d.all[i].file);
        if (!unread || a->dry_run || !power_has_units(a->c))
                return 0;
        if (geteuid() != 0) {
                log_notice("Units do not know the files yet: 'sudo systemctl daemon-reload'");
                return 0;
        }
        log_info("Letting systemd read its units again");
        r = bus_open(&bus);
        if (r >= 0)
                r = bus_reload(bus);
        return r < 0 ? log_error_errno(r, "Cannot let systemd read its units again: %m") : 0;
}

/* Disks, units and the rest of what is declared are root's: half of it would be made otherwise. What was cut
 * is looked at as it is without: it would be gone with the first one that is made. */
static int prepare(Context *c) {
        _cleanup_close_ int root = fs_open_root(vmctl_value(c, OPT_ROOT));
        int r;

        if (root < 0 || !fs_is_host(root) || vmctl_has(c, OPT_DRY_RUN))
                return 0; /* declared_look() tells of what cannot be opened */
        r = vmctl_connect(c);
        if (r >= 0 && virt_is_elsewhere(vmctl_uri(c)))
                return log_full_errno(
                                LOG_ERR, EOPNOTSUPP,
                                "What is declared on a host is made there, not at '%s'. Run it over there",
                                vmctl_uri(c));
        if (r < 0 || !vmctl_is_local(c))
                return r;
        if (geteuid() != 0)
                return log_full_errno(
                                LOG_ERR, EACCES,
                                "What is declared is made by root. Try 'sudo vmctl apply', or --dry-run");
        create_recover(c, root);
        return 0;
}

int cmd_apply(Context *c, char **args) {
        _cleanup_(apply_done) Apply a = { .c = c,
                                          .d = { .root = -EBADF },
                                          .all = json_object_new_array(),
                                          .dry_run = vmctl_has(c, OPT_DRY_RUN),
                                          .quiet = vmctl_has(c, OPT_QUIET) };
        uint64_t timeout;
        int r;

        if (guest_timeout(c, &timeout) < 0)
                return VMCTL_USAGE;
        r = prepare(c);
        if (r >= 0)
                r = declared_look(c, args, &a.d);
        if (r >= 0)
                r = reload_units(&a);
        for (size_t i = 0; i < a.d.n && r >= 0; i++)
                r = apply_one(&a, &a.d.all[i]);
        if (r >= 0)
                r = restart(&a);
        if (r >= 0 && vmctl_has(c, OPT_JSON))
                r = json_print(a.all, stdout);
        return r < 0 ? r : a.n_left > 0 ? VMCTL_FAILED : VMCTL_DONE;
}
