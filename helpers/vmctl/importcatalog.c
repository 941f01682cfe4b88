/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Import-catalog: the virtual machines of an infrastructure catalog, kept for Proxmox, as files for
 * /etc/gpuvm/vms. Shown; or, with --output, written: all of them or none. */

#include "catalog.h"
#include "fs.h"
#include "gpuname.h"
#include "json.h"
#include "pci.h"
#include "problems.h"
#include "vmctl.h"
#include "vmimport.h"

/* A machine with the text that its file has. */
typedef struct Made {
        const VmImported *vm;
        char *text;       /* NULL: something is wrong with it */
        char *path, *was; /* its file; what was in it before; NULL: there was none */
        bool written;
} Made;

typedef struct Import {
        Context *c;
        const char *catalog; /* as it was named */
        const char *directory;
        bool quiet;
        int root;
        PciBus bus;
        Problems problems;
        VmImport read;
        Made *made;
} Import;

static void import_done(Import *m) {
        for (size_t i = 0; i < m->read.n && m->made; i++) {
                free(m->made[i].text);
                free(m->made[i].path);
                free(m->made[i].was);
        }
        free(m->made);
        vmimport_done(&m->read);
        problems_done(&m->problems);
        pci_bus_done(&m->bus);
        (void) safe_close(m->root);
}

/* In VmImportWish: where it is in this host, if there is one such card alone; or else its model. */
static int find_gpu(unsigned vendor, unsigned device, char **ret, void *userdata) {
        _cleanup_free_ char *modalias = NULL, *name = NULL;
        const Import *m = userdata;
        const PciDevice *found = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < m->bus.n; i++)
                if (m->bus.devices[i].vendor == vendor && m->bus.devices[i].device == device) {
                        found = &m->bus.devices[i];
                        n++;
                }
        if (n == 1) {
                *ret = strdup(found->name);
                return *ret ? 1 : -ENOMEM;
        }
        if (str_printf(&modalias, "pci:v%08Xd%08Xsv00000000sd00000000bc03sc00i00", vendor, device) < 0 ||
            gpuname_read(modalias, &name) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(name);
        return *ret != NULL;
}

/* "ubuntu-24.04" */
static int find_system(const char *word, const ImageRelease **ret) {
        _cleanup_free_ char *kind = word ? strndup(word, strcspn(word, "-")) : NULL;
        const char *version = word ? strchr(word, '-') : NULL;

        *ret = NULL;
        if (!word)
                return 0;
        if (!kind)
                return log_oom();
        if (version && image_kind_from_string(kind) >= 0)
                *ret = imagesource_release(image_kind_from_string(kind), version + 1);
        return *ret ? 0
                    : log_full_errno(LOG_ERR, EINVAL,
                                     "'%s' is nothing that machines are made from; --from=ubuntu-24.04 would be",
                                     word);
}

static int tell_reading(const Import *m, int r, const YamlError *error) {
        if (r == -ENOPKG)
                return log_error_errno(r, "libyaml is not installed. 'sudo apt install libyaml-0-2'");
        if (r == -ENOMEM)
                return log_oom();
        if (error->line > 0)
                log_error("%s:%u: %s", m->catalog, error->line, error->text);
        else
                log_error("%s: %s", m->catalog, error->text);
        return r;
}

static int read_catalog(Import *m, char *const *names) {
        VmImportWish w = { .names = names, .find_gpu = find_gpu, .userdata = m };
        _cleanup_yamldoc_ YamlNode *root = NULL;
        _cleanup_free_ char *data = NULL;
        const char *unknown = NULL;
        YamlError error = {};
        size_t size = 0;
        int r;

        r = find_system(vmctl_value(m->c, OPT_FROM), &w.system);
        if (r < 0)
                return r;
        r = vmctl_read_file(m->catalog, YAMLDOC_SIZE_MAX, &data, &size);
        if (r < 0)
                return log_error_errno(r, "Cannot read '%s': %m", m->catalog);
        r = yamldoc_parse(data, size, &root, &error);
        if (r < 0)
                return tell_reading(m, r, &error);
        r = vmimport_read(root, m->catalog, &w, problems_tell, &m->problems, &m->read, &unknown);
        if (r == -ENODATA)
                return log_error_errno(r,
                                       "%s: no machines are in it: neither 'services:' nor 'vms:' is there",
                                       m->catalog);
        if (r == -ENOENT)
                return log_error_errno(r, "%s: there is no virtual machine '%s' in it", m->catalog, unknown);
        return r < 0 ? log_oom() : 0;
}

/* What is said of a line of ours is said of the catalog's. */
typedef struct Again {
        Import *m;
        const VmImported *vm;
        const VmFile *file;
} Again;

static void tell_again(const char *file, unsigned line, const char *text, void *userdata) {
        _cleanup_free_ char *said = NULL;
        const Again *a = userdata;
        unsigned theirs = a->vm->line;

        for (VmKey k = 0; k < _VMKEY_MAX && line > 0; k++)
                if (a->file->lines[k] == line)
                        theirs = a->vm->file.lines[k];
        if (str_printf(&said, "%s: %s", a->vm->file.name, text) < 0)
                a->m->problems.failed = true;
        problems_tell(a->m->catalog, theirs, said ?: text, &a->m->problems);
}

/* A file is worth what 'vmctl validate' would say of it. */
static int check(Import *m, const VmImported *vm, const char *text) {
        _cleanup_(vmfile_done) VmFile file = { .name = strdup(vm->file.name) };
        Again a = { m, vm, &file };
        unsigned before = m->problems.n;
        int r;

        r = file.name ? vmfile_parse(&file, m->catalog, text, strlen(text), tell_again, &a) : -ENOMEM;
        if (r >= 0)
                r = vmfile_check(&file, tell_again, &a);
        if (r >= 0 && m->problems.n == before)
                r = validate_values(&file, tell_again, &a);
        return r < 0 ? r : m->problems.n == before;
}

static int make_text(Import *m, Made *made) {
        const VmImported *vm = made->vm;
        const char *slash = strrchr(m->catalog, '/'), *base = slash ? slash + 1 : m->catalog;
        _cleanup_free_ char *body = NULL, *text = NULL;
        int r;

        if (vm->file.n_problems > 0)
                return 0;
        r = vmfile_format(&vm->file, &body);
        if (r == -EINVAL) {
                problems_tell(m->catalog, vm->line, "a value has control characters, or blanks around it",
                              &m->problems);
                return 0;
        }
        if (r >= 0)
                r = str_printf(&text, "# %s.vm: %s%s%sof %s\n%s", vm->file.name, vm->id ? "VM " : "",
                               strempty(vm->id), vm->id ? " " : "", vmfile_fits(base) ? base : "a catalog",
                               body);
        if (r >= 0)
                r = check(m, vm, text);
        if (r > 0)
                made->text = TAKE_PTR(text);
        return r;
}

static void tell_notes(const Import *m, const VmImported *vm) {
        _cleanup_free_ char *ignored = strv_join(vm->ignored, ", ");

        STRV_FOREACH(note, vm->notes)
                log_info("%s: %s", vm->file.name, *note);
        if (!isempty(ignored))
                log_info("%s: without a meaning here, and ignored: %s", vm->file.name, ignored);
}

static int make_all(Import *m) {
        int r = 0;

        if (!m->quiet)
                STRV_FOREACH(text, m->read.left_out)
                        log_info("%s", *text);
        m->made = calloc(m->read.n + 1, sizeof(*m->made));
        if (!m->made)
                return log_oom();
        for (size_t i = 0; i < m->read.n && r >= 0; i++) {
                m->made[i].vm = &m->read.machines[i];
                r = make_text(m, &m->made[i]);
                if (!m->quiet)
                        tell_notes(m, m->made[i].vm);
        }
        return r < 0 ? log_oom() : 0;
}

/* Whether it may be written: 1; 0 where the same is in it already. */
static int look_at_file(Import *m, Made *i) {
        int r;

        if (str_printf(&i->path, "%s/%s.vm", m->directory, i->vm->file.name) < 0)
                return log_oom();
        r = fs_read(m->root, i->path, CATALOG_FILE_MAX, &i->was, NULL);
        if (r == -ENOENT)
                return 1;
        if (r < 0)
                return log_error_errno(r, "Cannot read '%s': %m. Nothing was written", i->path);
        if (streq(i->was, i->text))
                return 0;
        if (!vmctl_has(m->c, OPT_FORCE))
                return log_full_errno(
                                LOG_ERR, EEXIST,
                                "'%s' is there, and is another one: --force writes over it, or name the machines to import. Nothing was written",
                                i->path);
        return 1;
}

static void take_back(Import *m) {
        for (size_t k = 0; k < m->read.n; k++) {
                Made *i = &m->made[k];
                int r;

                if (!i->written)
                        continue;
                r = i->was ? fs_write_atomic(m->root, i->path, i->was, strlen(i->was), 0644)
                           : fs_remove(m->root, i->path);
                if (r < 0)
                        log_error_errno(r, "Cannot take '%s' back: %m. Remove it", i->path);
                i->written = false;
        }
}

static int write_all_files(Import *m) {
        bool dry = vmctl_has(m->c, OPT_DRY_RUN);
        int r = 0;

        for (size_t k = 0; k < m->read.n && r >= 0; k++) {
                r = look_at_file(m, &m->made[k]);
                m->made[k].written = r > 0;
        }
        for (size_t k = 0; k < m->read.n; k++) {
                Made *i = &m->made[k];
                bool wanted = r >= 0 && i->written;

                i->written = dry && wanted;
                if (dry || !wanted)
                        continue;
                r = fs_write_atomic(m->root, i->path, i->text, strlen(i->text), 0644);
                i->written = r >= 0;
                if (r < 0) {
                        log_error_errno(r, "Cannot write '%s': %m. Nothing was written", i->path);
                        take_back(m);
                }
        }
        return MIN(r, 0);
}

static int machine_to_json(const Made *i, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "name", i->vm->file.name) < 0 || json_add_text_or_null(o, "id", i->vm->id) < 0 ||
            json_add_text_or_null(o, "text", i->text) < 0 || json_add_text_or_null(o, "path", i->path) < 0 ||
            json_add(o, "changed", json_object_new_boolean(i->written)) < 0 ||
            json_add(o, "notes", json_new_list((const char *const *) i->vm->notes)) < 0 ||
            json_add(o, "ignored", json_new_list((const char *const *) i->vm->ignored)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

static int show_json(const Import *m) {
        json_object *machines = json_object_new_array();
        _cleanup_json_ json_object *all = json_object_new_object();
        int r = 0;

        for (size_t k = 0; k < m->read.n && r >= 0; k++) {
                json_object *o = NULL;

                r = machine_to_json(&m->made[k], &o);
                if (r >= 0)
                        r = json_append(machines, o);
        }
        if (json_add(all, "machines", machines) < 0 || r < 0 ||
            json_add(all, "left_out", json_new_list((const char *const *) m->read.left_out)) < 0 ||
            json_add(all, "problems", problems_to_json(&m->problems)) < 0)
                return log_oom();
        return json_print(all, stdout);
}

static void show(const Import *m) {
        bool first = true;

        for (size_t k = 0; k < m->read.n; k++) {
                const Made *i = &m->made[k];

                if (!i->text)
                        continue;
                if (!m->directory)
                        printf("%s%s", first ? "" : "\n", i->text);
                else if (m->quiet && i->written)
                        puts(i->vm->file.name);
                else if (!m->quiet)
                        printf("%s: %s\n", i->path,
                               !i->written                                    ? "as it was"
                                               : vmctl_has(m->c, OPT_DRY_RUN) ? "would be written"
                                                                              : "written");
                first = false;
        }
}

static int run(Import *m, char *const *names) {
        int r;

        r = pci_scan(m->root, &m->bus);
        if (r < 0)
                return log_error_errno(r, "Cannot look at this host's PCI devices: %m");
        r = read_catalog(m, names);
        if (r >= 0)
                r = make_all(m);
        if (r >= 0 && m->directory && m->problems.n == 0)
                r = write_all_files(m);
        if (r < 0)
                return r;
        if (vmctl_has(m->c, OPT_JSON))
                r = show_json(m);
        else if (m->problems.n == 0 || !m->directory)
                show(m);
        if (r >= 0 && m->problems.n > 0 && m->directory)
                log_error("Nothing was written: see above");
        return r < 0 ? r : m->problems.n > 0 ? VMCTL_FAILED : VMCTL_DONE;
}

int cmd_import_catalog(Context *c, char **args) {
        const char *directory = vmctl_value(c, OPT_ROOT);
        _cleanup_(import_done) Import m = { .c = c,
                                            .catalog = args[0],
                                            .directory = vmctl_value(c, OPT_OUTPUT),
                                            .quiet = vmctl_has(c, OPT_QUIET) || vmctl_has(c, OPT_JSON),
                                            .root = fs_open_root(directory) };

        if (m.directory && *m.directory != '/') {
                log_error("--output takes an absolute path, not '%s'; /etc/gpuvm/vms is where machines are declared",
                          m.directory);
                return VMCTL_USAGE;
        }
        if (m.root < 0)
                return log_error_errno(m.root, "Cannot open root directory '%s': %m", strempty(directory));
        return run(&m, args + 1);
}
