/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-packages: the system update, where it was asked for, and the few tools that every host needs.
 *
 * The update is a step of the bootstrap, not a timer: done once, remembered in /var/lib/gpuvm/system-update,
 * and left to unattended-upgrades from then on. It never restarts the machine, because nothing that follows
 * needs the newest kernel; what needs a restart is said.
 *
 * A kernel that VFIO does not work with is another thing: the distribution's generic one is tried in its
 * place (kernelswap.h), and that takes a restart. */

#include "apt.h"
#include "conf.h"
#include "fs.h"
#include "journal.h"
#include "kernelswap.h"
#include "phase.h"
#include "undo.h"

#define UPDATED_PATH    STATE_DIR "/system-update"
#define RESTART_PATH    "/run/reboot-required"
#define STATE_DIR_WHERE "See that " STATE_DIR " can be written."

static bool arg_update;

/* In the order of need: https to the sources of packages and images; bridges and routes; modprobe for the
 * VFIO drivers; lspci, to give the addresses in our reports a name. */
static const char *const tools[] = { "ca-certificates", "iproute2", "kmod", "pciutils", NULL };

static int parse(int value, const char *argument) {
        (void) value;
        (void) argument;
        arg_update = true;
        return 0;
}

/* A full update is also a security update. */
static bool was_updated(int root, UpdateMode mode) {
        _cleanup_free_ char *done = NULL;

        if (arg_update || fs_read_line(root, UPDATED_PATH, &done) < 0)
                return false;
        return streq(done, update_mode_to_string(mode)) || streq(done, update_mode_to_string(UPDATE_YES));
}

static int update_system(Phase *p, Undo *u, UpdateMode mode) {
        _cleanup_free_ char *text = NULL;
        int r, n;

        if (mode == UPDATE_NO || was_updated(p->root, mode))
                return 0;
        if (p->dry_run) {
                r = phase_change(p, "upgrade", "packages",
                                 mode == UPDATE_YES ? "everything that has a newer version"
                                                    : "what the security archive has a newer version of");
                return r < 0 ? log_oom() : 0;
        }
        n = apt_upgrade(p, mode);
        if (n < 0)
                return n;
        if (n == 0)
                phase_note(p, "The system was up to date");
        r = str_printf(&text, "%s\n", update_mode_to_string(mode));
        if (r >= 0)
                r = undo_write_file(u, UPDATED_PATH, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, STATE_DIR_WHERE, "Cannot write '%s'", UPDATED_PATH);
        if (fs_exists(p->root, RESTART_PATH) > 0)
                phase_note(p, "An upgraded package asks for a restart; gpuvm does not need one for that");
        return 0;
}

static int see_to_kernel(Phase *p, Undo *u, const Conf *c) {
        int r = kernelswap_ensure(p, u, c);

        if (r == KERNELSWAP_OFFLINE)
                log_fields(LOG_WARNING, (const char *const[]){ EVENT_TRIAL_FAILED, NULL },
                           "The trial failed: the machine came up with another kernel, but has no default route "
                           "any more, as it had before. A restart brings back the old kernel; 'journalctl -b -1 -k' "
                           "shows what its network card met");
        return r;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf c = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        int r;

        r = conf_load_and_warn(p->root, &c);
        if (r >= 0)
                r = undo_open(p->root, p->name, &u);
        if (r < 0)
                return log_oom();
        r = update_system(p, u, arg_update && c.update_system == UPDATE_NO ? UPDATE_YES : c.update_system);
        if (r < 0)
                return r;
        r = apt_ensure(p, u, tools);
        if (r >= 0 && c.vfio)
                r = see_to_kernel(p, u, &c);
        return MIN(r, PHASE_OK);
}

static const struct option options[] = { { "update", no_argument, NULL, 0x200 }, {} };

static const Helper helper = {
        .name = "gpuvm-packages",
        .summary = "Update the system where asked, install essential tools, see to the kernel.",
        .options_help = "     --update     Update the system now, also if that was done before\n",
        .options = options,
        .parse = parse,
        .run = run,
};

DEFINE_HELPER(helper)
