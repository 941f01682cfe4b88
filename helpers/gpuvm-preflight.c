/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-preflight: looks whether this machine can become a GPU passthrough host, and says what is in the way.
 *
 * Changes nothing but /run/gpuvm/facts.json, in which later phases and the user find what was seen. Exit
 * status 1 stops the bootstrap before its first change. */

#include "claims.h"
#include "conf.h"
#include "facts.h"
#include "findings.h"
#include "fs.h"
#include "json.h"
#include "known.h"
#include "nvidiacheck.h"
#include "phase.h"
#include "preflight.h"

#define FACTS_PATH RUN_DIR "/facts.json"

static void put_string(json_object *o, const char *key, const char *value) {
        json_object_object_add(o, key, value ? json_object_new_string(value) : NULL);
}

static void put_bool(json_object *o, const char *key, bool value) {
        json_object_object_add(o, key, json_object_new_boolean(value));
}

static void put_number(json_object *o, const char *key, uint64_t value) {
        json_object_object_add(o, key, json_object_new_uint64(value));
}

static void put_hex(json_object *o, const char *key, unsigned value, int digits) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%0*x", digits, value);
        put_string(o, key, text);
}

static void put_strings(json_object *o, const char *key, char *const *list) {
        json_object *a = json_object_new_array();

        STRV_FOREACH(s, list)
                json_object_array_add(a, json_object_new_string(*s));
        json_object_object_add(o, key, a);
}

static json_object *host_to_json(const Facts *f) {
        json_object *o = json_object_new_object();

        put_string(o, "distribution", f->os_id);
        put_string(o, "release", f->os_version);
        put_string(o, "machine", f->machine);
        put_string(o, "kernel", f->release);
        put_string(o, "container", f->container);
        put_bool(o, "virtual_machine", f->virtual_machine);
        put_string(o, "cpu_vendor", f->cpu_vendor);
        put_bool(o, "vmx", f->vmx);
        put_bool(o, "svm", f->svm);
        put_bool(o, "kvm", f->kvm_device);
        put_number(o, "memory_bytes", f->memory);
        put_bool(o, "efi", f->efi);
        put_string(o, "secure_boot", f->secure_boot < 0 ? NULL : f->secure_boot ? "on" : "off");
        put_string(o, "firmware_framebuffer", f->framebuffer);
        put_string(o, "iommu_firmware", f->iommu_firmware);
        put_number(o, "iommu_groups", f->iommu_groups);
        put_strings(o, "uplinks", f->uplinks);
        put_strings(o, "network_managers", f->network_managers);
        return o;
}

static json_object *kept_to_json(const KeepList *k) {
        json_object *a = json_object_new_array();

        for (size_t i = 0; i < k->n; i++) {
                json_object *o = json_object_new_object();
                char address[BDF_STRING_MAX];

                put_string(o, "address", bdf_format(k->items[i].bdf, address));
                put_string(o, "why", k->items[i].why);
                json_object_array_add(a, o);
        }
        return a;
}

static void put_verdict(json_object *o, const Facts *f, const Conf *c, const PciDevice *d) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        json_object *endpoints;

        if (iommu_group_check(&f->bus, d, f->keep.items, f->keep.n,
                              conf_gpu_accept_siblings(c, d->name, d->path), &v) < 0)
                return; /* no group yet: nothing is known */
        put_bool(o, "viable", v.viable);
        put_string(o, "blocker", v.blocker);
        put_string(o, "owner", v.owner->name);
        endpoints = json_object_new_array();
        for (size_t i = 0; i < v.n_endpoints; i++)
                json_object_array_add(endpoints, json_object_new_string(v.endpoints[i]->name));
        json_object_object_add(o, "endpoints", endpoints);
}

static json_object *gpu_to_json(const Facts *f, const Conf *c, const PciDevice *d) {
        json_object *o = json_object_new_object(), *bars = json_object_new_array();

        put_string(o, "address", d->name);
        put_string(o, "path", d->path);
        put_hex(o, "vendor", d->vendor, 4);
        put_hex(o, "device", d->device, 4);
        put_hex(o, "class", d->class, 6);
        put_string(o, "architecture", gpu_arch_to_string(gpu_arch_from_device_id(d->device)));
        put_string(o, "mode", gpu_mode_to_string(conf_gpu_mode(c, d->name, d->path)));
        put_string(o, "driver", d->driver);
        put_bool(o, "boot_vga", d->boot_vga);
        put_string(o, "reset_method", d->reset_method);
        for (size_t i = 0; i < ELEMENTSOF(d->bar_size); i++)
                json_object_array_add(bars, json_object_new_uint64(d->bar_size[i]));
        json_object_object_add(o, "bar_bytes", bars);
        json_object_object_add(o, "numa_node", d->numa_node < 0 ? NULL : json_object_new_int(d->numa_node));
        json_object_object_add(o, "iommu_group",
                               d->iommu_group < 0 ? NULL : json_object_new_int(d->iommu_group));
        put_verdict(o, f, c, d);
        return o;
}

static json_object *facts_to_json(const Facts *f, const Conf *c) {
        json_object *o = host_to_json(f), *gpus = json_object_new_array();

        for (size_t i = 0; i < f->bus.n; i++)
                if (pci_is_nvidia_gpu(&f->bus.devices[i]))
                        json_object_array_add(gpus, gpu_to_json(f, c, &f->bus.devices[i]));
        json_object_object_add(o, "gpus", gpus);
        json_object_object_add(o, "kept", kept_to_json(&f->keep));
        return o;
}

/* The table for people and dry runs; log lines, with their levels, for the journal. */
static void tell(const Phase *p, const Findings *l) {
        static const int levels[_FINDING_LEVEL_MAX] = { [FINDING_OK] = LOG_INFO,
                                                        [FINDING_SKIP] = LOG_INFO,
                                                        [FINDING_WARN] = LOG_WARNING,
                                                        [FINDING_FAIL] = LOG_ERR };

        if (p->json && p->dry_run)
                return;
        if (!p->json && (p->dry_run || isatty(STDOUT_FILENO))) {
                findings_print(l, stdout);
                return;
        }
        for (size_t i = 0; i < l->n; i++) {
                const Finding *x = &l->items[i];

                log_fields(levels[x->level], NULL, "%s: %s%s%s%s%s", x->check, strempty(x->object),
                           x->object ? ": " : "", x->text, x->remedy ? ". " : "", strempty(x->remedy));
        }
}

static int write_facts(Phase *p, json_object *facts) {
        const char *text = json_object_to_json_string_ext(facts, JSON_C_TO_STRING_PRETTY);
        int r;

        if (p->dry_run)
                return 0;
        r = fs_write_atomic(p->root, FACTS_PATH, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, "Run 'systemd-tmpfiles --create gpuvm.conf'.",
                                  "Cannot write " FACTS_PATH);
        return 0;
}

/* The sections of gpuvm.conf may be about cards that are elsewhere now. */
static int follow_cards(Phase *p, Conf *c, Findings *l) {
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        int r;

        r = c->vfio ? known_apply(p->root, c, &notes, &refusals) : 0;
        STRV_FOREACH(n, notes)
                if (r >= 0)
                        r = findings_add(l, FINDING_WARN, "gpu", NULL, NULL, "%s", *n);
        STRV_FOREACH(n, refusals)
                if (r >= 0)
                        r = findings_add(l, FINDING_FAIL, "gpu", NULL, KNOWN_REMEDY, "%s", *n);
        return r;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_(facts_done) Facts facts = {};
        _cleanup_(findings_done) Findings findings = {};
        _cleanup_json_ json_object *o = NULL;
        size_t failed;
        int r;

        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return log_oom();
        phase_status(p, "Looking at the machine");
        r = facts_read(p->root, &facts);
        if (r < 0)
                return phase_fail(p, r, "Run it as root, outside of a sandbox.",
                                  "Cannot read what this machine is made of");
        r = follow_cards(p, &conf, &findings);
        if (r >= 0)
                r = preflight_judge(&facts, &conf, &findings);
        if (r >= 0)
                r = nvidiacheck_add(p->root, &conf, &findings);
        if (r < 0)
                return log_oom();
        o = facts_to_json(&facts, &conf);
        json_object_object_add(o, "findings", findings_to_json(&findings));
        phase_result(p, "facts", json_object_get(o));
        tell(p, &findings);
        r = write_facts(p, o);
        if (r < 0)
                return r;
        failed = findings_count(&findings, FINDING_FAIL);
        if (failed > 0) {
                const Finding *first = findings_worst(&findings);

                return phase_fail(p, 0, strempty(first->remedy),
                                  "This machine cannot become a passthrough host (%zu %s in the way): %s%s%s",
                                  failed, failed == 1 ? "thing is" : "things are", strempty(first->object),
                                  first->object ? ": " : "", first->text);
        }
        return PHASE_OK;
}

static const Helper helper = {
        .name = "gpuvm-preflight",
        .summary = "Look whether this machine can become a GPU passthrough host. Changes nothing.",
        .run = run,
};

DEFINE_HELPER(helper)
