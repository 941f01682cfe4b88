/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-resume: after a restart that the bootstrap asked for, starts the target again.
 *
 * gpuvm-resume.service has a condition on the story, so after a finished bootstrap this never runs. The
 * target is only queued: nobody waits for it, and the boot is over before it begins. */

#include "bus.h"
#include "fs.h"
#include "journal.h"
#include "phase.h"
#include "reboot.h"
#include "trial.h"

#define TARGET "gpuvm-bootstrap.target"

static const char motd_running[] =
                "The GPU-VM bootstrap of this machine went on after a restart and is not finished yet.\n"
                "'gpu-vm-bootstrap --status' tells how far it is.\n";
static const char motd_stopped[] = "The GPU-VM bootstrap of this machine has stopped before its end.\n"
                                   "'gpu-vm-bootstrap --status' tells where and why.\n";

#define REMEDY                                                                                                             \
        "Nothing goes on by itself any more. Find out why with 'journalctl -u \"gpuvm-*\"', then 'rm " REBOOT_PENDING_PATH \
        "' and start " TARGET
#define REMEDY_TRIAL                                                                                   \
        "Nothing goes on by itself any more. Find out why ('gpu-vm-bootstrap --status' says where to " \
        "look), then start " TARGET ": that makes another trial"

static int stop_here(Phase *p, int error, const char *remedy, const char *cause) {
        int r = p->dry_run ? 0 : reboot_motd(p->root, motd_stopped);

        if (r < 0)
                log_warning_errno(r, "Failed to write the login message, ignoring: %m");
        return phase_fail(p, error, remedy, "%s", cause);
}

static int start_target(Phase *p) {
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (!fs_is_host(p->root))
                return 0;
        r = bus_open(&bus);
        if (r >= 0)
                r = bus_queue_unit(bus, TARGET, NULL);
        if (r < 0)
                return phase_fail(p, r, "Start it yourself: 'systemctl start " TARGET "'",
                                  "Cannot start " TARGET "%s%s", bus && *bus_message(bus) ? " " : "",
                                  bus ? bus_message(bus) : "");
        log_fields(LOG_NOTICE, (const char *const[]){ EVENT_RESUMED, NULL },
                   "The bootstrap goes on after the restart; 'gpu-vm-bootstrap --follow' shows it");
        return 0;
}

/* The count is on disk before the target starts: whatever stops the machine now, it does not begin for ever.
 */
static int go_on(Phase *p, const RebootStory *story) {
        int r = phase_change(p, "start", TARGET, "the restart that it needed is over");

        if (r <= 0)
                return r;
        r = reboot_story_save(p->root, story);
        if (r < 0)
                return phase_fail(p, r, "Start it yourself: 'systemctl start " TARGET "'",
                                  "Cannot write " REBOOT_PENDING_PATH ", so nothing goes on by itself");
        r = reboot_motd(p->root, motd_running);
        if (r < 0)
                log_warning_errno(r, "Failed to write the login message, ignoring: %m");
        return start_target(p);
}

/* After a trial start that failed an administrator goes on, or nobody. */
static int look_at_trial(Phase *p) {
        int r = p->dry_run ? 0 : trial_note_boot(p->root);

        if (r > 0)
                return stop_here(p, 0, REMEDY_TRIAL, "The trial start of this machine failed before");
        return r < 0 ? stop_here(p, r, REMEDY, "Cannot tell how the trial start of this machine went") : 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(reboot_story_done) RebootStory story = {};
        _cleanup_free_ char *boot_id = NULL;
        int r;

        r = reboot_story_load(p->root, &story);
        if (r < 0)
                return stop_here(p, r, REMEDY,
                                 "Cannot read " REBOOT_PENDING_PATH ", which says how the bootstrap stands");
        if (r == 0)
                return 0;
        r = reboot_boot_id(p->root, &boot_id);
        if (r < 0)
                return phase_fail(p, r, "Start it yourself: 'systemctl start " TARGET "'",
                                  "Cannot tell one boot from the next");
        r = look_at_trial(p);
        if (r < 0)
                return r;
        switch (resume_decide(&story, boot_id)) {
        case RESUME_GO:
                return go_on(p, &story);
        case RESUME_USED_UP:
                return stop_here(p, 0, REMEDY,
                                 "The bootstrap went on after the restart but did not come to its end");
        default:
                return 0;
        }
}

static const Helper helper = {
        .name = "gpuvm-resume",
        .summary = "Go on with the bootstrap after the restart that it asked for.",
        .run = run,
        .no_turn = true,
};
DEFINE_HELPER(helper)
