/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "takeback.h"
#include "account.h"
#include "apt.h"
#include "bridgechange.h"
#include "child.h"
#include "containerengine.h"
#include "fs.h"
#include "kernelswap.h"
#include "known.h"
#include "modeset.h"
#include "reboot.h"
#include "rebootcheck.h"
#include "remake.h"
#include "restore.h"
#include "takebackfile.h"
#include "trialboot.h"
#include "turn.h"
#include "unitfile.h"
#include "virt.h"

enum { TOOL_TIMEOUT_SEC = 90, TURN_WAIT_SEC = 5 };

void takeback_done(Takeback *t) {
        ledger_done(&t->ledger);
        strv_free(t->steps);
        free(t->done);
}

void takeback_failed(Takeback *tb, int error) {
        if (tb->error == 0)
                tb->error = error;
}

bool takeback_wants(const Takeback *tb, size_t i, const char *kind) {
        const LedgerRecord *r = &tb->ledger.records[i];

        return !tb->done[i] && streq(r->kind, kind) && restore_selects(tb->steps, r);
}

int takeback_tool(Takeback *tb, const char *a, const char *b, const char *c, const char *d) {
        const char *const argv[] = { a, b, c, d, NULL };

        return child_run(&(const Child){ PHASE_CHILD(tb->p), .argv = argv,
                                         .timeout_usec = TOOL_TIMEOUT_SEC * USEC_PER_SEC });
}

/* Returns 1 if the record may be forgotten: it worked, or the unit is gone with its package. */
static int undo_one_unit(Takeback *tb, const LedgerRecord *r, const char *verb) {
        int k = phase_change(tb->p, verb, r->object, "it was %s before step '%s'", r->was, r->step);

        if (k <= 0)
                return k;
        k = takeback_tool(tb, "/usr/bin/systemctl", verb, r->object, NULL);
        if (k == 0)
                return 1;
        if (unitfile_exists(tb->p->root, r->object) == 0) {
                phase_note(tb->p, "There is no %s any more: nothing to %s", r->object, verb);
                return 1;
        }
        return phase_fail(tb->p, MIN(k, 0), "See 'systemctl status' of it, then try again",
                          "'systemctl %s %s' did not work", verb, r->object);
}

static void undo_units(Takeback *tb, const char *kind, const char *on, const char *start, const char *stop) {
        for (size_t i = tb->ledger.n; i-- > 0;) {
                const LedgerRecord *r = &tb->ledger.records[i];
                const char *verb = streq(r->was, on) ? start : stop;
                int k;

                if (!takeback_wants(tb, i, kind))
                        continue;
                k = undo_one_unit(tb, r, verb);
                if (k < 0)
                        takeback_failed(tb, k);
                tb->done[i] = k > 0;
        }
}

static int undo_libvirt_object(Virt *v, VirtKind kind, const LedgerRecord *r) {
        int k;

        if (streq(r->was, "no-autostart"))
                return virt_set_autostart(v, kind, r->object, false);
        k = virt_stop(v, kind, r->object);
        return k >= 0 && streq(r->was, "absent") ? virt_undefine(v, kind, r->object) : k;
}

static void undo_libvirt(Takeback *tb) {
        _cleanup_(virt_closep) Virt *v = NULL;

        for (size_t i = tb->ledger.n; i-- > 0;) {
                const LedgerRecord *r = &tb->ledger.records[i];
                _cleanup_free_ char *message = NULL, *object = NULL;
                VirtState state = {};
                VirtKind kind;
                int k;

                if (!takeback_wants(tb, i, "pool") && !takeback_wants(tb, i, "network"))
                        continue;
                kind = virt_kind_from_string(r->kind);
                k = v ? 0 : virt_open_root(tb->p->root, &v, &message);
                if (k == -ENOPKG) { /* with the library gone, so are the objects */
                        tb->done[i] = true;
                        continue;
                }
                if (k >= 0)
                        k = virt_state(v, kind, r->object, &state);
                if (k >= 0 && !state.defined && !state.active) {
                        tb->done[i] = true;
                        continue;
                }
                if (k >= 0)
                        k = str_printf(&object, "%s %s", r->kind, r->object);
                if (k >= 0)
                        k = phase_change(tb->p, "restore", object,
                                         "it was %s before step '%s'; its files stay", r->was, r->step);
                if (k > 0)
                        k = undo_libvirt_object(v, kind, r);
                if (k < 0)
                        takeback_failed(tb,
                                        phase_fail(tb->p, k,
                                                   "Start libvirt ('systemctl start libvirtd'), then try again",
                                                   "Cannot take back libvirt's %s '%s': %s", r->kind,
                                                   r->object, v ? virt_message(v) : strempty(message)));
                tb->done[i] = k >= 0;
        }
}

static void undo_members(Takeback *tb) {
        for (size_t i = tb->ledger.n; i-- > 0;) {
                const LedgerRecord *r = &tb->ledger.records[i];
                int k;

                if (!takeback_wants(tb, i, "member"))
                        continue;
                k = account_is_member(tb->p->root, r->object, r->was);
                if (k == -ENOENT || k == -ESRCH)
                        k = 0;
                if (k > 0)
                        k = phase_change(tb->p, "remove", r->object, "from the group '%s'", r->was);
                if (k > 0)
                        k = takeback_tool(tb, "/usr/bin/gpasswd", "-d", r->object, r->was);
                if (k != 0)
                        takeback_failed(tb,
                                        phase_fail(tb->p, MIN(k, 0), "Do it yourself: gpasswd -d USER GROUP",
                                                   "Cannot take '%s' out of the group '%s'", r->object,
                                                   r->was));
                tb->done[i] = k == 0;
        }
}

/* Before the files: the loader must not be told to take an entry that is gone. */
static void undo_trial(Takeback *tb) {
        for (size_t i = 0; i < tb->ledger.n; i++) {
                int r;

                if (!takeback_wants(tb, i, "refresh") || !streq(tb->ledger.records[i].object, "trial"))
                        continue;
                r = trialboot_remove(tb->p);
                if (r >= 0 && !tb->p->dry_run)
                        r = trial_forget(tb->p->root);
                if (r >= 0 && !tb->p->dry_run) /* a restart without it brings nothing */
                        r = reboot_withdraw(tb->p->root, "iommu");
                if (r < 0)
                        takeback_failed(tb, r);
                tb->done[i] = r >= 0;
        }
}

/* The same for a start with another kernel. */
static void undo_kernel(Takeback *tb) {
        for (size_t i = 0; i < tb->ledger.n; i++) {
                int r;

                if (!takeback_wants(tb, i, "refresh") || !streq(tb->ledger.records[i].object, "kernel"))
                        continue;
                r = kernelswap_forget(tb->p);
                if (r < 0)
                        takeback_failed(tb, r);
                tb->done[i] = r >= 0;
        }
}

/* Before the files: their owner still has to know what he brought up. */
static void undo_network(Takeback *tb) {
        for (size_t i = 0; i < tb->ledger.n; i++) {
                int r;

                if (!takeback_wants(tb, i, "refresh") || !streq(tb->ledger.records[i].object, "network"))
                        continue;
                r = bridgechange_revert(tb->p, false, true);
                if (r < 0)
                        takeback_failed(tb, r);
                tb->done[i] = r >= 0;
        }
}

/* The running kernel's own: it may load a module of its own at any time, and dpkg refuses to remove it. */
static bool is_running(const char *package, const char *running) {
        const char *kind = startswith(package, "linux-image-") ?: startswith(package, "linux-modules-");

        return kind && running && endswith(package, running) &&
                        package[strlen(package) - strlen(running) - 1] == '-';
}

static void undo_packages(Takeback *tb) {
        _cleanup_strv_ char **packages = NULL;
        _cleanup_free_ char *running = NULL;
        int r;

        r = fs_read_line(tb->p->root, "/proc/sys/kernel/osrelease", &running);
        r = r == -ENOMEM ? r : 0;
        for (size_t i = 0; r >= 0 && i < tb->ledger.n; i++) {
                const char *package = tb->ledger.records[i].object;

                if (!takeback_wants(tb, i, "package"))
                        continue;
                if (is_running(package, running))
                        phase_note(tb->p,
                                   "%s stays: it is the running kernel's. Restart with another, then undo again",
                                   package);
                else
                        r = strv_extend(&packages, package);
        }
        if (!packages)
                return;
        if (r >= 0)
                r = apt_remove(tb->p, packages);
        if (r >= 0 && strv_contains(packages, "nvidia-container-toolkit"))
                r = containerengine_tidy(tb->p);
        if (r < 0)
                takeback_failed(tb, r);
        for (size_t i = 0; r >= 0 && i < tb->ledger.n; i++)
                if (takeback_wants(tb, i, "package") && strv_contains(packages, tb->ledger.records[i].object))
                        tb->done[i] = true;
}

/* Which go first: the state to go back to, once we are there, and what we wrote must not be misread without
 * the others. */
static int rank(const Takeback *tb, const LedgerRecord *r) {
        if (streq(r->kind, "wrote"))
                return 2;
        return streq(r->kind, "file") && restore_target(&tb->ledger, tb->steps, r->object) == r;
}

/* Forgets what is taken back. */
static void forget(Takeback *tb) {
        if (tb->p->dry_run)
                return;
        for (int pass = 0; pass < 3; pass++)
                for (size_t i = tb->ledger.n; i-- > 0;) {
                        const LedgerRecord *r = &tb->ledger.records[i];
                        int k;

                        if (!tb->done[i] || rank(tb, r) != pass)
                                continue;
                        k = ledger_remove(tb->p->root, r->name);
                        if (k < 0) {
                                takeback_failed(tb,
                                                phase_fail(tb->p, k, "Make it writable, then try again",
                                                           "Cannot forget %s/%s", LEDGER_DIR, r->name));
                                return;
                        }
                }
}

/* The bootstrap's own memory: with everything taken back, it never was. */
static int forget_story(Phase *p) {
        _cleanup_strv_ char **names = NULL;
        int r;

        if (p->dry_run)
                return 0;
        r = fs_list(p->root, STATE_DIR "/phases", &names);
        if (r == -ENOENT)
                r = 0;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL;

                if (r >= 0)
                        r = str_printf(&path, STATE_DIR "/phases/%s", *n);
                if (r >= 0)
                        r = fs_remove(p->root, path);
        }
        if (r >= 0)
                r = fs_remove(p->root, STATE_DIR "/report.json");
        if (r >= 0)
                r = fs_remove(p->root, KNOWN_PATH);
        if (r >= 0)
                r = fs_remove(p->root, MODESET_SEEN);
        if (r >= 0)
                r = restore_dir(p->root, STATE_DIR "/phases");
        if (r >= 0)
                r = restore_dir(p->root, LEDGER_DIR);
        return r < 0 ? phase_fail(p, r, "Make " STATE_DIR " writable, then try again",
                                  "Cannot forget the bootstrap's own records")
                     : 0;
}

/* Before anything else, and however the rest ends: a bootstrap that waits for a restart would do at the next
 * boot what is taken back now. */
static void end_story(Takeback *tb) {
        int r, k;

        if (tb->p->dry_run)
                return;
        r = reboot_story_end(tb->p->root);
        k = reboot_withdraw_many(tb->p->root, tb->steps);
        if (r >= 0)
                r = k;
        if (r < 0)
                takeback_failed(tb,
                                phase_fail(tb->p, r,
                                           "Remove " REBOOT_PENDING_PATH
                                           " and what is in /run/gpuvm/reboot.d",
                                           "Cannot keep the bootstrap from going on by itself"));
}

/* gpuvm-reboot, which waits for the restart, looks once in a second whether it was called off. */
int takeback_take_turn(Phase *p) {
        pid_t pid = 0;
        int r;

        r = rebootcheck_call_off_earlier(p);
        if (r < 0)
                return r;
        r = turn_take(p->root, true, TURN_WAIT_SEC * USEC_PER_SEC, &pid);
        if (r == -EBUSY)
                return phase_fail(p, 0,
                                  "Wait for its end ('gpu-vm-bootstrap --follow' shows it), then try again. "
                                  "Nothing was taken back",
                                  "The bootstrap is at work (pid %d)", (int) pid);
        return r < 0 ? phase_fail(p, r, "Make it writable, then try again", "Cannot lock " TURN_PATH) : 0;
}

int takeback_run(Takeback *tb) {
        tb->done = calloc(MAX(tb->ledger.n, (size_t) 1), sizeof(bool));
        if (!tb->done)
                return phase_fail(tb->p, -ENOMEM, "Try again", "Cannot go on");
        end_story(tb);
        undo_libvirt(tb);
        undo_units(tb, "active", "active", "start", "stop");
        undo_units(tb, "enabled", "enabled", "enable", "disable");
        undo_trial(tb);
        undo_kernel(tb);
        undo_network(tb);
        takebackfile_run(tb);
        undo_members(tb);
        remake(tb);
        undo_packages(tb);
        forget(tb);
        if (!tb->steps && tb->error == 0)
                tb->error = forget_story(tb->p);
        return tb->error;
}
