/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "plan.h"
#include "fs.h"
#include "memstream.h"

#define BOOTSTRAP_TARGET "gpuvm-bootstrap.target"
#define RESUME_SERVICE   "gpuvm-resume.service"
#define BOOTFILE_SERVICE "gpuvm-bootfile.service"
#define TUNE_SERVICE     "gpuvm-tune.service"

/* In the order in which they run. A phase without a switch always belongs to the chain: reboot too, because
 * it is where a phase that could not finish stops those behind it. */
static const struct {
        const char *noun;
        size_t enabled; /* the switch in Conf */
} phases[] = {
#define ALWAYS offsetof(Conf, enabled)
        { "preflight", ALWAYS },
        { "packages", ALWAYS },
        { "nvidia", offsetof(Conf, nvidia) },
        { "kvm", offsetof(Conf, kvm) },
        { "iommu", offsetof(Conf, vfio) },
        { "reboot", ALWAYS },
        { "vfio", offsetof(Conf, vfio) },
        { "bridge", offsetof(Conf, bridge) },
        { "storage", offsetof(Conf, kvm) },
        { "verify", ALWAYS },
};

size_t plan_phases(const Conf *c, const char *ret[static PLAN_PHASES_MAX]) {
        size_t n = 0;

        static_assert(ELEMENTSOF(phases) <= PLAN_PHASES_MAX, "PLAN_PHASES_MAX is too small");
        for (size_t i = 0; i < ELEMENTSOF(phases); i++)
                if (c->enabled && *(const bool *) ((const char *) c + phases[i].enabled))
                        ret[n++] = phases[i].noun;
        return n;
}

static void entry_done(PlanEntry *e) {
        free(e->path);
        free(e->target);
        free(e->text);
}

void plan_done(Plan *p) {
        for (size_t i = 0; i < p->n; i++)
                entry_done(&p->entries[i]);
        free(p->entries);
        *p = (Plan){};
}

int plan_add(Plan *p, PlanEntry e) {
        PlanEntry *t = e.path && (e.target || e.text) ? reallocarray(p->entries, p->n + 1, sizeof(*t)) : NULL;

        if (!t) {
                entry_done(&e);
                return -ENOMEM;
        }
        p->entries = t;
        t[p->n++] = e;
        return 0;
}

/* "UNIT.requires" or "UNIT.wants": directory is the whole name. */
static int add_link(Plan *p, const char *directory, const char *unit) {
        PlanEntry e = {};

        if (str_printf(&e.path, "%s/%s", directory, unit) < 0 ||
            str_printf(&e.target, GPUVM_UNITDIR "/%s", unit) < 0) {
                entry_done(&e);
                return -ENOMEM;
        }
        return plan_add(p, e);
}

/* lines: what the drop-in is for, or "". source: see plan_make(). */
static int add_dropin(Plan *p, const char *unit, const char *source, const char *lines) {
        PlanEntry e = {};

        if (str_printf(&e.path, "%s.d/" PLAN_DROPIN, unit) < 0 ||
            str_printf(&e.text, PLAN_DROPIN_HEAD "%s%s%s%s", source ? "SourcePath=" : "", strempty(source),
                       source ? "\n" : "", lines) < 0) {
                entry_done(&e);
                return -ENOMEM;
        }
        return plan_add(p, e);
}

/* Nothing is linked. Without more, starting the target would succeed and do nothing; so it asserts what never
 * holds, and carries the reason where systemctl and the journal show it. */
#define OFF_LINES(by)                                                           \
        "Description=GPU Passthrough Host Bootstrap (switched off by " by ")\n" \
        "AssertPathExists=!/\n"

static int make_off(Plan *p, const Conf *c, const char *source) {
        return add_dropin(p, BOOTSTRAP_TARGET, source,
                          c->enabled_by_cmdline ? OFF_LINES("gpuvm.bootstrap= on the kernel command line")
                                                : OFF_LINES("Enabled= in gpuvm.conf or a drop-in of it"));
}

/* before: the phase that it needs, or NULL. passed: another one, or NULL. */
static int add_phase(Plan *p, const char *noun, const char *before, const char *passed) {
        _cleanup_free_ char *unit = NULL, *lines = NULL;
        int r;

        r = str_printf(&unit, "gpuvm-%s.service", noun);
        if (r >= 0)
                r = add_link(p, BOOTSTRAP_TARGET ".requires", unit);
        if (r < 0 || !before)
                return r;
        r = str_printf(&lines, "Requires=gpuvm-%s.service\n%s%s%s", before, passed ? "Requires=gpuvm-" : "",
                       strempty(passed), passed ? ".service\n" : "");
        return r < 0 ? r : add_dropin(p, unit, NULL, lines);
}

/* In a trial the iommu phase waits for those before it and does not need them: whatever a machine with groups
 * makes them refuse, the trial is judged, and a restart that brings the network back is made. The phases
 * behind the restart need both, so a failure still stops the chain. */
static int add_phases(Plan *p, const Conf *c) {
        const char *nouns[PLAN_PHASES_MAX], *passed = NULL;
        size_t n = plan_phases(c, nouns);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                const char *before = i > 0 ? nouns[i - 1] : NULL;
                bool judges = c->trial && streq(nouns[i], "iommu");

                if (judges)
                        passed = before;
                r = add_phase(p, nouns[i], judges ? NULL : before, streq(nouns[i], "vfio") ? passed : NULL);
        }
        return r;
}

/* At each boot, behind the phase that installs the driver, and when a GPU has come back from VFIO. */
static int add_tuning(Plan *p) {
        int r;

        r = add_link(p, "multi-user.target.wants", TUNE_SERVICE);
        if (r >= 0)
                r = add_link(p, BOOTSTRAP_TARGET ".wants", TUNE_SERVICE);
        return r < 0 ? r : add_dropin(p, "gpuvm-vfio@.service", NULL, "OnSuccess=" TUNE_SERVICE "\n");
}

static int make_on(Plan *p, const Conf *c, const char *source) {
        int r;

        r = add_link(p, "multi-user.target.wants", RESUME_SERVICE);
        if (r >= 0)
                r = add_link(p, "multi-user.target.wants", BOOTFILE_SERVICE);
        if (r >= 0 && conf_tunes(c))
                r = add_tuning(p);
        if (r >= 0 && source)
                r = add_dropin(p, BOOTSTRAP_TARGET, source, "");
        return r < 0 ? r : add_phases(p, c);
}

static int compare(const void *a, const void *b) {
        return strcmp(((const PlanEntry *) a)->path, ((const PlanEntry *) b)->path);
}

void plan_sort(Plan *p) {
        size_t n = 0;

        if (p->n > 0)
                qsort(p->entries, p->n, sizeof(*p->entries), compare);
        for (size_t i = 0; i < p->n; i++)
                if (n > 0 && streq(p->entries[n - 1].path, p->entries[i].path))
                        entry_done(&p->entries[i]);
                else
                        p->entries[n++] = p->entries[i];
        p->n = n;
}

int plan_make(const Conf *c, const char *source, Plan *ret) {
        _cleanup_(plan_done) Plan p = {};
        int r;

        r = (c->enabled ? make_on : make_off)(&p, c, source);
        if (r < 0)
                return r;
        plan_sort(&p);
        *ret = p;
        p = (Plan){};
        return 0;
}

static int write_file(int dir, const PlanEntry *e) {
        _cleanup_close_ int fd = -EBADF;

        fd = RET_NERRNO(openat(dir, e->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
        return fd < 0 ? fd : write_all(fd, e->text, strlen(e->text));
}

static int write_entry(int dir, const PlanEntry *e) {
        _cleanup_free_ char *above = strndup(e->path, strcspn(e->path, "/"));

        if (!above)
                return -ENOMEM;
        if (mkdirat(dir, above, 0755) < 0 && errno != EEXIST)
                return -errno;
        return e->target ? RET_NERRNO(symlinkat(e->target, dir, e->path)) : write_file(dir, e);
}

int plan_write(const Plan *p, int dir, const char **reterr_path) {
        for (int links = 0; links < 2; links++)
                for (size_t i = 0; i < p->n; i++) {
                        const PlanEntry *e = &p->entries[i];
                        int r = !!e->target == links ? write_entry(dir, e) : 0;

                        if (r < 0) {
                                if (reterr_path)
                                        *reterr_path = e->path;
                                return r;
                        }
                }
        return 0;
}

static void format_text(const char *text, FILE *f) {
        while (*text) {
                int n = (int) strcspn(text, "\n");

                fprintf(f, "%s%.*s\n", n > 0 ? "        " : "", n, text);
                text += n + (text[n] == '\n');
        }
}

int plan_format(const Plan *p, char **ret) {
        _cleanup_(memstream_done) Memstream m = {};
        FILE *f = memstream_open(&m);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < p->n; i++) {
                const PlanEntry *e = &p->entries[i];

                fprintf(f, "%s%s%s\n", e->path, e->target ? " -> " : ":", strempty(e->target));
                if (e->text)
                        format_text(e->text, f);
        }
        return memstream_close(&m, ret, NULL);
}
