/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Setupwait: a guest that sets itself up in steps is watched through its agent until it has. What the agent
 * does not answer is asked again: a step may restart the guest. */

#include "guestask.h"
#include "guestlook.h"
#include "parse.h"
#include "setupcheck.h"
#include "virtagent.h"

enum {
        WHOLE_SEC = 60 * 60, /* twice what it should take */
        BEGIN_SEC = 60,      /* from the end of cloud-init to the first step */
        TELL_SEC = 60,
        WHY_SEC = 20,
};

#define WHY_LINES "10"

typedef struct SetupWait {
        Context *c;
        const char *name;
        const char *const *wanted;
        char **told;
        SetupStepName at;            /* that it was at at the last look */
        uint64_t at_usec, tell_usec; /* since when; and when that is told again */
        uint64_t idle_usec;          /* since when cloud-init has ended without a step; 0: it has not */
        uint64_t begin_usec, end_usec;
} SetupWait;

static void wait_done(SetupWait *w) {
        strv_free(w->told);
}

static bool is_silent(const SetupWait *w) {
        return vmctl_has(w->c, OPT_QUIET) || vmctl_has(w->c, OPT_JSON);
}

/* Once a minute: a step may take many. */
static void tell_time(SetupWait *w, SetupStepName at) {
        uint64_t now = monotonic_usec();
        unsigned limit = setupsteps_limit_sec(at) / 60;

        if (at != w->at) {
                w->at = at;
                w->at_usec = now;
                w->tell_usec = now + TELL_SEC * USEC_PER_SEC;
        }
        if (at == _SETUP_STEP_MAX || now < w->tell_usec)
                return;
        w->tell_usec += TELL_SEC * USEC_PER_SEC;
        if (is_silent(w))
                return;
        printf("  %s is at step %s, for %llu min", w->name, setup_step_to_string(at),
               (unsigned long long) ((now - w->at_usec) / USEC_PER_SEC / 60));
        if (limit > 0)
                printf(" of %u", limit);
        printf("\n");
        fflush(stdout);
}

static int tell_steps(SetupWait *w, const char *text) {
        _cleanup_(findings_done) Findings l = {};
        int r = setupcheck_steps(w->name, text, 0, &l) < 0 ? log_oom() : 0;

        for (size_t i = 0; i < l.n && r >= 0; i++)
                if (l.items[i].level != FINDING_FAIL)
                        r = guest_tell_once(w->c, &l.items[i], &w->told);
        return r;
}

/* The last that its journal has of it. */
static void tell_why(const SetupWait *w, const char *unit) {
        const char *const argv[] = { "journalctl",         "--unit", unit, "--output=cat", "--no-pager",
                                     "--lines=" WHY_LINES, NULL };
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;

        if (virtagent_run(w->c->virt, w->name, argv, WHY_SEC * USEC_PER_SEC, &text) < 0 ||
            strv_split(text, "\n", &lines) < 0)
                return;
        STRV_FOREACH(line, lines) {
                _cleanup_free_ char *clean = NULL;

                if (guestcheck_excerpt(*line, &clean) >= 0)
                        log_notice("%s: %s", w->name, clean);
        }
}

static int tell_failed(const SetupWait *w, SetupStepName step) {
        _cleanup_free_ char *unit = NULL, *remedy = NULL;

        if (asprintf(&unit, "gpuvm-setup@%s.service", setup_step_to_string(step)) < 0) {
                unit = NULL;
                return log_oom();
        }
        if (setupcheck_remedy(step, &remedy) < 0)
                return log_oom();
        tell_why(w, unit);
        return log_full_errno(
                        LOG_ERR, EIO,
                        "'%s' failed at step %s of its setup. It runs, and 'vmctl ssh %s' enters it: %s",
                        w->name, setup_step_to_string(step), w->name, remedy);
}

static int tell_late(const SetupWait *w) {
        const char *step = setup_step_to_string(w->at);

        return log_full_errno(
                        LOG_ERR, ETIMEDOUT,
                        "'%s' is not set up after %llu s%s%s. It goes on; 'vmctl check %s' tells how far it is",
                        w->name, (unsigned long long) ((monotonic_usec() - w->begin_usec) / USEC_PER_SEC),
                        step ? ": it is at step " : "", strempty(step), w->name);
}

/* No step has begun yet: cloud-init begins them, at its end. Returns 0, or -errno after a message. */
static int look_at_init(SetupWait *w) {
        _cleanup_(guestfacts_done) GuestFacts f = { .name = strdup(w->name) };

        if (!f.name)
                return log_oom();
        guestask_init(w->c->virt, &f);
        if (f.init != GUEST_INIT_DONE && f.init != GUEST_INIT_FAILED)
                w->idle_usec = 0;
        else if (w->idle_usec == 0)
                w->idle_usec = monotonic_usec();
        else if (monotonic_usec() - w->idle_usec > BEGIN_SEC * USEC_PER_SEC)
                return log_full_errno(
                                LOG_ERR, EIO,
                                "cloud-init has ended in '%s' and begun none of the steps of its setup%s%s. 'cloud-init status --long' in the guest tells more; 'systemctl start gpuvm-setup.target' there begins them",
                                w->name, f.init_text ? ": " : "", strempty(f.init_text));
        return 0;
}

static int look_inside(SetupWait *w) {
        _cleanup_free_ char *text = NULL;
        SetupStep steps[_SETUP_STEP_MAX];
        SetupStepName at;
        SetupState state;
        int r;

        r = virtagent_read(w->c->virt, w->name, SETUPSTEPS_FILE, &text);
        if (r < 0)
                return look_at_init(w);
        r = tell_steps(w, text);
        if (r < 0)
                return r;
        if (setupsteps_parse(text, steps) < 0)
                return log_oom();
        state = setupsteps_state(steps, w->wanted, &at);
        if (state == SETUP_FAILED)
                return tell_failed(w, at);
        tell_time(w, at);
        return state == SETUP_DONE;
}

/* Returns 1 if it is set up; 0 if not yet. */
static int look(void *userdata) {
        SetupWait *w = userdata;
        VmState state;
        int r = virtvm_state(w->c->virt, w->name, &state);

        if (r < 0)
                return vmctl_tell(w->c, r, "Cannot look at virtual machine '%s'", w->name);
        if (!vm_state_is_on(state))
                return log_full_errno(
                                LOG_ERR, ESRCH,
                                "'%s' went off while it was set up; 'vmctl start %s' starts it, and it goes on",
                                w->name, w->name);
        r = look_inside(w);
        return r == 0 && monotonic_usec() >= w->end_usec ? tell_late(w) : r;
}

int setup_wait(Context *c, const char *name, const char *const *wanted, bool (*interrupted)(void)) {
        _cleanup_(wait_done) SetupWait w = { .c = c, .name = name, .wanted = wanted, .at = _SETUP_STEP_MAX };
        uint64_t timeout = WHOLE_SEC * USEC_PER_SEC;

        if (guest_timeout(c, &timeout) < 0)
                return -EINVAL;
        w.begin_usec = monotonic_usec();
        w.end_usec = w.begin_usec + timeout;
        return guest_poll(name, look, &w, interrupted);
}
