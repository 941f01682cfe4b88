/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "busy.h"
#include "fs.h"
#include "log.h"
#include "logind.h"
#include "rebootcheck.h"
#include "strv.h"

static uint64_t realtime_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

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
        uint64_t end = realtime_usec() + wait_usec;

        for (;;) {
                _cleanup_(busy_done) Busy busy = {};
                int r = busy_look(p->root, &busy);

                if (r < 0)
                        return phase_fail(p, r, "Nothing was restarted; see the journal.",
                                          "Cannot tell whether the machine is busy");
                if (!busy.reasons)
                        return 0;
                if (!busy.transient || realtime_usec() >= end)
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
        return rebootcheck_blockers(p, *ret);
}
