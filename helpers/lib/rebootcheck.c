/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "busy.h"
#include "fs.h"
#include "log.h"
#include "logind.h"
#include "plan.h"
#include "rebootcheck.h"
#include "strv.h"

#define SCHEDULED_PATH RUN_DIR "/scheduled"

static int refuse_list(Phase *p, char *const *reasons) {
        _cleanup_free_ char *all = strv_join(reasons, "; ");

        if (!all)
                return log_oom();
        return phase_fail(
                        p, 0,
                        "Start gpuvm-bootstrap.target again when that is over, or restart the machine yourself.",
                        "The machine must not be restarted now: %s", all);
}

int rebootcheck_busy(Phase *p, uint64_t wait_usec) {
        uint64_t end = boottime_usec() + wait_usec;

        for (;;) {
                _cleanup_(busy_done) Busy busy = {};
                int r = busy_look(p->root, &busy);

                if (r < 0)
                        return phase_fail(p, r, "Nothing was restarted; see the journal.",
                                          "Cannot tell whether the machine is busy");
                if (!busy.reasons)
                        return 0;
                if (!busy.transient || boottime_usec() >= end)
                        return refuse_list(p, busy.reasons);
                phase_status(p, "Waiting to restart: %s", busy.reasons[0]);
                (void) sleep(2);
        }
}

int rebootcheck_blockers(Phase *p, Bus *bus) {
        _cleanup_strv_ char **blockers = NULL;
        int r = logind_shutdown_blockers(bus, &blockers);

        if (r < 0)
                return phase_fail(p, r,
                                  "Is systemd-logind.service running? Restart the machine yourself to go on.",
                                  "Cannot ask logind who blocks a shutdown");
        return blockers ? refuse_list(p, blockers) : 0;
}

static bool in_chain(const Conf *conf, const char *phase) {
        const char *nouns[PLAN_PHASES_MAX];
        size_t n = plan_phases(conf, nouns);

        for (size_t i = 0; i < n; i++)
                if (streq(nouns[i], phase))
                        return true;
        return false;
}

static int withdraw(Phase *p, const char *phase) {
        _cleanup_free_ char *object = NULL;
        int r;

        r = str_printf(&object, "the request of phase '%s'", phase);
        if (r >= 0)
                r = phase_change(p, "drop", object, "the configuration leaves that phase out");
        return r > 0 ? reboot_withdraw(p->root, phase) : r;
}

int rebootcheck_requests(Phase *p, const Conf *conf, char ***ret_causes, char ***ret_useless,
                         char ***ret_reasons) {
        _cleanup_strv_ char **all = NULL, **all_useless = NULL, **all_reasons = NULL;
        _cleanup_strv_ char **causes = NULL, **useless = NULL, **reasons = NULL;
        int r;

        r = reboot_causes(p->root, &all, &all_useless);
        if (r >= 0)
                r = reboot_requests(p->root, &all_reasons);
        for (size_t i = 0; r >= 0 && i < MIN(strv_length(all), strv_length(all_reasons)); i++) {
                if (!in_chain(conf, all[i])) {
                        r = withdraw(p, all[i]);
                        continue;
                }
                r = strv_extend(&causes, all[i]);
                if (r >= 0)
                        r = strv_extend(&reasons, all_reasons[i]);
                if (r >= 0 && strv_contains(all_useless, all[i]))
                        r = strv_extend(&useless, all[i]);
        }
        if (r < 0)
                return phase_fail(p, r, "Start gpuvm-bootstrap.target again.",
                                  "Cannot read the requests for a restart");
        *ret_causes = TAKE_PTR(causes);
        *ret_useless = TAKE_PTR(useless);
        *ret_reasons = TAKE_PTR(reasons);
        return 0;
}

bool rebootcheck_is_ours(const RebootDate *d, const char *type, uint64_t at_usec) {
        return type && streq(type, "reboot") && at_usec == d->when_usec;
}

RebootWatch rebootcheck_watch(const RebootDate *d, uint64_t realtime_usec, uint64_t boottime_usec,
                              const char *type, uint64_t at_usec) {
        if (boottime_usec > d->latest_usec)
                return REBOOT_OVERDUE;
        if (realtime_usec >= d->when_usec)
                return REBOOT_DUE;
        return rebootcheck_is_ours(d, type, at_usec) ? REBOOT_WAITING : REBOOT_CALLED_OFF;
}

int rebootcheck_remember(int root, const RebootDate *d) {
        _cleanup_free_ char *text = NULL;
        int r = str_printf(&text, "%" PRIu64 "\n", d->when_usec);

        return r < 0 ? r : fs_write_atomic(root, SCHEDULED_PATH, text, strlen(text), 0644);
}

int rebootcheck_recall(int root, RebootDate *ret) {
        RebootDate d = {};
        int r = fs_read_u64(root, SCHEDULED_PATH, &d.when_usec);

        /* Not what we write: nothing of ours can be known by it. */
        if (r == -ENOENT || r == -EINVAL || r == -ERANGE)
                return 0;
        if (r < 0)
                return r;
        *ret = d;
        return 1;
}

int rebootcheck_call_off(Bus *bus, const RebootDate *d) {
        _cleanup_free_ char *type = NULL;
        uint64_t at = 0;
        int r = logind_scheduled_shutdown(bus, &type, &at);

        if (r < 0 || !rebootcheck_is_ours(d, type, at))
                return MIN(r, 0);
        return logind_cancel_shutdown(bus);
}

int rebootcheck_call_off_earlier(Phase *p) {
        _cleanup_bus_ Bus *bus = NULL;
        RebootDate d = {};
        int r;

        if (p->dry_run || !fs_is_host(p->root))
                return 0;
        r = rebootcheck_recall(p->root, &d);
        if (r > 0)
                r = bus_open(&bus);
        if (r >= 0 && bus)
                r = rebootcheck_call_off(bus, &d);
        if (r > 0)
                phase_note(p, "The restart that an earlier run announced is called off");
        if (r >= 0 && bus)
                r = fs_remove(p->root, SCHEDULED_PATH);
        if (r < 0)
                return phase_fail(p, r, "'shutdown -c' does; then try again.",
                                  "Cannot call off the restart that an earlier run announced");
        return 0;
}

int rebootcheck_scheduled(Phase *p, Bus *bus) {
        _cleanup_free_ char *type = NULL;
        char date[64] = "a time that it does not tell";
        uint64_t at = 0;
        struct tm tm;
        time_t t;
        int r;

        r = logind_scheduled_shutdown(bus, &type, &at);
        if (r < 0)
                return phase_fail(p, r,
                                  "Is systemd-logind.service running? Restart the machine yourself to go on.",
                                  "Cannot ask logind whether a shutdown is scheduled");
        if (r == 0)
                return 0;
        t = (time_t) (at / USEC_PER_SEC);
        if (localtime_r(&t, &tm))
                (void) strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
        return phase_fail(
                        p, 0,
                        "Start gpuvm-bootstrap.target again after it, or call it off with 'shutdown -c' and "
                        "start the target then.",
                        "Somebody has scheduled a shutdown already (%s, at %s)", type, date);
}

int rebootcheck_useful(Phase *p, char *const *useless) {
        if (!useless)
                return 0;
        return phase_fail(
                        p, 0,
                        "A restart cannot help. The firmware setup may have the function switched off; "
                        "'gpuvm-preflight --dry-run' names the setting",
                        "Phase '%s' asks for a restart, but the kernel runs with the parameter that it asks for",
                        useless[0]);
}

static int load_story(Phase *p, RebootStory *ret) {
        int r = reboot_story_load(p->root, ret);

        if (r < 0)
                return phase_fail(
                                p, r,
                                "To be safe that counts as restarted too often. If the machine may be restarted "
                                "again, 'rm " REBOOT_PENDING_PATH "' and start gpuvm-bootstrap.target",
                                "Cannot read " REBOOT_PENDING_PATH ", which counts the restarts");
        return 0;
}

static int explain_verdict(Phase *p, RebootVerdict v, const char *which) {
        static const char remedy[] =
                        "A further one would not help. Find out why with 'journalctl -u \"gpuvm-*\"'; "
                        "when the cause is gone, 'rm " REBOOT_PENDING_PATH
                        "' and start gpuvm-bootstrap.target";

        if (v == REBOOT_GRANTED)
                return 0;
        if (v == REBOOT_CAUSE_USED_UP)
                return phase_fail(p, 0, remedy,
                                  "Phase '%s' asks for a restart after %d restarts for it already", which,
                                  REBOOT_MAX_PER_CAUSE);
        return phase_fail(p, 0, remedy, "The bootstrap has restarted the machine %d times already",
                          REBOOT_MAX_TOTAL);
}

int rebootcheck_story(Phase *p, char *const *causes, bool by_us, RebootStory *story) {
        _cleanup_free_ char *boot_id = NULL;
        const char *which;
        RebootVerdict v;
        int r;

        r = load_story(p, story);
        if (r < 0)
                return r;
        r = reboot_boot_id(p->root, &boot_id);
        if (r >= 0)
                r = reboot_decide(story, boot_id, causes, by_us, &v, &which);
        if (r < 0)
                return phase_fail(p, r, "Nothing was restarted.", "Cannot tell one boot from the next");
        return explain_verdict(p, v, which);
}

int rebootcheck_logind(Phase *p, Bus **ret) {
        int r;

        if (p->dry_run || !fs_is_host(p->root))
                return 0;
        r = bus_open(ret);
        if (r < 0)
                return phase_fail(p, r, "Restart the machine yourself to go on.", "Cannot reach logind");
        r = rebootcheck_blockers(p, *ret);
        return r < 0 ? r : rebootcheck_scheduled(p, *ret);
}
