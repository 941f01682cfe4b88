/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpu: what GPUs there are, what goes with each, and who has it. */

#include "gpu.h"
#include "fs.h"
#include "hostdevs.h"
#include "json.h"
#include "vmtaken.h"

enum { KIB_SHIFT = 10 };

typedef struct Look {
        int root;
        Conf conf;
        GpuStates states;
        GpuState **shown; /* those that were asked for, or all */
        size_t n_shown;
} Look;

static void look_done(Look *l) {
        free(l->shown);
        gpustate_done(&l->states);
        conf_done(&l->conf);
        (void) safe_close(l->root);
}

static bool is_on_vfio(const GpuStates *s) {
        for (size_t i = 0; i < s->n; i++)
                if (s->list[i].owner != GPU_OWNER_HOST && s->list[i].owner != GPU_OWNER_NOBODY)
                        return true;
        return false;
}

/* One that ends meanwhile has none any more. */
static int mark_machine(Context *c, GpuStates *s, const char *name) {
        _cleanup_free_ char *xml = NULL;
        _cleanup_strv_ char **addresses = NULL;
        int r;

        r = virtvm_xml_now(c->virt, name, &xml);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = hostdevs_parse(xml, &addresses);
        return r < 0 ? r : gpustate_mark_machine(s, name, addresses);
}

/* Machines of others have GPUs as well, and so has one that has crashed and was kept. */
int gpu_mark_machines(Context *c, GpuStates *s) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r;

        r = virtvm_list(c->virt, METADATA_URI, &l);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot list the virtual machines");
        for (size_t i = 0; i < l.n; i++) {
                r = l.vms[i].state == VM_OFF ? 0 : mark_machine(c, s, l.vms[i].name);
                if (r < 0)
                        return vmctl_tell(c, r, "Cannot tell which GPUs virtual machine '%s' has",
                                          l.vms[i].name);
        }
        return 0;
}

int gpu_tell_elsewhere(const char *uri) {
        return log_full_errno(LOG_ERR, EOPNOTSUPP,
                              "GPUs are looked at on this machine, not at '%s'. Run it over there", uri);
}

static int ask_libvirt(Context *c, Look *l) {
        _cleanup_free_ char *uri = NULL;

        if ((!fs_is_host(l->root) && !vmctl_has(c, OPT_CONNECT)) || !is_on_vfio(&l->states))
                return 0; /* nobody there has to be asked */
        if (vmctl_connect(c) < 0) {
                log_warning("Which virtual machine has a GPU is not known without libvirt");
                return 0;
        }
        /* An alias of libvirt.conf says only now where it leads. */
        if (virt_uri(c->virt, &uri) >= 0 && virt_is_elsewhere(uri))
                return gpu_tell_elsewhere(uri);
        return gpu_mark_machines(c, &l->states);
}

int gpu_find(const GpuStates *s, const char *word, GpuState **ret) {
        int r = gpustate_find(s, word, ret);

        if (r == -ENOTUNIQ)
                return log_full_errno(
                                LOG_ERR, ENOTUNIQ,
                                "More than one GPU is called '%s'; 'vmctl gpu status' shows their addresses",
                                word);
        if (r == 0)
                return log_full_errno(LOG_ERR, ENOENT,
                                      "There is no GPU '%s' here; 'vmctl gpu status' shows them", word);
        return r;
}

static int pick(Look *l, char **words) {
        l->shown = calloc(MAX(l->states.n, strv_length(words)) + 1, sizeof(*l->shown));
        if (!l->shown)
                return log_oom();
        if (!*words)
                for (size_t i = 0; i < l->states.n; i++)
                        l->shown[l->n_shown++] = &l->states.list[i];
        STRV_FOREACH(w, words) {
                int r = gpu_find(&l->states, *w, &l->shown[l->n_shown++]);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* holders: without them there is nothing to show. */
static int look(Context *c, char **words, bool holders, Look *l) {
        const char *directory = vmctl_value(c, OPT_ROOT) ?: secure_getenv("GPUVM_ROOT");
        const char *uri = vmctl_value(c, OPT_CONNECT);
        int r;

        if (uri && virt_is_elsewhere(uri))
                return gpu_tell_elsewhere(uri);
        l->root = fs_open_root(directory);
        if (l->root < 0)
                return log_error_errno(l->root, "Cannot open '%s': %m", directory ?: "/");
        if (holders && fs_is_host(l->root) && geteuid() != 0)
                return log_full_errno(LOG_ERR, EPERM, "Who uses a GPU is root's to see. Use sudo");
        if (conf_load_and_warn(l->root, &l->conf) < 0)
                return log_oom();
        r = gpustate_read(l->root, &l->conf, !fs_is_host(l->root) || geteuid() == 0, &l->states);
        if (r < 0)
                return log_error_errno(r, "Cannot look at the GPUs: %m");
        r = ask_libvirt(c, l);
        return r < 0 ? r : pick(l, words);
}

static int add_number(json_object *o, const char *key, int64_t value, bool known) {
        if (known)
                return json_add(o, key, json_object_new_int64(value));
        return o && json_object_object_add(o, key, NULL) == 0 ? 0 : -ENOMEM;
}

static json_object *holders_to_json(const Holders *h) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < h->n; i++) {
                _cleanup_json_ json_object *o = json_object_new_object();
                const Holder *p = &h->list[i];

                if (add_number(o, "pid", p->pid, p->pid > 0) < 0 ||
                    add_number(o, "uid", p->uid, p->pid > 0) < 0 ||
                    json_add_text_or_null(o, "user", p->user) < 0 ||
                    json_add_text_or_null(o, "command", p->comm) < 0 ||
                    json_add_text_or_null(o, "unit", p->unit) < 0 ||
                    json_add_text_or_null(o, "what", p->what) < 0 || json_append(all, TAKE_PTR(o)) < 0)
                        return NULL;
        }
        return TAKE_PTR(all);
}

static json_object *functions_to_json(const GpuState *g) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < g->n_functions; i++) {
                _cleanup_json_ json_object *o = json_object_new_object();
                const PciDevice *d = g->functions[i];
                char text[8];

                (void) snprintf(text, sizeof(text), "%06x", (unsigned) d->class);
                if (json_add_text(o, "address", d->name) < 0 || json_add_text(o, "class", text) < 0 ||
                    json_add_text_or_null(o, "driver", d->driver) < 0 ||
                    json_add(o, "own", json_object_new_boolean(pci_same_slot(d, g->gpu))) < 0 ||
                    json_append(all, TAKE_PTR(o)) < 0)
                        return NULL;
        }
        return TAKE_PTR(all);
}

static json_object *bars_to_json(const PciDevice *d) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < ELEMENTSOF(d->bar_size); i++)
                if (json_append(all, json_object_new_int64((int64_t) d->bar_size[i])) < 0)
                        return NULL;
        return TAKE_PTR(all);
}

static json_object *gpu_to_json(int root, const GpuState *g) {
        _cleanup_json_ json_object *o = json_object_new_object();
        const PciDevice *d = g->gpu;
        _cleanup_free_ char *taken_for = NULL;
        char ids[16];

        if (vmtaken_for(root, d->name, &taken_for) == -ENOMEM)
                return NULL;
        (void) snprintf(ids, sizeof(ids), "%04x:%04x", d->vendor, d->device);
        if (json_add_text(o, "address", d->name) < 0 || json_add_text_or_null(o, "path", d->path) < 0 ||
            json_add_text(o, "ids", ids) < 0 || json_add_text_or_null(o, "name", g->name) < 0 ||
            json_add_text(o, "architecture", gpu_arch_to_string(gpu_arch_from_device_id(d->device))) < 0 ||
            add_number(o, "numa_node", d->numa_node, d->numa_node >= 0) < 0 ||
            add_number(o, "iommu_group", d->iommu_group, d->iommu_group >= 0) < 0 ||
            json_add_text_or_null(o, "driver", d->driver) < 0 ||
            json_add_text(o, "mode", gpu_mode_to_string(g->mode)) < 0 ||
            json_add_text(o, "owner", gpu_owner_to_string(g->owner)) < 0 ||
            json_add_text_or_null(o, "machine", g->machine) < 0 ||
            json_add_text_or_null(o, "taken_for", taken_for) < 0 ||
            json_add_text_or_null(o, "stuck", g->stuck) < 0 ||
            json_add_text_or_null(o, "refused", g->refused) < 0 ||
            json_add_text_or_null(o, "reset_method", d->reset_method) < 0 ||
            json_add(o, "bars", bars_to_json(d)) < 0 || json_add_text_or_null(o, "link", g->link) < 0 ||
            json_add_text_or_null(o, "power", g->power) < 0 ||
            json_add(o, "functions", functions_to_json(g)) < 0 ||
            (g->looked ? json_add(o, "holders", holders_to_json(&g->holders))
                       : json_add_text_or_null(o, "holders", NULL)) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int show_json(const Look *l) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < l->n_shown; i++)
                if (json_append(all, gpu_to_json(l->root, l->shown[i])) < 0)
                        return log_oom();
        return json_print(all, stdout);
}

static const char *group_text(const PciDevice *d, char text[static 16]) {
        (void) snprintf(text, 16, "%d", d->iommu_group);
        return d->iommu_group >= 0 ? text : NULL;
}

static int show_table(const Look *l) {
        static const char *const columns[] = { "#",      "GPU",  "NAME",  "ARCH", "GROUP",
                                               "DRIVER", "MODE", "OWNER", NULL };
        struct libscols_table *t = table_new(columns);
        int r = 0;

        for (size_t i = 0; i < l->n_shown && r >= 0; i++) {
                const GpuState *g = l->shown[i];
                _cleanup_free_ char *owner = NULL;
                char number[32], group[16];

                (void) snprintf(number, sizeof(number), "%zu", (size_t) (g - l->states.list));
                r = gpustate_describe_owner(g, &owner);
                if (r >= 0)
                        r = table_add(t,
                                      (const char *const[]){ number, g->gpu->name, g->name,
                                                             gpu_arch_to_string(gpu_arch_from_device_id(
                                                                             g->gpu->device)),
                                                             group_text(g->gpu, group), g->gpu->driver,
                                                             gpu_mode_to_string(g->mode), owner });
        }
        r = table_print(t) ?: r;
        return r < 0 ? log_oom() : 0;
}

static void print_text(const char *what, const char *value) {
        if (value)
                printf("%-13s %s\n", what, value);
}

static void print_functions(const GpuState *g, bool own, const char *what) {
        for (size_t i = 0; i < g->n_functions; i++) {
                const PciDevice *d = g->functions[i];

                if (d == g->gpu || pci_same_slot(d, g->gpu) != own)
                        continue;
                printf("%-13s %s, class %06x, %s\n", what, d->name, (unsigned) d->class,
                       d->driver ?: "no driver");
                what = "";
        }
}

static uint64_t largest_bar(const PciDevice *d) {
        uint64_t most = 0;

        for (size_t i = 0; i < ELEMENTSOF(d->bar_size); i++)
                most = MAX(most, d->bar_size[i]);
        return most;
}

static int show_one(int root, const GpuState *g) {
        _cleanup_free_ char *owner = NULL, *taken_for = NULL;
        char group[16], node[16];
        const PciDevice *d = g->gpu;

        if (gpustate_describe_owner(g, &owner) < 0 || vmtaken_for(root, d->name, &taken_for) == -ENOMEM)
                return log_oom();
        (void) snprintf(node, sizeof(node), "%d", d->numa_node);
        print_text("GPU", d->name);
        print_text("Name", g->name);
        printf("%-13s %04x:%04x, %s\n", "Device", d->vendor, d->device,
               gpu_arch_to_string(gpu_arch_from_device_id(d->device)));
        print_text("Path", d->path);
        print_text("NUMA node", d->numa_node >= 0 ? node : NULL);
        print_text("IOMMU group", group_text(d, group) ?: "none");
        print_functions(g, true, "With it");
        print_functions(g, false, "In its group");
        print_text("Driver", d->driver ?: "none");
        print_text("Mode", gpu_mode_to_string(g->mode));
        print_text("Owner", owner);
        print_text("Taken for", taken_for);
        print_text("Stuck", g->stuck);
        print_text("Not for VMs", g->refused);
        print_text("Reset by", isempty(d->reset_method) && d->reset_method ? "nothing" : d->reset_method);
        if (largest_bar(d) > 0)
                print_text("Largest BAR", size_text(largest_bar(d) >> KIB_SHIFT).text);
        print_text("Link", g->link);
        print_text("Power", g->power);
        return 0;
}

int cmd_gpu_status(Context *c, char **args) {
        _cleanup_(look_done) Look l = { .root = -EBADF };
        int r;

        r = look(c, args, false, &l);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_SVG))
                return gpu_write_svg(&l.states, vmctl_value(c, OPT_SVG));
        if (vmctl_has(c, OPT_JSON))
                return show_json(&l);
        if (l.n_shown == 0) {
                puts("This machine has no NVIDIA GPU.");
                return 0;
        }
        if (vmctl_has(c, OPT_TREE))
                return gpu_show_tree(&l.states.bus, l.shown, l.n_shown);
        if (!*args)
                return show_table(&l);
        for (size_t i = 0; i < l.n_shown && r >= 0; i++) {
                if (i > 0)
                        puts("");
                r = show_one(l.root, l.shown[i]);
        }
        return r;
}

static const char *user_name(const Holder *h, char text[static 16]) {
        (void) snprintf(text, 16, "%u", (unsigned) h->uid);
        return h->user ?: text;
}

static int show_holders(const Look *l) {
        static const char *const columns[] = { "GPU", "PID", "USER", "COMMAND", "UNIT", "WHAT", NULL };
        struct libscols_table *t = table_new(columns);
        int r = 0;

        for (size_t i = 0; i < l->n_shown; i++)
                for (size_t k = 0; k < l->shown[i]->holders.n && r >= 0; k++) {
                        const Holder *h = &l->shown[i]->holders.list[k];
                        char pid[16], uid[16];

                        (void) snprintf(pid, sizeof(pid), "%d", (int) h->pid);
                        r = table_add(t,
                                      (const char *const[]){ l->shown[i]->gpu->name, h->pid > 0 ? pid : NULL,
                                                             h->pid > 0 ? user_name(h, uid) : "kernel",
                                                             h->comm, h->unit, h->what });
                }
        r = table_print(t) ?: r;
        return r < 0 ? log_oom() : 0;
}

int cmd_gpu_holders(Context *c, char **args) {
        _cleanup_(look_done) Look l = { .root = -EBADF };
        size_t n = 0;
        int r;

        r = look(c, args, true, &l);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return show_json(&l);
        for (size_t i = 0; i < l.n_shown; i++)
                n += l.shown[i]->holders.n;
        if (n > 0)
                return show_holders(&l);
        for (size_t i = 0; i < l.n_shown; i++)
                if (l.shown[i]->looked)
                        printf("Nobody uses %s.\n", l.shown[i]->gpu->name);
                else
                        printf("Who uses %s was not asked: its driver %s.\n", l.shown[i]->gpu->name,
                               l.shown[i]->stuck ? "hangs" : "sleeps, and would wake it up");
        return 0;
}

int gpu_of(Context *c, const char *word, GpuDo f, void *userdata) {
        _cleanup_(look_done) Look l = { .root = -EBADF };
        char *words[] = { (char *) word, NULL };
        int r = look(c, words, false, &l);

        return r < 0 ? r : f(c, l.root, &l.conf, l.shown[0], userdata);
}
