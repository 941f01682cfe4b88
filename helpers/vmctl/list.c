/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* List: the machines, their addresses, and one of them whole. */

#include "address.h"
#include "fs.h"
#include "virtverdict.h"
#include "vmunit.h"

/* Machines with what they say of themselves. */
typedef struct Seen {
        VirtVms l;
        Metadata *metadata; /* as many; kind is NULL for machines of others */
        AddressBook book;
} Seen;

static void seen_done(Seen *s) {
        for (size_t i = 0; s->metadata && i < s->l.n; i++)
                metadata_done(&s->metadata[i]);
        free(s->metadata);
        addressbook_done(&s->book);
        virtvms_done(&s->l);
}

static int look(Context *c, Seen *s) {
        int r;

        r = vmctl_connect(c);
        if (r < 0)
                return r;
        r = virtvm_list(c->virt, METADATA_URI, &s->l);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot list the virtual machines");
        s->metadata = calloc(s->l.n + 1, sizeof(*s->metadata));
        if (!s->metadata)
                return log_oom();
        for (size_t i = 0; i < s->l.n; i++) {
                r = s->l.vms[i].metadata ? metadata_parse(s->l.vms[i].metadata, &s->metadata[i]) : 0;
                if (r == -EBADMSG)
                        log_warning("What virtual machine '%s' says of itself is broken, ignoring",
                                    s->l.vms[i].name);
                else if (r < 0)
                        return log_error_errno(r, "Cannot read what the virtual machines are: %m");
        }
        return 0;
}

static bool is_shown(const Context *c, const Metadata *m) {
        return m->kind || vmctl_has(c, OPT_ALL);
}

/* One that was never looked at since its start has none. */
static int add_verdict(Context *c, json_object *o, const VirtVm *vm) {
        _cleanup_json_ json_object *verdict = json_object_new_object();
        _cleanup_(verdict_done) Verdict v = {};

        if (!vm_state_is_on(vm->state) || virtverdict_get(c->virt, vm->name, &v) <= 0)
                return json_add_text_or_null(o, "verdict", NULL);
        if (json_add_text(verdict, "result", v.level) < 0 || json_add_text(verdict, "when", v.when) < 0 ||
            json_add_text(verdict, "text", v.text) < 0)
                return -ENOMEM;
        return json_add(o, "verdict", TAKE_PTR(verdict));
}

static bool is_cut(Context *c, const VirtVm *vm) {
        int r = vmctl_is_cut(c, vm);

        if (r < 0)
                log_debug("Whether '%s' is whole is not known: %s", vm->name, strerror(-r));
        return r > 0;
}

static json_object *vm_to_json(Context *c, const VirtVm *vm, const Metadata *m, const Addresses *a) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "name", vm->name) < 0 || json_add_text(o, "uuid", vm->uuid) < 0 ||
            json_add_text_or_null(o, "kind", m->kind) < 0 ||
            json_add_text(o, "state", vm_state_to_string(vm->state)) < 0 ||
            json_add(o, "unfinished", json_object_new_boolean(m->kind && is_cut(c, vm))) < 0 ||
            json_add(o, "cpus", json_object_new_int64(vm->vcpus)) < 0 ||
            json_add(o, "memory_kib", json_object_new_int64((int64_t) vm->memory_kib)) < 0 ||
            json_add(o, "gpus", json_new_list((const char *const *) m->gpus)) < 0 ||
            json_add_text_or_null(o, "gpu_wish", m->gpu_wish) < 0 ||
            json_add_text_or_null(o, "address", m->address) < 0 ||
            json_add(o, "addresses", addresses_to_json(a)) < 0 ||
            json_add_text_or_null(o, "image", m->image) < 0 ||
            json_add_text_or_null(o, "user", m->user) < 0 ||
            json_add_text_or_null(o, "created", m->created) < 0 || add_verdict(c, o, vm) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int list_json(Context *c, Seen *s) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < s->l.n; i++) {
                _cleanup_(addresses_done) Addresses a = {};
                const VirtVm *vm = &s->l.vms[i];
                int r;

                if (!is_shown(c, &s->metadata[i]))
                        continue;
                r = addressbook_find(c, &s->book, vm, &s->metadata[i], &a);
                if (r < 0)
                        return r;
                if (json_append(all, vm_to_json(c, vm, &s->metadata[i], &a)) < 0)
                        return log_oom();
        }
        return all ? json_print(all, stdout) : log_oom();
}

/* "running, not well": as its unit, or whoever has checked it, found it at last. */
static int state_text(Context *c, const VirtVm *vm, const Metadata *m, char **ret) {
        _cleanup_(verdict_done) Verdict v = {};
        bool bad = m->kind && vm->state == VM_RUNNING && virtverdict_get(c->virt, vm->name, &v) > 0 &&
                        streq(v.level, "fail");

        return str_printf(ret, "%s%s%s", vm_state_to_string(vm->state), bad ? ", not well" : "",
                          m->kind && is_cut(c, vm) ? ", unfinished" : "");
}

static int list_row(Context *c, Seen *s, size_t i, struct libscols_table *t) {
        const Metadata *m = &s->metadata[i];
        bool wishes = !m->gpus && m->gpu_wish; /* it is off, and has none */
        _cleanup_free_ char *gpus = wishes ? strdup(m->gpu_wish) : strv_join(m->gpus, " "), *state = NULL;
        _cleanup_(addresses_done) Addresses a = {};
        const VirtVm *vm = &s->l.vms[i];
        char cpus[16];
        int r;

        r = addressbook_find(c, &s->book, vm, &s->metadata[i], &a);
        if (r < 0)
                return r;
        if (state_text(c, vm, &s->metadata[i], &state) < 0)
                return log_oom();
        (void) snprintf(cpus, sizeof(cpus), "%u", vm->vcpus);
        r = table_add(t,
                      (const char *const[]){ vm->name, s->metadata[i].kind, state, cpus,
                                             size_text(vm->memory_kib).text, gpus,
                                             a.address ? a.address[0] : NULL });
        return r < 0 ? log_oom() : 0;
}

static int list_table(Context *c, Seen *s) {
        static const char *const columns[] = { "NAME",   "KIND", "STATE",   "CPUS",
                                               "MEMORY", "GPU",  "ADDRESS", NULL };
        struct libscols_table *t = table_new(columns);
        size_t hidden = 0, shown = 0;
        int r = 0;

        for (size_t i = 0; i < s->l.n && r >= 0; i++)
                if (is_shown(c, &s->metadata[i])) {
                        shown++;
                        r = list_row(c, s, i, t);
                } else
                        hidden++;
        if (r < 0)
                table_free(t);
        else if (table_print(t) < 0)
                r = log_oom();
        if (r >= 0 && shown == 0)
                log_notice("There are no virtual machines of gpuvm's%s",
                           hidden > 0 ? "; --all shows those of others" : "");
        return r;
}

int cmd_list(Context *c, char **args) {
        _cleanup_(seen_done) Seen s = {};
        int r = look(c, &s);

        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return list_json(c, &s);
        if (!vmctl_has(c, OPT_QUIET))
                return list_table(c, &s);
        for (size_t i = 0; i < s.l.n; i++)
                if (is_shown(c, &s.metadata[i]))
                        puts(s.l.vms[i].name);
        return 0;
}

static int ip_json(json_object *all, const char *name, const Addresses *a) {
        json_object *o = json_object_new_object();

        if (json_add_text(o, "name", name) < 0 || json_add(o, "addresses", addresses_to_json(a)) < 0) {
                (void) json_object_put(o);
                return -ENOMEM;
        }
        return json_append(all, o);
}

static int ip_rows(struct libscols_table *t, const char *name, const Addresses *a) {
        int r = a->address ? 0 : table_add(t, (const char *const[]){ name, NULL, NULL });

        for (size_t i = 0; i < strv_length(a->address) && r >= 0; i++)
                r = table_add(t, (const char *const[]){ name, a->address[i], a->source[i] });
        return r;
}

int cmd_ip_list(Context *c, char **args) {
        static const char *const columns[] = { "NAME", "ADDRESS", "SOURCE", NULL };
        _cleanup_json_ json_object *all = json_object_new_array();
        _cleanup_(seen_done) Seen s = {};
        struct libscols_table *t;
        int r = look(c, &s);

        if (r < 0)
                return r;
        t = table_new(columns);
        for (size_t i = 0; i < s.l.n && r >= 0; i++) {
                _cleanup_(addresses_done) Addresses a = {};
                const VirtVm *vm = &s.l.vms[i];

                if (!is_shown(c, &s.metadata[i]))
                        continue;
                r = addresses_find(c, vm->name, vm_state_is_on(vm->state), &s.metadata[i], &a);
                if (r >= 0 && (ip_json(all, vm->name, &a) < 0 || ip_rows(t, vm->name, &a) < 0))
                        r = log_oom();
        }
        if (r >= 0 && !vmctl_has(c, OPT_JSON))
                return table_print(t);
        table_free(t);
        return r < 0 ? r : json_print(all, stdout);
}

static int info_json(Context *c, const VirtVm *vm, const Metadata *m, const Addresses *a, bool autostart) {
        _cleanup_json_ json_object *o = vm_to_json(c, vm, m, a);

        if (json_add(o, "autostart", json_object_new_boolean(autostart)) < 0 ||
            json_add(o, "disks", json_new_list((const char *const *) m->disks)) < 0 ||
            json_add_text_or_null(o, "seed", m->seed) < 0 ||
            json_add_text_or_null(o, "gateway", m->gateway) < 0)
                return log_oom();
        return json_print(o, stdout);
}

static void print_list(const char *what, char *const *l) {
        STRV_FOREACH(s, l) {
                printf("%-11s %s\n", what, *s);
                what = "";
        }
}

static void info_text(const VirtVm *vm, const Metadata *m, const Addresses *a, bool autostart) {
        printf("%-11s %s\n%-11s %s\n%-11s %s\n%-11s %s\n%-11s %u\n%-11s %s\n%-11s %s\n", "Name", vm->name,
               "UUID", vm->uuid, "Kind", m->kind, "State", vm_state_to_string(vm->state), "CPUs", vm->vcpus,
               "Memory", size_text(vm->memory_kib).text, "Autostart", autostart ? "yes" : "no");
        if (m->image)
                printf("%-11s %s\n", "Image", m->image);
        if (m->created)
                printf("%-11s %s\n", "Created", m->created);
        if (m->user)
                printf("%-11s %s\n", "User", m->user);
        print_list("GPU", m->gpus);
        if (m->gpu_wish)
                printf("%-11s %s, chosen at each start\n", "GPUs", m->gpu_wish);
        print_list("Disk", m->disks);
        if (m->seed)
                printf("%-11s %s\n", "Seed", m->seed);
        for (size_t i = 0; i < strv_length(a->address); i++)
                printf("%-11s %s (%s)\n", i == 0 ? "Address" : "", a->address[i], a->source[i]);
        if (m->gateway)
                printf("%-11s %s\n", "Gateway", m->gateway);
        if (vm_state_is_on(vm->state))
                printf("%-11s vmctl console %s\n", "Console", vm->name);
}

static void info_verdict(Context *c, const char *name) {
        _cleanup_(verdict_done) Verdict v = {};

        if (virtverdict_get(c->virt, name, &v) > 0)
                printf("%-11s %s at %s: %s\n", "Checked", v.level, v.when, v.text);
}

/* It is on a socket of the host's: nobody sees it over the network. */
static void info_screen(Context *c, const VirtVm *vm) {
        _cleanup_free_ char *xml = NULL, *uri = NULL;

        if (vm_state_is_on(vm->state) && virtvm_xml(c->virt, vm->name, &xml) >= 0 &&
            strstr(xml, "<graphics ") && virt_uri(c->virt, &uri) >= 0)
                printf("%-11s virt-viewer --connect %s --attach %s\n", "Screen", uri, vm->name);
}

static bool unit_is_enabled(Context *c, const char *name) {
        _cleanup_close_ int root = vmctl_is_local(c) ? fs_open_root(NULL) : -EBADF;

        return root >= 0 && vmunit_is_enabled(root, name) > 0;
}

int cmd_info(Context *c, char **args) {
        _cleanup_(addresses_done) Addresses a = {};
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        bool autostart = false;
        int r;

        r = vmctl_connect(c);
        if (r >= 0)
                r = vmctl_find(c, args[0], &vm, &m);
        if (r < 0)
                return r;
        r = virtvm_get_autostart(c->virt, vm.name, &autostart);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot look at virtual machine '%s'", vm.name);
        autostart = autostart || unit_is_enabled(c, vm.name);
        r = addresses_find(c, vm.name, vm_state_is_on(vm.state), &m, &a);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return info_json(c, &vm, &m, &a, autostart);
        info_text(&vm, &m, &a, autostart);
        if (is_cut(c, &vm))
                printf("%-11s it was cut while it was made; the next 'vmctl create' or 'vmctl apply' takes it back\n",
                       "Unfinished");
        info_verdict(c, vm.name);
        info_screen(c, &vm);
        return 0;
}
