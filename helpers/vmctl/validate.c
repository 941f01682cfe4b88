/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Validate: mistakes in the machines that are declared in /etc/gpuvm/vms. */

#include "catalog.h"
#include "fs.h"
#include "json.h"
#include "planvm.h"
#include "problems.h"
#include "vmctl.h"
#include "vmdiff.h"
#include "vmkind.h"

/* "--cpus" is Cpus= here. */
static VmKey find_option(const char *word, size_t n) {
        VmKey k = 0;

        while (k < _VMKEY_MAX &&
               !(vmkey_rows[k].option && strlen(vmkey_rows[k].option) == n &&
                 strncmp(vmkey_rows[k].option, word, n) == 0))
                k++;
        return k;
}

/* ret_key: the first that it is about, or _VMKEY_MAX. */
static int name_keys(const char *text, char **ret, VmKey *ret_key) {
        _cleanup_strv_ char **parts = NULL;
        const char *option;
        int r = 0;

        *ret_key = _VMKEY_MAX;
        while (r >= 0 && (option = strstr(text, "--"))) {
                size_t n = strspn(option + 2, "abcdefghijklmnopqrstuvwxyz-");
                VmKey k = find_option(option + 2, n);

                r = strv_extendf(&parts, "%.*s%s=", (int) (option - text), text,
                                 k < _VMKEY_MAX ? vmkey_rows[k].name : "");
                if (*ret_key == _VMKEY_MAX)
                        *ret_key = k;
                text = option + 2 + n;
                text += *text == '=';
        }
        if (r >= 0)
                r = strv_extend(&parts, text);
        if (r < 0)
                return r;
        *ret = strv_join(parts, "");
        return *ret ? 0 : -ENOMEM;
}

/* The key with the value that the sentence is about: "'VALUE' is no ...". */
static VmKey find_value(const VmFile *f, const char *said) {
        for (VmKey k = 0; k < _VMKEY_MAX; k++) {
                const char *value = vmfile_value(f, k), *rest = startswith(said, "'");

                rest = value && rest ? startswith(rest, value) : NULL;
                if (rest && *rest == '\'')
                        return k;
        }
        return _VMKEY_MAX;
}

int validate_values(const VmFile *f, ConfProblem problem, void *userdata) {
        const VmWish w = vmdiff_wish(f);
        _cleanup_free_ char *said = NULL, *text = NULL;
        VmFilePlace place = {};
        VmKey k;
        int r;

        r = vmplan_check(&w, &said);
        if (r >= 0)
                r = vmkind_check(f, &said);
        if (r >= 0 || !said)
                return r;
        r = name_keys(said, &text, &k);
        if (r < 0)
                return r;
        if (k == _VMKEY_MAX)
                k = find_value(f, said);
        if (k < _VMKEY_MAX)
                place = vmfile_place(f, k);
        problem(place.file ?: f->files[0], place.line, text, userdata);
        return 0;
}

static int show_json(json_object *all, const VmFile *f, const Problems *p) {
        json_object *o = json_object_new_object(), *files = json_object_new_array();
        int r = 0;

        STRV_FOREACH(path, f->files)
                if (r >= 0)
                        r = json_append(files, json_object_new_string(*path));
        if (json_add_text(o, "name", f->name) < 0 ||
            json_add(o, "valid", json_object_new_boolean(p->n == 0)) < 0)
                r = -ENOMEM;
        if (json_add(o, "files", files) < 0 || json_add(o, "problems", problems_to_json(p)) < 0)
                r = -ENOMEM;
        if (r < 0) {
                (void) json_object_put(o);
                return -ENOMEM;
        }
        return json_append(all, o);
}

/* A name, or a file that is not in its place yet. Returns 1, or 0 if there is none. */
static int read_one(int root, const char *word, Problems *p, VmFile *f) {
        _cleanup_free_ char *data = NULL;
        const char *slash = strrchr(word, '/');
        size_t size = 0;
        int r;

        if (!slash)
                return catalog_read(root, word, problems_tell, p, f);
        f->name = strndup(slash + 1, strlen(slash + 1) - (endswith(word, ".vm") ? strlen(".vm") : 0));
        r = f->name ? vmctl_read_file(word, CATALOG_FILE_MAX, &data, &size) : -ENOMEM;
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = vmfile_parse(f, word, data, size, problems_tell, p);
        return r < 0 ? r : vmfile_check(f, problems_tell, p) < 0 ? -ENOMEM : 1;
}

/* listed: nobody named it, and it may be masked. Returns 1 if all is well, 0 after messages. */
static int validate(Context *c, int root, const char *word, bool listed, VmFile *f, json_object *all) {
        _cleanup_(problems_done) Problems p = {};
        int r;

        r = read_one(root, word, &p, f);
        if (r == 0 && listed)
                return 1;
        if (r == 0)
                return log_full_errno(LOG_ERR, ENOENT, "No machine '%s' is declared in /etc/gpuvm/vms", word);
        if (r >= 0 && p.n == 0)
                r = validate_values(f, problems_tell, &p);
        if (r >= 0 && vmctl_has(c, OPT_JSON))
                r = show_json(all, f, &p);
        if (r < 0)
                return log_error_errno(r, "Cannot read '%s': %m", word);
        if (p.n == 0 && !vmctl_has(c, OPT_JSON) && !vmctl_has(c, OPT_QUIET))
                printf("%s: valid\n", f->name);
        return p.n == 0;
}

/* Those that want the same GPU at boot, as the generator sees them. Returns how many, or -errno. */
static int validate_together(int root, const Catalog *catalog) {
        _cleanup_(problems_done) Problems p = {};
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_(plan_done) Plan plan = {};
        int r = 0;

        if (planvm_needs_bus(catalog))
                r = pci_scan(root, &bus);
        if (r >= 0)
                r = planvm_add(&plan, catalog, &bus, problems_tell, &p);
        return r < 0 ? log_error_errno(r, "Cannot look at the machines together: %m") : (int) p.n;
}

/* Returns how many are not valid, or -errno. listed: all that there are, which are looked at together too. */
static int validate_all(Context *c, int root, char **words, bool listed, json_object *all) {
        _cleanup_(catalog_done) Catalog catalog = { .files = calloc(strv_length(words) + 1, sizeof(VmFile)) };
        int r, n_bad = 0;

        if (!catalog.files)
                return log_oom();
        STRV_FOREACH(word, words) {
                VmFile *f = &catalog.files[catalog.n];

                r = validate(c, root, *word, listed, f, all);
                catalog.n += !!f->name;
                if (r < 0)
                        return r;
                n_bad += r == 0;
        }
        r = listed ? validate_together(root, &catalog) : 0;
        return r < 0 ? r : n_bad + r;
}

int cmd_validate(Context *c, char **args) {
        _cleanup_json_ json_object *all = json_object_new_array();
        _cleanup_close_ int root = fs_open_root(vmctl_value(c, OPT_ROOT));
        _cleanup_strv_ char **names = NULL;
        int r, n_bad;

        if (root < 0)
                return log_error_errno(root, "Cannot open root directory '%s': %m",
                                       strempty(vmctl_value(c, OPT_ROOT)));
        if (!args[0] && catalog_names(root, NULL, NULL, &names) < 0)
                return log_oom();
        n_bad = validate_all(c, root, args[0] ? args : names, !args[0], all);
        r = n_bad >= 0 && vmctl_has(c, OPT_JSON) ? json_print(all, stdout) : 0;
        return n_bad < 0 ? n_bad : r < 0 ? r : n_bad > 0 ? VMCTL_FAILED : VMCTL_DONE;
}
