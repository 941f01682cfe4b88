/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Check: is this host fit for virtual machines with GPUs, and if not, why? */

#include "check.h"
#include "computecheck.h"
#include "fs.h"
#include "json.h"

enum {
        /* What went wrong was told; 0: no warnings. */
        CHECK_STATUS_FAIL = 1,
        CHECK_STATUS_WARN = 2,
};

void check_host_done(CheckHost *h) {
        checkup_done(&h->checkup);
        evidence_done(&h->evidence);
        conf_done(&h->conf);
        h->root = safe_close(h->root);
        if (h->scratch)
                check_remove(h->scratch);
        free(h->scratch);
}

int check_look(CheckHost *h) {
        int r;

        if (conf_load_and_warn(h->root, &h->conf) < 0)
                return log_oom();
        r = evidence_read(h->root, &h->conf, &h->evidence);
        if (r < 0)
                return log_error_errno(r, "Cannot read '" EVIDENCE_PATH "': %m. Is it a record of gpuvm's?");
        r = checkup_run(h->root, &h->conf, &h->evidence, &h->checkup);
        return r < 0 ? log_error_errno(r, "Cannot read what this host is made of: %m") : 0;
}

static int add_compute(CheckHost *h, const char *path) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        Phase p = { .name = "check", .root = h->root, .root_path = path };
        int r;

        r = pci_scan(h->root, &bus);
        if (r >= 0)
                r = computecheck_add(&p, &h->conf, &bus, &h->checkup.findings);
        return r < 0 ? log_error_errno(r, "Cannot tell whether the host computes on its GPUs: %m") : 0;
}

static bool names(const Finding *x) {
        return x->object && strstr(x->text, x->object);
}

static void print_findings(const Findings *f, bool quiet) {
        for (size_t i = 0; i < f->n; i++) {
                const Finding *x = &f->items[i];

                if (quiet && x->level < FINDING_WARN)
                        continue;
                printf("%-4s  %-12s  %s%s%s\n", finding_level_to_string(x->level), x->check,
                       names(x) ? "" : strempty(x->object), names(x) || !x->object ? "" : ": ", x->text);
                if (x->level < FINDING_WARN)
                        continue;
                if (x->remedy)
                        printf("%20s%s%s\n", "", x->remedy, endswith(x->remedy, ".") ? "" : ".");
                if (x->fix)
                        printf("%20s%s\n", "", x->fix);
        }
}

static void print_count(size_t n, const char *what, const char *end) {
        printf("%zu %s%s%s", n, what, n == 1 ? "" : "s", end);
}

static int show(const Context *c, const Checkup *u) {
        _cleanup_json_ json_object *o = NULL;
        bool quiet = vmctl_has(c, OPT_QUIET);

        if (vmctl_has(c, OPT_JSON))
                return checkup_to_json(u, &o) < 0 ? log_oom() : json_print(o, stdout);
        print_findings(&u->findings, quiet);
        if (quiet)
                return 0;
        printf("\n%s for virtual machines with GPUs: ", u->vm_capable ? "Fit" : "Not fit");
        print_count(findings_count(&u->findings, FINDING_FAIL), "failure", ", ");
        print_count(findings_count(&u->findings, FINDING_WARN), "warning", ".\n");
        if (!u->root)
                puts("This was not asked as root, who sees more.");
        if (checkup_result(u) != FINDING_OK)
                puts("gpuvm-troubleshooting(7) has symptoms, and what helps.");
        return 0;
}

static int status_of(const Checkup *u) {
        switch (checkup_result(u)) {
        case FINDING_FAIL:
                return CHECK_STATUS_FAIL;
        case FINDING_WARN:
                return CHECK_STATUS_WARN;
        default:
                return VMCTL_DONE;
        }
}

static bool is_wrong(const Findings *f, const char *check) {
        for (size_t i = 0; i < f->n; i++)
                if (f->items[i].level >= FINDING_WARN && streq(f->items[i].check, check))
                        return true;
        return false;
}

/* Of what a phase was started for. */
static int tell_mended(const Findings *before, const Findings *now) {
        _cleanup_strv_ char **mended = NULL, **left = NULL;
        _cleanup_free_ char *list = NULL, *rest = NULL;

        for (size_t i = 0; i < before->n; i++) {
                const Finding *x = &before->items[i];
                char ***l = is_wrong(now, x->check) ? &left : &mended;

                if (x->level >= FINDING_WARN && x->phase && !strv_contains(*l, x->check) &&
                    strv_extend(l, x->check) < 0)
                        return log_oom();
        }
        list = strv_join(mended, ", ");
        rest = strv_join(left, ", ");
        if (!list || !rest)
                return log_oom();
        if (mended)
                log_notice("Put right: %s", list);
        if (left)
                log_notice("Not right yet: %s", rest);
        return 0;
}

/* What was put right is looked at again: nothing else proves it. */
static int fix(Context *c, const char *path, const CheckHost *h) {
        _cleanup_(check_host_done) CheckHost again = { .root = -EBADF };
        int r;

        if (!vmctl_has(c, OPT_JSON) && show(c, &h->checkup) < 0)
                return -EIO;
        r = check_fix(c, h);
        if (r < 0)
                return r;
        if (r == 0)
                return vmctl_has(c, OPT_JSON) && show(c, &h->checkup) < 0 ? -EIO : status_of(&h->checkup);
        r = check_open(path, &again);
        if (r >= 0)
                r = check_look(&again);
        if (r >= 0 && vmctl_has(c, OPT_GPU_COMPUTE))
                r = add_compute(&again, path);
        if (r >= 0)
                r = show(c, &again.checkup);
        if (r >= 0)
                r = tell_mended(&h->checkup.findings, &again.checkup.findings);
        return r < 0 ? r : status_of(&again.checkup);
}

/* Returns 0 if a machine may be started. */
static int may_smoke(const Context *c, const char *path) {
        if (path || vmctl_has(c, OPT_FIX) || vmctl_has(c, OPT_BUNDLE) || vmctl_has(c, OPT_DRY_RUN)) {
                log_error("--smoke starts a machine on this host, and goes with none of --root, --fix, --bundle and --dry-run");
                return VMCTL_USAGE;
        }
        return geteuid() == 0
                        ? 0
                        : log_full_errno(LOG_ERR, EPERM, "Its disk is made by root, as disks are. Use sudo");
}

int cmd_check(Context *c, char **args) {
        const char *path = vmctl_value(c, OPT_ROOT) ?: secure_getenv("GPUVM_ROOT");
        _cleanup_(check_host_done) CheckHost h = { .root = -EBADF };
        const char *uri = vmctl_value(c, OPT_CONNECT);
        int r;

        if (*args &&
            (vmctl_has(c, OPT_FIX) || vmctl_has(c, OPT_BUNDLE) || vmctl_has(c, OPT_ROOT) ||
             vmctl_has(c, OPT_GPU_COMPUTE) || vmctl_has(c, OPT_SMOKE))) {
                log_error("--fix, --smoke, --bundle, --gpu-compute and --root are about the host, not about machines");
                return VMCTL_USAGE;
        }
        if (path && vmctl_has(c, OPT_GPU_COMPUTE) && !secure_getenv("GPUVM_CUDA")) {
                log_error("--gpu-compute is about the GPUs of this host: a record of one cannot compute");
                return VMCTL_USAGE;
        }
        if (vmctl_has(c, OPT_SMOKE)) {
                r = may_smoke(c, path);
                if (r != 0)
                        return r;
        }
        if (*args)
                return cmd_check_machine(c, args);
        if (uri && virt_is_elsewhere(uri))
                return log_full_errno(LOG_ERR, EOPNOTSUPP,
                                      "A host is checked where it is, not at '%s'. Run it over there", uri);
        r = check_open(path, &h);
        if (r >= 0)
                r = check_look(&h);
        if (r >= 0 && vmctl_has(c, OPT_BUNDLE))
                r = check_write(&h, vmctl_value(c, OPT_BUNDLE));
        if (r >= 0 && vmctl_has(c, OPT_GPU_COMPUTE))
                r = add_compute(&h, path);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_FIX))
                return fix(c, path, &h);
        if (vmctl_has(c, OPT_SMOKE) && check_smoke(&h) < 0)
                return VMCTL_FAILED;
        r = show(c, &h.checkup);
        return r < 0 ? r : status_of(&h.checkup);
}
