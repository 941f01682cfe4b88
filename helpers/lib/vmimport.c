/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <stdarg.h>

#include "fs.h"
#include "strv.h"
#include "vmimportwork.h"

/* Where a key stands. */
enum {
        IN_VM = 1 << 0,
        IN_CPU = 1 << 1,
        IN_MEMORY = 1 << 2,
        IN_DISK = 1 << 3,
        IN_CDROM = 1 << 4,
        IN_NETWORK = 1 << 5,
        IN_GPU = 1 << 6,
        IN_GUEST = 1 << 7,
        IN_AGENT = 1 << 8,
};

typedef struct Row {
        unsigned in;
        const char *names; /* with a blank before and behind each; dashes and capitals are taken off before */
        Slot slot;         /* of a text, or of a list of them */
        unsigned into;     /* where the keys stand that a map, or the first map of a list, has */
} Row;

static const Row rows[] = {
        { IN_VM, " name hostname vm_name ", SLOT_NAME },
        { IN_VM, " id vmid vm_id ", SLOT_ID },
        { IN_VM, " type kind ", SLOT_TYPE },
        { IN_VM, " description notes comment ", SLOT_DESCRIPTION },
        { IN_VM, " resources hardware specs ", SLOT_NONE, IN_VM },
        { IN_VM, " cpu cores cpus vcpu vcpus cpu_cores num_cpus ", SLOT_CORES, IN_CPU },
        { IN_CPU, " cores ", SLOT_CORES },
        { IN_VM | IN_CPU, " sockets ", SLOT_SOCKETS },
        { IN_VM, " memory memory_mb memory_mib ram ram_mb ", SLOT_MEMORY, IN_MEMORY },
        { IN_VM, " memory_gb memory_gib ram_gb ", SLOT_MEMORY_GB },
        { IN_MEMORY, " dedicated size ", SLOT_MEMORY },
        { IN_VM | IN_MEMORY, " hugepages ", SLOT_HUGEPAGES },
        { IN_VM, " disk disks disk_gb disk_size disk_size_gb ", SLOT_DISK, IN_DISK },
        { IN_DISK, " size size_gb disk_size ", SLOT_DISK },
        { IN_VM, " os distribution ", SLOT_SYSTEM },
        { IN_VM, " iso iso_file iso_image ", SLOT_ISO },
        { IN_VM, " cdrom ", SLOT_ISO, IN_CDROM },
        { IN_CDROM, " file_id iso ", SLOT_ISO },
        { IN_VM, " template image cloud_image ", SLOT_TEMPLATE },
        { IN_VM | IN_NETWORK, " ip ip_address address ipv4 ipv4_address ", SLOT_ADDRESS, IN_NETWORK },
        { IN_VM, " network networks network_device network_devices network_interface ", SLOT_NONE,
          IN_NETWORK },
        { IN_VM | IN_NETWORK | IN_GUEST, " ip_config ", SLOT_NONE, IN_NETWORK },
        { IN_VM | IN_NETWORK, " prefix prefix_length netmask subnet_mask cidr ", SLOT_PREFIX },
        { IN_VM | IN_NETWORK, " gateway gw default_gateway ", SLOT_GATEWAY },
        { IN_VM | IN_NETWORK, " mac mac_address hwaddr macaddr ", SLOT_MAC },
        { IN_VM, " gpu gpu_passthrough ", SLOT_GPU, IN_GPU },
        { IN_VM, " hostpci hostpci0 pci_passthrough ", SLOT_GPU_DEVICE, IN_GPU },
        { IN_GPU, " enabled ", SLOT_GPU_ENABLED },
        { IN_GPU, " device_id id pci pci_id pci_address address ", SLOT_GPU_DEVICE },
        { IN_GPU, " model name ", SLOT_GPU_MODEL },
        { IN_GPU, " hostpci device slot ", SLOT_GPU_SLOT },
        { IN_VM, " cloud_init cloudinit initialization ", SLOT_CLOUDINIT, IN_GUEST },
        { IN_GUEST, " enabled ", SLOT_CLOUDINIT },
        { IN_GUEST, " user_account ", SLOT_NONE, IN_GUEST },
        { IN_VM | IN_GUEST, " user username cloud_init_user ciuser ssh_user ", SLOT_USER },
        { IN_VM | IN_GUEST,
          " ssh_key ssh_keys sshkeys ssh_public_key ssh_public_keys ssh_authorized_keys keys ", SLOT_KEYS },
        { IN_VM | IN_GUEST, " packages ", SLOT_PACKAGES },
        { IN_VM, " onboot on_boot start_on_boot autostart ", SLOT_ONBOOT },
        { IN_VM, " bios firmware ", SLOT_FIRMWARE },
        { IN_VM, " agent qemu_agent guest_agent qemu_guest_agent ", SLOT_AGENT, IN_AGENT },
        { IN_AGENT, " enabled ", SLOT_AGENT },
};

/* What the parts of the catalog are called that list machines. */
static const char *const lists[] = { "services", "vms", "virtual_machines", "machines" };

void vmimport_done(VmImport *l) {
        for (size_t i = 0; i < l->n; i++) {
                vmfile_done(&l->machines[i].file);
                free(l->machines[i].id);
                strv_free(l->machines[i].notes);
                strv_free(l->machines[i].ignored);
        }
        free(l->machines);
        strv_free(l->left_out);
        *l = (VmImport){};
}

int vmimport_tell(Reading *g, unsigned line, const char *format, ...) {
        va_list ap;

        g->vm->file.n_problems++;
        va_start(ap, format);
        conf_tell(g->problem, g->userdata, g->path, line, format, ap);
        va_end(ap);
        return 0;
}

int vmimport_note(Reading *g, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = strv_extendfv(&g->vm->notes, format, ap);
        va_end(ap);
        return r;
}

int vmimport_text(Reading *g, Slot s, const char **ret) {
        const YamlNode *n = g->slots[s];

        if (!n || yamldoc_is_null(n))
                return 0;
        if (n->kind == YAML_REFERENCE)
                return vmimport_tell(
                                g, n->line,
                                "%s: '%.60s' refers to '*%.60s', and references are not followed: write the value out",
                                g->vm->file.name, n->key, n->text);
        if (n->kind != YAML_TEXT)
                return vmimport_tell(g, n->line, "%s: '%.60s' has to be one value", g->vm->file.name,
                                     strempty(n->key));
        *ret = n->text;
        return 1;
}

/* "Cloud-Init" is "cloud_init". */
static const Row *find_row(unsigned in, const char *key) {
        char word[64];
        size_t n = 0;

        word[n++] = ' ';
        for (; *key && n < sizeof(word) - 2; key++)
                word[n++] = *key == '-' || *key == ' ' ? '_' : (char) tolower((unsigned char) *key);
        word[n++] = ' ';
        word[n] = '\0';
        for (size_t i = 0; !*key && i < ELEMENTSOF(rows); i++)
                if ((rows[i].in & in) && strstr(rows[i].names, word))
                        return &rows[i];
        return NULL;
}

static bool is_secret(const char *key) {
        static const char *const words[] = { "password", "passwd", "secret", "token", "private", "api_key" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasestr(key, words[i]))
                        return true;
        return false;
}

static int ignore(Reading *g, const YamlNode *n) {
        return strv_extendf(&g->vm->ignored, "%.60s (line %u%s)", strempty(n->key), n->line,
                            n->key && is_secret(n->key) ? ", a secret" : "");
}

static int take(Reading *g, const YamlNode *n, Slot s) {
        const YamlNode *before = g->slots[s];

        if (before && !(before->text && n->text && streq(before->text, n->text)))
                return vmimport_tell(g, n->line,
                                     "%s: '%.60s' and '%.60s' of line %u are the same: write one of them",
                                     g->vm->file.name, strempty(n->key), strempty(before->key), before->line);
        g->slots[s] = n;
        return 0;
}

static int walk(Reading *g, const YamlNode *map, unsigned in) {
        int r = 0;

        for (const YamlNode *n = map->first; n && r >= 0; n = n->next) {
                const Row *row = find_row(in, n->key);
                const YamlNode *inner =
                                n->kind == YAML_LIST && n->first && n->first->kind == YAML_MAP ? n->first : n;

                if (streq(n->key, "<<"))
                        r = vmimport_tell(g, n->line, "%s: merged keys are not followed: write them out",
                                          g->vm->file.name);
                else if (!row || (inner->kind == YAML_MAP && !row->into) ||
                         (inner->kind != YAML_MAP && row->slot == SLOT_NONE))
                        r = ignore(g, n);
                else if (inner->kind != YAML_MAP)
                        r = take(g, n, row->slot);
                else {
                        r = walk(g, inner, row->into);
                        if (r >= 0 && inner != n && inner->next) /* a second disk */
                                r = strv_extendf(&g->vm->ignored, "all of %.60s but the first (line %u)",
                                                 n->key, inner->next->line);
                }
        }
        return r;
}

/* Proxmox's number is the key where machines are a map. */
static bool is_number(const char *s) {
        return *s && s[strspn(s, "0123456789")] == '\0';
}

static const char *plain(const YamlNode *n) {
        return n && n->kind == YAML_TEXT && !yamldoc_is_null(n) ? n->text : NULL;
}

/* What it is called, before it is looked into: others may be asked for. */
static const char *name_of(const YamlNode *entry) {
        for (const YamlNode *n = entry->kind == YAML_MAP ? entry->first : NULL; n; n = n->next) {
                const Row *row = find_row(IN_VM, n->key);

                if (row && row->slot == SLOT_NAME && plain(n))
                        return plain(n);
        }
        return entry->key;
}

/* What is said to be something else, or stands among services without saying what it is: 1. */
static int leave_out(const YamlNode *entry, const char *name, bool mixed, VmImport *l) {
        static const char ours[] = " vm qemu kvm virtual_machine ";
        const char *type = plain(yamldoc_find(entry, "type"));
        char word[32];
        int r;

        (void) snprintf(word, sizeof(word), " %s ", strempty(type));
        if (type ? strstr(ours, word) != NULL : !mixed)
                return 0;
        r = strv_extendf(&l->left_out, "%.63s (line %u) is left out: %s%.40s%s", strempty(name), entry->line,
                         type ? "it is of type '" : "it does not say 'type: vm'", strempty(type),
                         type ? "'" : "");
        return r < 0 ? r : 1;
}

static int read_machine(Reading *g, const YamlNode *entry, const char *name) {
        VmImported *vm = g->vm;
        const char *id = NULL;
        int r;

        vm->line = entry->line;
        r = free_and_strdup(&vm->file.name, strempty(name));
        if (r < 0)
                return r;
        if (entry->kind != YAML_MAP)
                return vmimport_tell(g, entry->line, "'%.60s' has to be a machine's keys and values",
                                     strempty(name));
        r = walk(g, entry, IN_VM);
        if (r >= 0 && vmimport_text(g, SLOT_ID, &id) == 0 && entry->key && is_number(entry->key))
                id = entry->key;
        if (r >= 0)
                r = free_and_strdup(&vm->id, id);
        if (r >= 0 && is_number(vm->file.name) && !g->slots[SLOT_NAME])
                r = vmimport_tell(g, entry->line, "machine %s has no name: add 'name:'", vm->file.name);
        return r < 0 ? r : vmimport_make(g);
}

/* mixed: among services there are others than machines. */
static int read_list(const Reading *like, const YamlNode *list, bool mixed, VmImport *l) {
        int r = 0;

        for (const YamlNode *n = list->first; n && r >= 0; n = n->next) {
                const char *name = name_of(n);
                Reading g = *like;
                VmImported *all;

                if (!strv_contains(g.w->names, strempty(name)) && strv_length(g.w->names) > 0)
                        continue;
                r = leave_out(n, name, mixed, l);
                if (r != 0)
                        continue;
                all = reallocarray(l->machines, l->n + 1, sizeof(*all));
                if (!all)
                        return -ENOMEM;
                l->machines = all;
                g.vm = &all[l->n++];
                *g.vm = (VmImported){};
                r = read_machine(&g, n, name);
        }
        return MIN(r, 0);
}

/* Of two with one name neither is anybody's wish. */
static void find_twins(const Reading *like, VmImport *l) {
        for (size_t i = 0; i < l->n; i++)
                for (size_t k = 0; k < i; k++)
                        if (streq(l->machines[i].file.name, l->machines[k].file.name)) {
                                Reading g = *like;

                                g.vm = &l->machines[i];
                                (void) vmimport_tell(&g, g.vm->line,
                                                     "%s: there is another machine of that name, in line %u",
                                                     g.vm->file.name, l->machines[k].line);
                        }
}

static const char *missing(const VmImport *l, char *const *names) {
        STRV_FOREACH(name, names) {
                bool found = false;

                for (size_t i = 0; i < l->n; i++)
                        found = found || streq(l->machines[i].file.name, *name);
                if (!found)
                        return *name;
        }
        return NULL;
}

int vmimport_read(const YamlNode *root, const char *path, const VmImportWish *w, ConfProblem problem,
                  void *userdata, VmImport *ret, const char **reterr) {
        const Reading g = { .path = path,
                            .w = w,
                            .problem = problem,
                            .userdata = userdata,
                            .network = yamldoc_find(root, "network") };
        _cleanup_(vmimport_done) VmImport l = {};
        bool found = false;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(lists) && r >= 0; i++) {
                const YamlNode *list = yamldoc_find(root, lists[i]);

                if (!list || list->kind == YAML_TEXT || list->kind == YAML_REFERENCE)
                        continue;
                found = true;
                r = read_list(&g, list, streq(lists[i], "services"), &l);
        }
        if (r < 0)
                return r;
        find_twins(&g, &l);
        if (!found)
                return -ENODATA;
        *reterr = missing(&l, w->names);
        if (*reterr)
                return -ENOENT;
        *ret = l;
        l = (VmImport){};
        return 0;
}
