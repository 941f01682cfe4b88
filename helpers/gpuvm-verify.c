/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-verify: looks whether the machine is what the configuration asks for, writes the report, and ends the
 * story of the bootstrap.
 *
 * Believes no record: groups and drivers are read from sysfs, libvirt is asked. What was turned off is
 * skipped, what only makes VMs slower is a warning. */

#include <time.h>

#include "computecheck.h"
#include "findings.h"
#include "fs.h"
#include "iommu.h"
#include "journal.h"
#include "known.h"
#include "kvmcheck.h"
#include "netcheck.h"
#include "phase.h"
#include "reboot.h"
#include "report.h"
#include "vfiocheck.h"
#include "virtcheck.h"

static int check_iommu(Phase *p, const Conf *c, Findings *l) {
        size_t groups = 0;
        int r;

        if (!c->vfio)
                return findings_add(l, FINDING_SKIP, "iommu", NULL, NULL, "Vfio=no");
        r = iommu_count_groups(p->root, &groups);
        if (r < 0)
                groups = 0;
        if (groups == 0)
                return findings_add(l, FINDING_FAIL, "iommu", NULL,
                                    "Start gpuvm-bootstrap.target; if that does not help, turn VT-d or "
                                    "AMD-Vi on in the firmware.",
                                    "There are no IOMMU groups");
        return findings_add(l, FINDING_OK, "iommu", NULL, NULL, "%zu group%s", groups,
                            groups == 1 ? "" : "s");
}

static int check_libvirt(Phase *p, const Conf *c, bool nat, Findings *l) {
        _cleanup_(virtanswers_done) VirtAnswers answers = {};
        int r;

        if (!c->kvm)
                return findings_add(l, FINDING_SKIP, "libvirt", NULL, NULL, "Kvm=no");
        r = kvmcheck_add(p->root, l);
        if (r < 0)
                return r;
        phase_status(p, "Asking libvirt");
        r = virtcheck_ask(p->root, c, &answers);
        return r < 0 ? r : virtcheck_judge(&answers, c, !p->dry_run, nat, l);
}

/* In the order of the report. */
static int check_all(Phase *p, const Conf *c, const PciBus *bus, Findings *l) {
        _cleanup_(hostnet_done) HostNet net = {};
        int r;

        r = check_iommu(p, c, l);
        if (r >= 0)
                r = vfiocheck_add(p->root, c, bus, l);
        if (r >= 0)
                r = computecheck_add(p, c, bus, l);
        if (r >= 0)
                r = netcheck_add(p->root, c, l, &net);
        return r < 0 ? r : check_libvirt(p, c, r > 0 && net.mode == NETWORK_NAT, l);
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
        _cleanup_(findings_done) Findings findings = {};
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
                r = check_all(p, &c, &bus, &findings);
        if (r >= 0)
                r = report_add_findings(report, &findings);
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
