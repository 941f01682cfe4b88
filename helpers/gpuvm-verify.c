/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-verify: looks whether the machine is what the configuration asks for, writes the report, and ends the
 * story of the bootstrap.
 *
 * Believes no record: groups and drivers are read from sysfs, libvirt is asked. What was turned off is
 * skipped, what only makes VMs slower is a warning. */

#include <time.h>

#include "computecheck.h"
#include "fs.h"
#include "iommu.h"
#include "journal.h"
#include "keep.h"
#include "known.h"
#include "kvmcheck.h"
#include "netcheck.h"
#include "phase.h"
#include "reboot.h"
#include "report.h"
#include "virt.h"

#define VFIO_HINT    "Start gpuvm-vfio.service and see 'journalctl -u gpuvm-vfio.service'."
#define LIBVIRT_HINT "See 'systemctl status libvirtd' and start gpuvm-kvm.service."
#define STORAGE_HINT "Start gpuvm-storage.service and see 'journalctl -u gpuvm-storage.service'."

static int check_iommu(Phase *p, const Conf *c, json_object *report) {
        size_t groups = 0;
        int r;

        if (!c->vfio)
                return report_add_check(report, "iommu", CHECK_SKIP, NULL, "Vfio=no");
        r = iommu_count_groups(p->root, &groups);
        if (r < 0)
                groups = 0;
        if (groups == 0)
                return report_add_check(
                                report, "iommu", CHECK_FAIL,
                                "Start gpuvm-bootstrap.target; if that does not help, turn VT-d or AMD-Vi "
                                "on in the firmware.",
                                "There are no IOMMU groups");
        return report_add_check(report, "iommu", CHECK_OK, NULL, "%zu group%s", groups,
                                groups == 1 ? "" : "s");
}

static bool is_vfio_driver(const char *driver) {
        /* vfio-pci and the variants: mlx5_vfio_pci, nvgrace_gpu_vfio_pci, ... */
        return driver && strstr(driver, "vfio");
}

/* "0000:01:00.1 (snd_hda_intel), ..." of the endpoints that no VFIO driver has; "" if all are well. */
static char *list_strays(const IommuVerdict *v) {
        _cleanup_strv_ char **l = NULL;

        for (size_t i = 0; i < v->n_endpoints; i++) {
                const PciDevice *d = v->endpoints[i];

                if (!is_vfio_driver(d->driver) &&
                    strv_extendf(&l, "%s (%s)", d->name, d->driver ?: "no driver") < 0)
                        return NULL;
        }
        return strv_join(l, ", ");
}

static int check_exclusive(const PciDevice *gpu, const IommuVerdict *v, json_object *report) {
        _cleanup_free_ char *strays = list_strays(v);

        if (!strays)
                return -ENOMEM;
        if (*strays)
                return report_add_check(report, "vfio", CHECK_FAIL, VFIO_HINT,
                                        "GPU %s is exclusive, but not on VFIO: %s%s%s", gpu->name, strays,
                                        v->viable ? "" : "; ", v->viable ? "" : strempty(v->blocker));
        if (!v->viable)
                return report_add_check(report, "vfio", CHECK_FAIL, VFIO_HINT,
                                        "GPU %s cannot be given to a VM: %s", gpu->name,
                                        strempty(v->blocker));
        return report_add_check(report, "vfio", CHECK_OK, NULL,
                                "GPU %s is on %s with all %zu functions of its IOMMU group", gpu->name,
                                strna(gpu->driver), v->n_endpoints);
}

static int check_flexible(const PciDevice *gpu, const IommuVerdict *v, json_object *report) {
        if (!v->viable)
                return report_add_check(
                                report, "vfio", CHECK_WARN,
                                "Another slot may have a group of its own; see gpuvm.conf(5), AcceptSiblings=.",
                                "GPU %s cannot be given to a VM: %s", gpu->name, strempty(v->blocker));
        return report_add_check(report, "vfio", CHECK_OK, NULL, "GPU %s can be given to a VM (now on %s)",
                                gpu->name, gpu->driver ?: "no driver");
}

static int check_gpu(const Conf *c, const PciBus *bus, const KeepList *keep, const PciDevice *gpu,
                     json_object *report) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        const char *path = strempty(gpu->path);
        int r;

        r = iommu_group_check(bus, gpu, keep->items, keep->n, conf_gpu_accept_siblings(c, gpu->name, path),
                              &v);
        if (r == -ENODEV)
                return report_add_check(report, "vfio", CHECK_FAIL, "Start gpuvm-bootstrap.target.",
                                        "GPU %s is in no IOMMU group", gpu->name);
        if (r < 0)
                return r;
        return conf_gpu_mode(c, gpu->name, path) == GPU_EXCLUSIVE ? check_exclusive(gpu, &v, report)
                                                                  : check_flexible(gpu, &v, report);
}

static int check_gpus(Phase *p, const Conf *c, const PciBus *bus, json_object *report) {
        _cleanup_(keep_done) KeepList keep = {};
        size_t n = 0;
        int r;

        if (!c->vfio)
                return report_add_check(report, "vfio", CHECK_SKIP, NULL, "Vfio=no");
        r = keep_find(p->root, bus, &keep);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                r = report_add_check(report, "vfio", CHECK_WARN, NULL,
                                     "What the host itself needs could not be found out: %s", strerror(-r));
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < bus->n; i++) {
                if (!pci_is_nvidia_gpu(&bus->devices[i]))
                        continue;
                r = check_gpu(c, bus, &keep, &bus->devices[i], report);
                if (r < 0)
                        return r;
                n++;
        }
        return n > 0 ? 0
                     : report_add_check(report, "vfio", CHECK_WARN, "See 'lspci -nn'.",
                                        "There is no NVIDIA GPU in this machine");
}

static int check_object(Virt *v, VirtKind kind, const char *name, json_object *report) {
        const char *what = virt_kind_to_string(kind);
        VirtState s;
        int r;

        r = virt_state(v, kind, name, &s);
        if (r < 0)
                return report_add_check(report, what, CHECK_FAIL, LIBVIRT_HINT, "%s", virt_message(v));
        if (!s.active)
                return report_add_check(report, what, CHECK_FAIL, STORAGE_HINT, "%s '%s' is not active", what,
                                        name);
        if (!s.autostart)
                return report_add_check(report, what, CHECK_FAIL, STORAGE_HINT,
                                        "%s '%s' does not start at boot", what, name);
        return report_add_check(report, what, CHECK_OK, NULL, "'%s' is active and starts at boot", name);
}

/* nat: VMs use libvirt's own network. */
static int check_connection(Virt *v, const Conf *c, bool nat, json_object *report) {
        unsigned long version;
        unsigned running;
        int r;

        if (virt_version(v, &version) < 0 || virt_count_running(v, &running) < 0)
                return report_add_check(report, "libvirt", CHECK_FAIL, LIBVIRT_HINT, "%s", virt_message(v));
        r = report_add_check(report, "libvirt", CHECK_OK, NULL,
                             "libvirt %lu.%lu.%lu answers, %u VM%s running", version / 1000000,
                             version / 1000 % 1000, version % 1000, running, running == 1 ? "" : "s");
        if (r >= 0)
                r = check_object(v, VIRT_POOL, c->pool, report);
        if (r >= 0 && nat)
                r = check_object(v, VIRT_NETWORK, "default", report);
        return r;
}

static int check_libvirt(Phase *p, const Conf *c, bool nat, json_object *report) {
        _cleanup_(virt_closep) Virt *v = NULL;
        _cleanup_free_ char *message = NULL;
        int r;

        if (!c->kvm)
                return report_add_check(report, "libvirt", CHECK_SKIP, NULL, "Kvm=no");
        r = kvmcheck_add(p->root, report);
        if (r < 0)
                return r;
        phase_status(p, "Asking libvirt");
        r = virt_open_root(p->root, &v, &message);
        if (r == -ENOMEM)
                return r;
        if (r == -ENOTCONN)
                return report_add_check(report, "libvirt", CHECK_SKIP, NULL, "%s", strna(message));
        if (r == -EACCES && p->dry_run)
                return report_add_check(report, "libvirt", CHECK_WARN, "Ask again as root.", "%s",
                                        strna(message));
        if (r < 0)
                return report_add_check(report, "libvirt", CHECK_FAIL, LIBVIRT_HINT, "%s", strna(message));
        return check_connection(v, c, nat, report);
}

static int write_report(Phase *p, json_object *report, bool ready) {
        char now[sizeof("YYYY-MM-DDTHH:MM:SSZ")];
        const char *text;
        struct tm tm;
        time_t t = time(NULL);
        int r;

        (void) strftime(now, sizeof(now), "%FT%TZ", gmtime_r(&t, &tm));
        (void) json_object_object_add(report, "time", json_object_new_string(now));
        (void) json_object_object_add(report, "ready", json_object_new_boolean(ready));
        if (p->dry_run)
                return 0;
        text = json_object_to_json_string_ext(report,
                                              JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        r = text ? fs_write_atomic(p->root, REPORT_PATH, text, strlen(text), 0644) : -ENOMEM;
        return r < 0 ? phase_fail(p, r, "See that " STATE_DIR " can be written.", "Cannot write '%s'",
                                  REPORT_PATH)
                     : 0;
}

/* Who logs in shall see how it stands, until the bootstrap is done. */
static void tell_login(Phase *p, json_object *report) {
        _cleanup_free_ char *page = NULL;
        int r;

        if (p->dry_run)
                return;
        r = report_page(report, &page);
        if (r >= 0)
                r = reboot_motd(p->root, page);
        if (r < 0)
                log_warning_errno(r, "Failed to write the login message, ignoring: %m");
}

/* Warnings become notes; what fails is told once, with the remedy of the first. */
static int conclude(Phase *p, json_object *report) {
        _cleanup_strv_ char **warnings = NULL, **failures = NULL;
        _cleanup_free_ char *list = NULL;
        const char *remedy;

        if (report_texts(report, CHECK_WARN, &warnings, &remedy) < 0 ||
            report_texts(report, CHECK_FAIL, &failures, &remedy) < 0)
                return log_oom();
        STRV_FOREACH(w, warnings)
                phase_note(p, "%s", *w);
        if (!failures)
                return 0;
        list = strv_join(failures, "; ");
        return phase_fail(p, 0, remedy, "Not ready for GPU VMs: %s", strna(list));
}

static int finish(Phase *p) {
        int r;

        if (p->dry_run)
                return 0;
        r = reboot_story_end(p->root);
        if (r < 0)
                return phase_fail(p, r, "Remove /var/lib/gpuvm/pending.",
                                  "Cannot end the story of the bootstrap");
        log_fields(LOG_INFO, (const char *const[]){ EVENT_BOOTSTRAP_DONE, NULL },
                   "Ready for GPU VMs; the report is in %s", REPORT_PATH);
        return 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_json_ json_object *report = NULL;
        _cleanup_(conf_done) Conf c = {};
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_(hostnet_done) HostNet net = {};
        int r, failed;

        r = conf_load_and_warn(p->root, &c);
        if (r < 0)
                return log_oom();
        r = known_follow(p, &c);
        if (r < 0)
                return r;
        r = pci_scan(p->root, &bus);
        if (r < 0)
                return phase_fail(p, r, "Is /sys mounted?", "Cannot read the PCI bus");
        r = report_collect(p->root, &c, &bus, &report);
        if (r >= 0)
                r = check_iommu(p, &c, report);
        if (r >= 0)
                r = check_gpus(p, &c, &bus, report);
        if (r >= 0)
                r = computecheck_add(p, &c, &bus, report);
        if (r >= 0)
                r = netcheck_add(p->root, &c, report, &net);
        if (r >= 0)
                r = check_libvirt(p, &c, r > 0 && net.mode == NETWORK_NAT, report);
        if (r < 0)
                return phase_fail(p, r, "Free some memory.", "Cannot put the report together");
        failed = conclude(p, report);
        r = write_report(p, report, failed >= 0);
        if (!p->json)
                report_print(report, stdout);
        if (failed < 0)
                tell_login(p, report);
        if (failed < 0 || r < 0)
                return failed < 0 ? failed : r;
        r = finish(p);
        return r < 0 ? r : PHASE_OK;
}

static const Helper helper = {
        .name = "gpuvm-verify",
        .summary = "Prove that the machine is ready for GPU VMs, and write the report.",
        .run = run,
};

DEFINE_HELPER(helper)
