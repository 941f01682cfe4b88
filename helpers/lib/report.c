/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "fs.h"
#include "iommu.h"
#include "osrelease.h"
#include "phase.h"
#include "report.h"
#include "strv.h"

enum { RECORD_MAX = 4 * 1024 * 1024, CHANGES_SHOWN = 20, TEXT_SHOWN = 160 };

/* The bootstrap's order; verify is left out, because it is what writes the report. */
static const char *const phases[] = { "preflight", "packages", "nvidia", "kvm",    "iommu",
                                      "reboot",    "vfio",     "bridge", "storage" };

static const char *const check_results[_CHECK_MAX] = {
        [CHECK_OK] = "ok",
        [CHECK_SKIP] = "skip",
        [CHECK_WARN] = "warn",
        [CHECK_FAIL] = "fail",
};

const char *check_result_to_string(CheckResult r) {
        return check_results[r];
}

/* What is missing, or of another type, is NULL, "" or 0: records are files, and files get damaged. */
static json_object *get(json_object *o, const char *key, json_type type) {
        json_object *v = NULL;

        return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v) &&
                                        json_object_is_type(v, type)
                        ? v
                        : NULL;
}

static const char *get_string(json_object *o, const char *key) {
        return strempty(json_object_get_string(get(o, key, json_type_string)));
}

static size_t get_length(json_object *o, const char *key) {
        json_object *a = get(o, key, json_type_array);

        return a ? json_object_array_length(a) : 0;
}

static json_object *get_item(json_object *o, const char *key, size_t i) {
        return json_object_array_get_idx(get(o, key, json_type_array), i);
}

/* Adds, taking over the value; one that could not be made becomes null. */
static void set(json_object *o, const char *key, json_object *value) {
        (void) json_object_object_add(o, key, value);
}

static void set_string(json_object *o, const char *key, const char *s) {
        set(o, key, s ? json_object_new_string(s) : NULL);
}

static int read_json(int root, const char *path, json_object **ret) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, path, RECORD_MAX, &text, NULL);
        if (r < 0)
                return r;
        o = json_tokener_parse(text);
        if (!json_object_is_type(o, json_type_object))
                return -EBADMSG;
        *ret = TAKE_PTR(o);
        return 0;
}

int report_read(int root, json_object **ret) {
        return read_json(root, REPORT_PATH, ret);
}

/* A phase leaves a record of its last run in /run and of its last run that changed or failed in /var. The
 * first says how it stands, the second what it did to this machine. */
static int collect_phase(int root, const char *name, json_object *array) {
        _cleanup_json_ json_object *run = NULL, *state = NULL;
        _cleanup_free_ char *run_path = NULL, *state_path = NULL;
        json_object *o, *now, *did;

        if (str_printf(&run_path, RUN_DIR "/phases/%s.json", name) < 0 ||
            str_printf(&state_path, STATE_DIR "/phases/%s.json", name) < 0)
                return -ENOMEM;
        if (read_json(root, run_path, &run) < 0)
                run = NULL;
        if (read_json(root, state_path, &state) < 0)
                state = NULL;
        if (!run && !state)
                return 0;
        now = run ?: state;
        did = state && get_length(now, "changes") == 0 ? state : now;
        o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        set_string(o, "phase", name);
        set_string(o, "result", get_string(now, "result"));
        set(o, "took_ms", json_object_get(get(did, "took_ms", json_type_int)));
        set(o, "changes", json_object_get(get(did, "changes", json_type_array)));
        set(o, "notes", json_object_get(get(now, "notes", json_type_array)));
        if (get(now, "failure", json_type_string))
                set_string(o, "failure", get_string(now, "failure"));
        (void) json_object_array_add(array, o);
        return 0;
}

/* Every endpoint of the GPU's group, or just itself where there is no group. */
static json_object *collect_group(const PciBus *bus, const PciDevice *gpu) {
        json_object *array = json_object_new_array();
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        bool alone = iommu_group_check(bus, gpu, NULL, 0, NULL, &v) < 0;

        for (size_t i = 0; array && i < (alone ? 1 : v.n_members); i++) {
                const PciDevice *d = alone ? gpu : v.members[i];
                json_object *o;

                if (d != gpu && pci_is_bridge(d))
                        continue;
                o = json_object_new_object();
                if (!o)
                        break;
                set_string(o, "address", d->name);
                set_string(o, "driver", d->driver);
                (void) json_object_array_add(array, o);
        }
        return array;
}

static int collect_gpu(const Conf *c, const PciBus *bus, const PciDevice *d, json_object *array) {
        char id[sizeof("ffff:ffff")];
        json_object *o = json_object_new_object();

        if (!o)
                return -ENOMEM;
        (void) snprintf(id, sizeof(id), "%04x:%04x", d->vendor, d->device);
        set_string(o, "address", d->name);
        set_string(o, "path", d->path);
        set_string(o, "id", id);
        set_string(o, "architecture", gpu_arch_to_string(gpu_arch_from_device_id(d->device)));
        set_string(o, "mode", gpu_mode_to_string(conf_gpu_mode(c, d->name, strempty(d->path))));
        set_string(o, "driver", d->driver);
        set(o, "iommu_group", d->iommu_group < 0 ? NULL : json_object_new_int(d->iommu_group));
        set(o, "group", collect_group(bus, d));
        (void) json_object_array_add(array, o);
        return 0;
}

static json_object *collect_host(int root) {
        _cleanup_free_ char *system = NULL, *kernel = NULL;
        json_object *o = json_object_new_object();

        if (osrelease_get(root, "PRETTY_NAME", &system) < 0)
                system = NULL;
        if (fs_read_line(root, "/proc/sys/kernel/osrelease", &kernel) < 0)
                kernel = NULL;
        set_string(o, "system", system);
        set_string(o, "kernel", kernel);
        return o;
}

static json_object *collect_iommu(int root) {
        json_object *o = json_object_new_object();
        const char *firmware = NULL;
        size_t groups = 0;

        if (iommu_count_groups(root, &groups) < 0)
                groups = 0;
        if (iommu_firmware(root, &firmware) < 0)
                firmware = NULL;
        set(o, "groups", json_object_new_int64((int64_t) groups));
        set_string(o, "firmware", firmware);
        return o;
}

int report_collect(int root, const Conf *c, const PciBus *bus, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        json_object *array = json_object_new_array(), *gpus = json_object_new_array();
        int r = 0;

        if (!o || !array || !gpus) {
                json_object_put(array);
                json_object_put(gpus);
                return -ENOMEM;
        }
        set_string(o, "version", GPUVM_VERSION);
        set(o, "host", collect_host(root));
        set(o, "phases", array);
        set(o, "iommu", collect_iommu(root));
        set(o, "gpus", gpus);
        set(o, "checks", json_object_new_array());
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(phases); i++)
                r = collect_phase(root, phases[i], array);
        for (size_t i = 0; r >= 0 && i < bus->n; i++)
                if (pci_is_nvidia_gpu(&bus->devices[i]))
                        r = collect_gpu(c, bus, &bus->devices[i], gpus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

int report_add_check(json_object *report, const char *name, CheckResult result, const char *remedy,
                     const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        json_object *o;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        set_string(o, "check", name);
        set_string(o, "result", check_result_to_string(result));
        set_string(o, "text", text);
        if (remedy)
                set_string(o, "remedy", remedy);
        if (json_object_array_add(get(report, "checks", json_type_array), o) == 0)
                return 0;
        json_object_put(o);
        return -ENOMEM;
}

CheckResult report_worst(json_object *report) {
        CheckResult worst = CHECK_OK;

        for (size_t i = 0; i < get_length(report, "checks"); i++)
                for (CheckResult r = worst; r < _CHECK_MAX; r++)
                        if (r != CHECK_SKIP &&
                            streq(get_string(get_item(report, "checks", i), "result"), check_results[r]))
                                worst = r;
        return worst;
}

int report_texts(json_object *report, CheckResult result, char ***ret, const char **ret_remedy) {
        _cleanup_strv_ char **l = NULL;
        const char *remedy = "";

        for (size_t i = 0; i < get_length(report, "checks"); i++) {
                json_object *c = get_item(report, "checks", i);

                if (!streq(get_string(c, "result"), check_results[result]))
                        continue;
                if (!*remedy)
                        remedy = get_string(c, "remedy");
                if (strv_extend(&l, get_string(c, "text")) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        *ret_remedy = remedy;
        return 0;
}

/* What came from a file may hold anything; a line of ours stays one line. */
static void put_text(FILE *f, const char *s, size_t max) {
        size_t n = 0;

        for (; *s && n < max; s++, n++)
                fputc((unsigned char) *s < 0x20 || *s == 0x7f ? '?' : *s, f);
        if (*s)
                fputs("...", f);
}

/* A column: cut or filled to the width. */
static void put_column(FILE *f, const char *s, int width) {
        _cleanup_free_ char *cut = strndup(s, (size_t) width);

        put_text(f, strempty(cut), (size_t) width);
        fprintf(f, "%*s", width - (int) strlen(strempty(cut)), "");
}

static void print_phase(json_object *p, FILE *f) {
        size_t n = get_length(p, "changes");
        double sec = (double) json_object_get_int64(get(p, "took_ms", json_type_int)) / 1000;

        fputs("  ", f);
        put_column(f, get_string(p, "phase"), 11);
        put_column(f, get_string(p, "result"), 15);
        fprintf(f, "%8.1f s", sec);
        fprintf(f, n == 0 ? "  nothing changed\n" : n == 1 ? "  1 change\n" : "  %zu changes\n", n);
        for (size_t i = 0; i < MIN(n, (size_t) CHANGES_SHOWN); i++) {
                json_object *c = get_item(p, "changes", i);
                const char *detail = get_string(c, "detail");

                fputs("      ", f);
                put_text(f, get_string(c, "action"), TEXT_SHOWN);
                fputc(' ', f);
                put_text(f, get_string(c, "object"), TEXT_SHOWN);
                if (*detail) {
                        fputs(": ", f);
                        put_text(f, detail, TEXT_SHOWN);
                }
                fputc('\n', f);
        }
        if (n > CHANGES_SHOWN)
                fprintf(f, "      and %zu more\n", n - CHANGES_SHOWN);
        if (*get_string(p, "failure")) {
                fputs("      ", f);
                put_text(f, get_string(p, "failure"), 4 * TEXT_SHOWN);
                fputc('\n', f);
        }
}

static const char *driver_of(json_object *o) {
        const char *d = get_string(o, "driver");

        return *d ? d : "no driver";
}

static void print_gpu(json_object *g, FILE *f) {
        json_object *group = get(g, "iommu_group", json_type_int);

        fputs("  ", f);
        put_text(f, get_string(g, "address"), TEXT_SHOWN);
        fputs("  ", f);
        put_text(f, get_string(g, "id"), TEXT_SHOWN);
        fputc(' ', f);
        put_text(f, get_string(g, "architecture"), TEXT_SHOWN);
        fputs(", ", f);
        put_text(f, get_string(g, "mode"), TEXT_SHOWN);
        fputs(", ", f);
        put_text(f, driver_of(g), TEXT_SHOWN);
        if (group)
                fprintf(f, ", IOMMU group %d\n", json_object_get_int(group));
        else
                fputs(", no IOMMU group\n", f);
        for (size_t i = 0; i < get_length(g, "group"); i++) {
                json_object *d = get_item(g, "group", i);

                if (streq(get_string(d, "address"), get_string(g, "address")))
                        continue;
                fputs("      ", f);
                put_text(f, get_string(d, "address"), TEXT_SHOWN);
                fputs("  ", f);
                put_text(f, driver_of(d), TEXT_SHOWN);
                fputc('\n', f);
        }
}

static void print_check(json_object *c, FILE *f) {
        const char *remedy = get_string(c, "remedy");

        fputs("  ", f);
        put_column(f, get_string(c, "result"), 6);
        put_column(f, get_string(c, "check"), 11);
        put_text(f, get_string(c, "text"), 4 * TEXT_SHOWN);
        fputc('\n', f);
        if (*remedy) {
                fputs("                   ", f);
                put_text(f, remedy, 4 * TEXT_SHOWN);
                fputc('\n', f);
        }
}

void report_print(json_object *report, FILE *f) {
        static const struct {
                const char *key, *title;
                void (*print)(json_object *o, FILE *f);
        } sections[] = {
                { "phases", "Phases", print_phase },
                { "gpus", "GPUs", print_gpu },
                { "checks", "Checks", print_check },
        };
        json_object *host = get(report, "host", json_type_object),
                    *iommu = get(report, "iommu", json_type_object),
                    *ready = get(report, "ready", json_type_boolean);
        int64_t groups;
        const char *verdict = "Not ready: see the checks that fail";

        fputs("gpuvm ", f);
        put_text(f, get_string(report, "version"), TEXT_SHOWN);
        fputs(": ", f);
        put_text(f, get_string(host, "system"), TEXT_SHOWN);
        fputs(", kernel ", f);
        put_text(f, get_string(host, "kernel"), TEXT_SHOWN);
        if (!ready)
                verdict = "Not verified yet";
        else if (json_object_get_boolean(ready))
                verdict = "Ready for GPU VMs";
        fprintf(f, "\n%s\n", verdict);
        groups = json_object_get_int64(get(iommu, "groups", json_type_int));
        fprintf(f, "IOMMU: %lld group%s\n", (long long) groups, groups == 1 ? "" : "s");
        for (size_t s = 0; s < ELEMENTSOF(sections); s++) {
                if (get_length(report, sections[s].key) > 0)
                        fprintf(f, "%s:\n", sections[s].title);
                for (size_t i = 0; i < get_length(report, sections[s].key); i++)
                        sections[s].print(get_item(report, sections[s].key, i), f);
        }
}
