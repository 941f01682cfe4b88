/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-reboot: restarts the machine if a phase before it asked for that, and keeps later phases from
 * starting until it is done.
 *
 * logind only takes note of a restart and carries it out later, so this program stays until it is stopped by
 * the shutdown that it asked for. Whatever stands against the restart is a failure that names it: the chain
 * ends here, and nothing that needs the new kernel command line runs without it. */

#include <inttypes.h>
#include <signal.h>
#include <time.h>

#include "bus.h"
#include "conf.h"
#include "fs.h"
#include "journal.h"
#include "logind.h"
#include "phase.h"
#include "reboot.h"
#include "rebootcheck.h"

#define UNIT         "gpuvm-reboot.service"
#define DPKG_WAIT    (5 * 60 * USEC_PER_SEC)
#define LOGIND_GRACE (5 * 60 * USEC_PER_SEC)

#define MOTD_SCHEDULED                                                                              \
        "The GPU-VM bootstrap is about to restart this machine and goes on by itself after that.\n" \
        "%s.\n'gpu-vm-bootstrap --status' tells how far it is.\n"
#define MOTD_ASKED                                                                    \
        "The GPU-VM bootstrap needs a restart of this machine: 'systemctl reboot'.\n" \
        "%s.\nIt goes on by itself after that. 'gpu-vm-bootstrap --status' tells how far it is.\n"

static uint64_t now_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

/* Exit status 75: done as far as possible, and the administrator's own restart is resumed from too. */
static int leave_to_administrator(Phase *p, const Conf *conf, const char *why) {
        log_fields(LOG_WARNING, (const char *const[]){ EVENT_REBOOT_REFUSED, NULL },
                   "The machine has to be restarted (%s). Reboot=%s leaves that to you: 'systemctl reboot'. The "
                   "bootstrap goes on by itself afterwards",
                   why, reboot_mode_to_string(conf->reboot));
        phase_status(p, "Waiting for a restart by the administrator: systemctl reboot");
        return PHASE_REBOOT_NEEDED;
}

static int cancelled(Phase *p) {
        return phase_fail(p, 0,
                          "To go on, 'systemctl reboot': the bootstrap resumes by itself. Or start "
                          "gpuvm-bootstrap.target to have it announced again",
                          "The restart was cancelled");
}

/* Waits a second or until we are to stop. Returns true to stop. */
static bool told_to_stop(void) {
        struct timespec second = { .tv_sec = 1 };
        sigset_t s;

        (void) sigemptyset(&s);
        (void) sigaddset(&s, SIGTERM);
        (void) sigaddset(&s, SIGINT);
        return sigtimedwait(&s, NULL, &second) > 0;
}

static void call_off(Bus *bus, const RebootDate *d) {
        int r = rebootcheck_call_off(bus, d);

        if (r < 0)
                log_warning_errno(r, "Failed to cancel the restart; 'shutdown -c' does: %m");
}

/* Stopped by systemd is how this ends well; killed by somebody else must not let the next phase start. */
static int stopped(Phase *p, Bus *bus, const RebootDate *d) {
        _cleanup_(bus_unit_done) BusUnit u = {};

        if (now_usec(CLOCK_REALTIME) < d->when_usec)
                call_off(bus, d);
        if (bus_unit_state(bus, UNIT, &u) >= 0 && streq(u.active_state, "deactivating"))
                return 0;
        return phase_fail(p, 0, "Start gpuvm-bootstrap.target again.",
                          "Interrupted while waiting for the restart");
}

static int still_welcome(Phase *p, Bus *bus, const RebootDate *d) {
        int r = rebootcheck_busy(p, 0);

        if (r >= 0)
                r = rebootcheck_blockers(p, bus);
        if (r < 0)
                call_off(bus, d);
        return r;
}

static int overdue(Phase *p, Bus *bus, const RebootDate *d) {
        call_off(bus, d);
        return phase_fail(p, 0, "Restart it yourself: 'systemctl reboot'; the bootstrap resumes by itself.",
                          "logind did not restart the machine at the time that was agreed");
}

/* From the agreed time on logind is not asked: it may be going down itself, and no answer is no cancellation.
 */
static RebootWatch watch(Bus *bus, const RebootDate *d) {
        _cleanup_free_ char *type = NULL;
        bool known = false;
        uint64_t at = 0;

        if (now_usec(CLOCK_REALTIME) < d->when_usec) {
                int r = logind_scheduled_shutdown(bus, &type, &at);

                known = r >= 0;
        }
        return rebootcheck_watch(d, now_usec(CLOCK_REALTIME), now_usec(CLOCK_BOOTTIME),
                                 known ? type : "reboot", known ? at : d->when_usec);
}

/* Until the machine goes down. Returns only on failure, or when the shutdown stops us. */
static int hold(Phase *p, Bus *bus, const RebootDate *d) {
        for (unsigned n = 1;; n++) {
                uint64_t now;
                int r;

                if (told_to_stop())
                        return stopped(p, bus, d);
                switch (watch(bus, d)) {
                case REBOOT_OVERDUE:
                        return overdue(p, bus, d);
                case REBOOT_CALLED_OFF:
                        return cancelled(p);
                case REBOOT_DUE:
                        phase_status(p, "The machine is restarting");
                        continue;
                default:
                        break;
                }
                r = n % 5 == 0 ? still_welcome(p, bus, d) : 0;
                if (r < 0)
                        return r;
                now = now_usec(CLOCK_REALTIME);
                phase_status(p, "Restarting the machine in %" PRIu64 " s; 'shutdown -c' cancels it",
                             (d->when_usec - MIN(now, d->when_usec)) / USEC_PER_SEC);
        }
}

static int restart(Phase *p, Bus *bus, uint64_t delay_usec, const char *why) {
        _cleanup_free_ char *wall = NULL;
        RebootDate d;
        sigset_t s;
        int r;

        (void) sigemptyset(&s);
        (void) sigaddset(&s, SIGTERM);
        (void) sigaddset(&s, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &s, NULL);
        if (str_printf(&wall, "The GPU-VM bootstrap restarts this machine (%s). 'shutdown -c' cancels that.",
                       why) < 0)
                return log_oom();
        d.when_usec = now_usec(CLOCK_REALTIME) + delay_usec;
        d.latest_usec = now_usec(CLOCK_BOOTTIME) + delay_usec + LOGIND_GRACE;
        r = rebootcheck_remember(p->root, &d);
        if (r < 0)
                return phase_fail(p, r, "Run 'systemd-tmpfiles --create gpuvm.conf'.",
                                  "Cannot write down when the machine is to be restarted");
        r = logind_schedule_shutdown(bus, "reboot", d.when_usec, wall);
        if (r < 0)
                return phase_fail(p, r,
                                  "Restart it yourself: 'systemctl reboot'; the bootstrap resumes by itself.",
                                  "logind does not restart the machine (%s)", bus_message(bus));
        log_fields(LOG_NOTICE, (const char *const[]){ EVENT_REBOOT_SCHEDULED, NULL },
                   "Restarting the machine in %" PRIu64
                   " s (%s). 'shutdown -c' cancels it; the bootstrap goes on by "
                   "itself afterwards",
                   delay_usec / USEC_PER_SEC, why);
        return hold(p, bus, &d);
}

/* The story is on disk before anything is asked for: a power cut between the two costs one of the count. */
static int arm(Phase *p, const RebootStory *story, bool by_us, const char *why) {
        _cleanup_free_ char *motd = NULL;
        int r = reboot_story_save(p->root, story);

        if (r < 0)
                return phase_fail(p, r, "Without it nothing would go on after a restart, so none is made.",
                                  "Cannot write " REBOOT_PENDING_PATH);
        r = by_us ? str_printf(&motd, MOTD_SCHEDULED, why) : str_printf(&motd, MOTD_ASKED, why);
        if (r >= 0)
                r = reboot_motd(p->root, motd);
        if (r < 0)
                log_warning_errno(r, "Failed to write the login message, ignoring: %m");
        return 0;
}

/* Whatever stands against our restart below, an administrator who makes one himself, as he is told, finds the
 * bootstrap going on after it. Not counted. */
static int expect_restart_by_other(Phase *p, char *const *causes) {
        _cleanup_(reboot_story_done) RebootStory story = {};
        int r = rebootcheck_story(p, causes, false, &story);

        if (r < 0 || p->dry_run)
                return r;
        r = reboot_story_save(p->root, &story);
        return r < 0 ? phase_fail(p, r, "Without it nothing would go on after a restart, so none is made.",
                                  "Cannot write " REBOOT_PENDING_PATH)
                     : 0;
}

static int act(Phase *p, const Conf *conf, char *const *causes, const char *why) {
        _cleanup_(reboot_story_done) RebootStory story = {};
        bool by_us = conf->reboot == REBOOT_AUTO;
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        r = rebootcheck_story(p, causes, by_us, &story);
        if (r >= 0 && by_us)
                r = expect_restart_by_other(p, causes);
        if (r >= 0 && by_us)
                r = rebootcheck_busy(p, p->dry_run ? 0 : DPKG_WAIT);
        if (r >= 0 && by_us)
                r = rebootcheck_logind(p, &bus);
        if (r >= 0)
                r = phase_change(p, by_us ? "run" : "leave", "reboot", "%s", why);
        if (r <= 0)
                return r;
        r = arm(p, &story, by_us, why);
        if (r < 0)
                return r;
        if (!by_us)
                return leave_to_administrator(p, conf, why);
        return bus ? restart(p, bus, conf->reboot_delay_usec, why) : PHASE_REBOOT_NEEDED;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_strv_ char **causes = NULL, **useless = NULL, **reasons = NULL;
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_free_ char *why = NULL;
        int r;

        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return log_oom();
        r = rebootcheck_call_off_earlier(p);
        if (r >= 0)
                r = rebootcheck_requests(p, &conf, &causes, &useless, &reasons);
        if (r < 0 || !causes)
                return r;
        p->failure_event = EVENT_REBOOT_REFUSED;
        why = strv_join(reasons, "; ");
        if (!why)
                return log_oom();
        r = rebootcheck_useful(p, useless);
        return r < 0 ? r : act(p, &conf, causes, why);
}

static const Helper helper = {
        .name = "gpuvm-reboot",
        .summary = "Restart the machine if the bootstrap needs it, and wait for that.",
        .run = run,
};
DEFINE_HELPER(helper)
