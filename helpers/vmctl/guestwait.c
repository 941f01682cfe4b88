/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Guestwait: until the machine is ready: it runs, its agent answers, it can be reached, and its GPUs are seen
 * inside. What does not come in time is an error where the machine is of no use without it, and a warning
 * where it may be. */

#include "guestlook.h"
#include "parse.h"

/* To the first sign of life, and from there on until all is there. */
enum { BOOT_SEC = 120, READY_SEC = 120, PAUSE_MSEC = 1000 };

typedef struct Wait {
        Context *c;
        const char *name;
        bool need_agent, alive;
        uint64_t begin_usec, end_usec;
        char **told; /* what is there, as it was told */
} Wait;

static void wait_done(Wait *w) {
        strv_free(w->told);
}

/* What has come since, each thing once. */
static int tell_progress(Wait *w, const Findings *l) {
        int r = 0;

        for (size_t i = 0; i < l->n && r >= 0; i++) {
                const Finding *x = &l->items[i];

                if (x->level == FINDING_OK && !streq(x->check, "state") && !streq(x->check, "driver"))
                        r = guest_tell_once(w->c, x, &w->told);
        }
        return r;
}

/* Whoever has not said how long has the time to boot, and another to be ready. */
static void see_life(Wait *w, const GuestFacts *f) {
        if (w->alive || !(f->agent || f->answers))
                return;
        w->alive = true;
        if (!vmctl_has(w->c, OPT_TIMEOUT))
                w->end_usec = monotonic_usec() + READY_SEC * USEC_PER_SEC;
}

static int tell_late(const Wait *w, const GuestFacts *f, const Finding *lacks) {
        unsigned long long sec = (monotonic_usec() - w->begin_usec) / USEC_PER_SEC;
        _cleanup_free_ char *text = NULL;

        if (guestcheck_describe(f, lacks, &text) < 0)
                return log_oom();
        guest_keep_verdict(w->c, w->name, lacks->level, text);
        if (lacks->level == FINDING_WARN) {
                log_warning("'%s' %s", w->name, text);
                return 0;
        }
        return log_full_errno(
                        LOG_ERR, ETIMEDOUT,
                        "'%s' is not ready after %llu s: it %s. It goes on; 'vmctl check %s' looks again, 'vmctl console %s' shows what it is at",
                        w->name, sec, text, w->name, w->name);
}

/* Returns 1 if it is ready, or as ready as it will be; 0 if not yet. */
static int look(void *userdata) {
        Wait *w = userdata;
        _cleanup_(guestfacts_done) GuestFacts f = {};
        _cleanup_(findings_done) Findings l = {};
        const Finding *lacks;
        int r;

        r = guest_look(w->c, w->name, false, &f);
        if (r < 0)
                return r;
        if (!vm_state_is_on(f.state))
                return log_full_errno(LOG_ERR, ESRCH,
                                      "'%s' went off while it was waited for; 'vmctl start %s' starts it",
                                      w->name, w->name);
        if (guestcheck(&f, &l) < 0)
                return log_oom();
        r = tell_progress(w, &l);
        if (r < 0)
                return r;
        see_life(w, &f);
        lacks = guestcheck_unready(&l);
        if (lacks->level == FINDING_OK) {
                guest_keep_verdict(w->c, w->name, FINDING_OK, "is ready");
                return 1;
        }
        if (monotonic_usec() < w->end_usec && (w->need_agent || lacks->level == FINDING_FAIL))
                return 0;
        r = tell_late(w, &f, lacks);
        return r < 0 ? r : 1;
}

int guest_poll(const char *name, int (*ask)(void *userdata), void *userdata, bool (*interrupted)(void)) {
        int r = 0;

        while (r == 0) {
                r = ask(userdata);
                if (r == 0 && interrupted && interrupted())
                        return log_full_errno(LOG_ERR, EINTR, "Interrupted; '%s' goes on", name);
                if (r == 0)
                        (void) usleep(PAUSE_MSEC * 1000);
        }
        return MIN(r, 0);
}

int guest_timeout(const Context *c, uint64_t *usec) {
        const char *s = vmctl_value(c, OPT_TIMEOUT);

        if (!s || parse_sec(s, usec) >= 0)
                return 0;
        log_error("'%s' is no time for --timeout; '90' or '5min' would be", s);
        return -EINVAL;
}

int guest_wait(Context *c, const char *name, bool need_agent, bool (*interrupted)(void)) {
        _cleanup_(wait_done) Wait w = { .c = c, .name = name, .need_agent = need_agent };
        uint64_t timeout = BOOT_SEC * USEC_PER_SEC;

        if (guest_timeout(c, &timeout) < 0)
                return -EINVAL;
        w.begin_usec = monotonic_usec();
        w.end_usec = w.begin_usec + timeout;
        return guest_poll(name, look, &w, interrupted);
}
