/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "fs.h"
#include "iommu.h"
#include "osrelease.h"
#include "phase.h"
#include "report.h"
#include "strv.h"

enum { RECORD_MAX = 4 * 1024 * 1024 };

/* How long it may take where nothing is in its way, with a mirror that is near: the driver, all else, and
 * all. */
#define DRIVER_PHASE         "nvidia"
#define LIMIT_DRIVER_MSEC    INT64_C(600000)
#define LIMIT_PROVISION_MSEC INT64_C(600000)
#define LIMIT_ALL_MSEC       INT64_C(1800000)

/* The bootstrap's order; verify is left out, because it is what writes the report. */
static const char *const phases[] = { "preflight", "packages", DRIVER_PHASE, "kvm",    "iommu",
                                      "reboot",    "vfio",     "bridge",     "storage" };

static const char *const check_results[_CHECK_MAX] = {
        [CHECK_OK] = "ok",
        [CHECK_SKIP] = "skip",
        [CHECK_WARN] = "warn",
        [CHECK_FAIL] = "fail",
};

const char *check_result_to_string(CheckResult r) {
        return check_results[r];
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
        did = state && json_length(now, "changes") == 0 ? state : now;
        o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        set_string(o, "phase", name);
        set_string(o, "result", json_text(now, "result"));
        set(o, "took_ms", json_object_get(json_member(did, "took_ms", json_type_int)));
        if (streq(name, DRIVER_PHASE))
                set(o, "limit_ms", json_object_new_int64(LIMIT_DRIVER_MSEC));
        set(o, "changes", json_object_get(json_member(did, "changes", json_type_array)));
        set(o, "notes", json_object_get(json_member(now, "notes", json_type_array)));
        if (json_member(now, "failure", json_type_string))
                set_string(o, "failure", json_text(now, "failure"));
        (void) json_object_array_add(array, o);
        return 0;
}

/* What the phases took together, but for one, restarts left out. */
static json_object *collect_time(json_object *array, const char *but, int64_t limit) {
        json_object *o = json_object_new_object();
        int64_t sum = 0;

        for (size_t i = 0; i < json_object_array_length(array); i++) {
                json_object *p = json_object_array_get_idx(array, i);

                if (!streq(json_text(p, "phase"), but))
                        sum += json_object_get_int64(json_member(p, "took_ms", json_type_int));
        }
        set(o, "took_ms", json_object_new_int64(sum));
        set(o, "limit_ms", json_object_new_int64(limit));
        return o;
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
        set(o, "provisioning", collect_time(array, DRIVER_PHASE, LIMIT_PROVISION_MSEC));
        set(o, "all_phases", collect_time(array, "", LIMIT_ALL_MSEC));
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
        if (json_object_array_add(json_member(report, "checks", json_type_array), o) == 0)
                return 0;
        json_object_put(o);
        return -ENOMEM;
}

int report_add_findings(json_object *report, const Findings *f) {
        static const CheckResult results[_FINDING_LEVEL_MAX] = { [FINDING_OK] = CHECK_OK,
                                                                 [FINDING_SKIP] = CHECK_SKIP,
                                                                 [FINDING_WARN] = CHECK_WARN,
                                                                 [FINDING_FAIL] = CHECK_FAIL };
        int r = 0;

        for (size_t i = 0; i < f->n && r >= 0; i++) {
                const Finding *x = &f->items[i];

                r = report_add_check(report, x->check, results[x->level], x->remedy, "%s", x->text);
        }
        return r;
}

CheckResult report_worst(json_object *report) {
        CheckResult worst = CHECK_OK;

        for (size_t i = 0; i < json_length(report, "checks"); i++)
                for (CheckResult r = worst; r < _CHECK_MAX; r++)
                        if (r != CHECK_SKIP &&
                            streq(json_text(json_item(report, "checks", i), "result"), check_results[r]))
                                worst = r;
        return worst;
}

int report_texts(json_object *report, CheckResult result, char ***ret, const char **ret_remedy) {
        _cleanup_strv_ char **l = NULL;
        const char *remedy = "";

        for (size_t i = 0; i < json_length(report, "checks"); i++) {
                json_object *c = json_item(report, "checks", i);

                if (!streq(json_text(c, "result"), check_results[result]))
                        continue;
                if (!*remedy)
                        remedy = json_text(c, "remedy");
                if (strv_extend(&l, json_text(c, "text")) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        *ret_remedy = remedy;
        return 0;
}
