/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernelswap.h"
#include "apt.h"
#include "boot.h"
#include "bootfile.h"
#include "fs.h"
#include "grubcfg.h"
#include "grubenv.h"
#include "grubmenu.h"
#include "grubplace.h"
#include "grubtrial.h"
#include "journal.h"
#include "kernelplan.h"
#include "reboot.h"
#include "rebootcheck.h"
#include "trialboot.h"
#include "trialnet.h"

#define NEXT     "next_entry"
#define STEP     "packages"
#define WRITABLE "Make " STATE_DIR " and /etc/default/grub.d writable, with some room"

enum { KERNEL_ROOM = 200 * 1024 * 1024 }; /* in /boot: a kernel, its initramfs, and that one made once more */

static int save(Phase *p, Trial *t, TrialStage stage) {
        int r = t->boot_id ? 0 : reboot_boot_id(p->root, &t->boot_id);

        t->stage = stage;
        if (r >= 0 && !p->dry_run)
                r = trial_save_to(p->root, TRIAL_KERNEL_PATH, t);
        return r < 0 ? phase_fail(p, r, WRITABLE, "Cannot write " TRIAL_KERNEL_PATH) : 0;
}

int kernelswap_forget(Phase *p) {
        int r = trialboot_remove(p);

        if (r >= 0 && !p->dry_run)
                r = fs_remove(p->root, TRIAL_KERNEL_PATH);
        if (r >= 0 && !p->dry_run)
                r = reboot_withdraw(p->root, STEP);
        return r < 0 ? phase_fail(p, r, WRITABLE ", then try again",
                                  "Cannot take away what is left of the start with another kernel")
                     : 0;
}

bool kernelswap_is_pending(int root) {
        return fs_exists(root, "/run/gpuvm/reboot.d/" STEP) > 0;
}

static void put_back(Phase *p, const char *before, bool made) {
        int r = before ? fs_write_if_changed(p->root, KERNELPLAN_DROPIN, before, strlen(before), 0644)
                       : fs_remove(p->root, KERNELPLAN_DROPIN);

        if (r < 0 || (made && boot_refresh(p, NULL, NULL) < 0))
                phase_note(p, "Could not take back " KERNELPLAN_DROPIN "; remove it and run 'update-grub'");
}

/* Has the menu start this kernel by default, by what the drop-in says. */
static int set_default(Phase *p, Undo *u, const char *text, const char *kernel) {
        _cleanup_free_ char *before = NULL, *named = NULL;
        bool made;
        int r;

        r = phase_change(p, "write", KERNELPLAN_DROPIN, "the boot menu's default is %s", kernel);
        if (r >= 0)
                r = phase_change(p, "write", GRUBMENU_CFG, "made beside, checked, then renamed");
        if (r <= 0)
                return r < 0 ? log_oom() : 0;
        (void) !fs_read(p->root, KERNELPLAN_DROPIN, FS_FILE_MAX, &before, NULL);
        r = undo_record_refresh(u, "bootloader");
        if (r >= 0)
                r = undo_write_file(u, KERNELPLAN_DROPIN, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, WRITABLE "; nothing was changed", "Cannot write " KERNELPLAN_DROPIN);
        r = boot_refresh(p, u, NULL);
        made = r >= 0;
        if (r >= 0)
                r = grubmenu_default(p->root, &named);
        if (r >= 0 && streq(named, kernel))
                return 0;
        if (made && (r >= 0 || r == -ENOENT))
                r = phase_fail(p, 0,
                               "Look for what sets GRUB_DEFAULT in /etc/default/grub, in /etc/default/grub.d "
                               "and below /etc/grub.d; the old default is back",
                               "The boot menu does not start %s by default, as " KERNELPLAN_DROPIN " says",
                               kernel);
        put_back(p, before, made);
        return r;
}

static int hold(Phase *p, Undo *u, const KernelPlan *plan) {
        _cleanup_free_ char *text = NULL, *now = NULL, *named = NULL;
        int r;

        r = kernelplan_hold(plan->place, &text);
        if (r < 0)
                return phase_fail(p, r, "Give its entry another id", "Cannot name '%s' to GRUB", plan->place);
        r = fs_read(p->root, KERNELPLAN_DROPIN, FS_FILE_MAX, &now, NULL);
        if (r >= 0 && streq(now, text) && grubmenu_default(p->root, &named) >= 0 &&
            streq(named, plan->running))
                return 0;
        return set_default(p, u, text, plan->running);
}

/* Nothing that could be tried here: told before anything is changed. */
static int look_for_obstacle(Phase *p, const KernelPlan *plan) {
        _cleanup_free_ char *reason = NULL;
        const char *obstacle = plan->obstacle;
        int r = 0;

        if (!obstacle)
                r = grubtrial_obstacle(p->root, &reason);
        if (r == 0 && !obstacle)
                r = grubenv_obstacle(p, TRIAL_ENTRY, &reason);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot/grub", "Cannot plan a start with another kernel");
        obstacle = obstacle ?: reason;
        if (!obstacle)
                return 0;
        return phase_fail(
                        p, 0,
                        "Install a kernel that has it (linux-image-amd64 or linux-image-arm64 on Debian, "
                        "linux-generic on Ubuntu), have your boot loader start that one, restart, and start "
                        "gpuvm-bootstrap.target again. Nothing was changed",
                        "The kernel %s lacks %s, which VFIO needs on this machine, and another cannot be tried "
                        "once: %s",
                        plan->running, plan->lacks, obstacle);
}

static int install(Phase *p, Undo *u, KernelPlan *plan) {
        const char *const packages[] = { plan->package, NULL };
        int r;

        if (plan->kernel)
                return 0;
        r = bootfile_room(p->root, "/boot", KERNEL_ROOM);
        if (r < 0)
                return phase_fail(p, r, "Make room there ('apt autoremove' removes old kernels)",
                                  "/boot has no room for another kernel (200 MiB)");
        r = apt_ensure(p, u, packages);
        if (r < 0 || p->dry_run)
                return r;
        r = kernel_find(p->root, plan->firmware, &plan->kernel);
        if (r > 0)
                return 0;
        return phase_fail(p, r, "Look what is in /boot; the running kernel is still the default",
                          "The package %s is installed, and there is no kernel with %s and an initramfs",
                          plan->package, plan->lacks);
}

static int make_entry(Phase *p, const KernelPlan *plan, char **ret) {
        const TrialWish wish = { .kernel = plan->kernel };
        _cleanup_free_ char *menu = NULL, *place = NULL, *problem = NULL;
        _cleanup_(grubtrial_done) GrubTrial t = {};
        int r;

        r = fs_read(p->root, GRUBMENU_CFG, FS_FILE_MAX, &menu, NULL);
        if (r >= 0)
                r = grubplace_find(menu, plan->kernel, &place);
        if (r == -ENOENT && boot_refresh(p, NULL, NULL) > 0) {
                free(TAKE_PTR(menu));
                r = fs_read(p->root, GRUBMENU_CFG, FS_FILE_MAX, &menu, NULL);
        }
        if (r >= 0)
                r = grubtrial_make(menu, &wish, "", &t, &problem);
        if (r == 0)
                r = grubcfg_check(t.block, NULL, grubmenu_file_exists, &p->root, &problem);
        if (r != 0)
                return phase_fail(p, MIN(r, 0), "Look at " GRUBMENU_CFG,
                                  "Cannot make an entry that starts %s once: %s", plan->kernel,
                                  problem ?: "there is none for it in the boot menu");
        *ret = TAKE_PTR(t.block);
        return 0;
}

static int arm(Phase *p, Undo *u, const KernelPlan *plan) {
        const char *kernel = plan->kernel ?: plan->package;
        _cleanup_free_ char *block = NULL;
        int r;

        r = phase_change(p, "write", GRUBTRIAL_CFG, "an entry for one start, panic=%d: %s", TRIAL_PANIC_SEC,
                         kernel);
        if (r >= 0)
                r = phase_change(p, "write", GRUBENV_PATH, NEXT "=" TRIAL_ENTRY);
        if (r <= 0)
                return r < 0 ? log_oom() : 0;
        r = make_entry(p, plan, &block);
        if (r >= 0)
                r = grubtrial_put(p, u, block);
        if (r < 0)
                return r;
        r = grubenv_set(p, NEXT, TRIAL_ENTRY);
        return r < 0 ? phase_fail(p, r, "Look at 'grub-editenv list'; the default is the running kernel",
                                  "Cannot have GRUB start %s once", kernel)
                     : 0;
}

/* Returns KERNELSWAP_PENDING. */
static int ask(Phase *p, const KernelPlan *plan, const char *kernel) {
        _cleanup_free_ char *why = NULL;
        int r;

        r = str_printf(&why, "The kernel %s has %s, which VFIO needs on this machine", kernel, plan->lacks);
        if (r >= 0)
                r = phase_change(p, "request", "reboot", "%s", why);
        if (r > 0)
                r = reboot_request(p->root, STEP, why);
        return r < 0 ? phase_fail(p, r, "Restart the machine yourself", "Cannot ask for a restart")
                     : KERNELSWAP_PENDING;
}

/* A restart that would be refused is not prepared: the order to the loader would wait for whichever comes
 * next. */
static int see_if_granted(Phase *p, const Conf *c) {
        _cleanup_(reboot_story_done) RebootStory story = {};
        char *causes[] = { (char *) STEP, NULL };

        return rebootcheck_story(p, causes, c->reboot == REBOOT_AUTO, &story);
}

static int prepare(Phase *p, Undo *u, const Conf *c, KernelPlan *plan, Trial *t) {
        int r;

        r = look_for_obstacle(p, plan);
        if (r >= 0)
                r = see_if_granted(p, c);
        if (r >= 0 && fs_exists(p->root, TRIAL_PATH) > 0) /* one of a command line, for the old kernel */
                r = trialboot_forget(p);
        if (r < 0)
                return r;
        if (t->stage >= TRIAL_STAGE_LOST)
                phase_note(p, "A start with another kernel failed before; this is another");
        trial_done(t);
        t->network = trialnet_is_up(p->root);
        r = p->dry_run ? 0 : undo_record_refresh(u, "kernel");
        if (r < 0)
                return phase_fail(p, r, WRITABLE "; nothing was changed", "Cannot record the change");
        r = save(p, t, TRIAL_STAGE_MAKING);
        if (r >= 0)
                r = hold(p, u, plan);
        if (r >= 0)
                r = install(p, u, plan);
        if (r >= 0)
                r = arm(p, u, plan);
        if (r >= 0)
                r = save(p, t, TRIAL_STAGE_READY);
        if (r < 0)
                return r;
        phase_note(p,
                   "The next start tries the kernel %s once; %s stays the default until the machine has come up "
                   "with the other",
                   plan->kernel ?: plan->package, plan->running);
        return ask(p, plan, plan->kernel ?: plan->package);
}

/* Told once, and by the login; after that an administrator starts another, or nobody. */
static int lost(Phase *p, const KernelPlan *plan, Trial *t) {
        int r;

        r = save(p, t, TRIAL_STAGE_LOST);
        if (r >= 0)
                r = trialboot_remove(p);
        if (r >= 0 && !p->dry_run)
                r = reboot_motd(p->root,
                                "This machine did not come up with another kernel; it starts as before.\n"
                                "'gpu-vm-bootstrap --status' tells more.\n");
        if (r < 0)
                return r;
        p->failure_event = EVENT_TRIAL_FAILED;
        return phase_fail(
                        p, 0,
                        "It starts with the old one, which stays the default. A panic is on the console or in "
                        "/var/lib/systemd/pstore, how far it came in 'journalctl --list-boots'. When the cause "
                        "is gone, start gpuvm-bootstrap.target again",
                        "The trial failed: the machine did not come up with a kernel that has %s",
                        plan->lacks);
}

static int cut_off(Phase *p, Trial *t) {
        static const char why[] = "the start with another kernel left the machine without its network";
        int r;

        r = save(p, t, TRIAL_STAGE_OFFLINE);
        if (r >= 0)
                r = trialboot_remove(p);
        if (r < 0)
                return r;
        if (phase_change(p, "request", "reboot", "%s", why) > 0)
                r = reboot_request(p->root, STEP, why);
        if (r < 0)
                return phase_fail(p, r, "Restart it: it starts with the old kernel",
                                  "The trial failed: %s, and no restart can be asked for", why);
        return KERNELSWAP_OFFLINE;
}

/* The running kernel will do, and is there by our trial, or by the administrator's hand. */
static int commit(Phase *p, Undo *u, const KernelPlan *plan, Trial *t) {
        _cleanup_free_ char *menu = NULL, *place = NULL, *newest = NULL, *text = NULL;
        int r;

        if (t->network && t->stage != TRIAL_STAGE_GOOD && trialnet_wait(p) == 0)
                return cut_off(p, t);
        r = save(p, t, TRIAL_STAGE_GOOD);
        if (r < 0)
                return r;
        r = fs_read(p->root, GRUBMENU_CFG, FS_FILE_MAX, &menu, NULL);
        if (r >= 0)
                r = kernel_find(p->root, plan->firmware, &newest);
        if (r >= 0)
                r = grubplace_find(menu, newest ?: plan->running, &place);
        if (r >= 0)
                r = kernelplan_choose(place, newest ?: plan->running, plan->firmware, &text);
        if (r < 0)
                return phase_fail(p, r, "Look at " GRUBMENU_CFG "; 'update-grub' makes it anew",
                                  "Cannot find the kernel %s in the boot menu", newest ?: plan->running);
        r = set_default(p, u, text, newest ?: plan->running);
        if (r >= 0)
                r = kernelswap_forget(p);
        if (r >= 0)
                phase_note(p, "The machine came up with the kernel %s, which is the default now",
                           plan->running);
        return r;
}

static bool is_armed(int root) {
        _cleanup_free_ char *next = NULL;

        return grubenv_read(root, NEXT, &next) >= 0 && streq(next, TRIAL_ENTRY);
}

static int replace(Phase *p, Undo *u, const Conf *c, KernelPlan *plan, Trial *t) {
        _cleanup_free_ char *boot_id = NULL;
        int r;

        if (plan->chosen) /* this start was another's choice */
                return ask(p, plan, plan->kernel);
        if (t->stage != TRIAL_STAGE_READY || !t->boot_id)
                return prepare(p, u, c, plan, t);
        r = reboot_boot_id(p->root, &boot_id);
        if (r < 0)
                return phase_fail(p, r, "Mount /proc", "Cannot tell one boot from the next");
        if (is_armed(p->root)) { /* nothing has asked GRUB since: the same boot, or kexec */
                phase_note(p, "The start with another kernel is prepared; only the restart is missing");
                return ask(p, plan, plan->kernel ?: "another kernel");
        }
        return streq(t->boot_id, boot_id) ? prepare(p, u, c, plan, t) : lost(p, plan, t);
}

int kernelswap_ensure(Phase *p, Undo *u, const Conf *c) {
        _cleanup_(kernelplan_done) KernelPlan plan = {};
        _cleanup_(trial_done) Trial t = {};
        int r;

        r = kernelplan_read(p->root, &plan);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot and /sys/firmware", "Cannot tell what the kernel has");
        r = trial_load_from(p->root, TRIAL_KERNEL_PATH, &t);
        if (r < 0)
                return phase_fail(p, r,
                                  "To be safe nothing is tried. If it may, 'rm " TRIAL_KERNEL_PATH
                                  "' and start gpuvm-bootstrap.target",
                                  "Cannot read " TRIAL_KERNEL_PATH);
        if (plan.lacks)
                return replace(p, u, c, &plan, &t);
        return t.boot_id ? commit(p, u, &plan, &t) : 0;
}
