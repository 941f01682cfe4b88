/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "trialboot.h"
#include "bootfile.h"
#include "cmdline.h"
#include "early.h"
#include "entrytrial.h"
#include "fs.h"
#include "grubcfg.h"
#include "grubenv.h"
#include "grubmenu.h"
#include "grubtrial.h"
#include "initramfs.h"
#include "journal.h"
#include "reboot.h"
#include "restore.h"
#include "strv.h"

#define NEXT "next_entry"

static const char *const early_files[] = { EARLY_RULE, EARLY_MODULES, EARLY_INITRD, EARLY_DRACUT };

void trialboot_plan_done(TrialPlan *plan) {
        boot_done(&plan->boot);
        free(plan->kernel);
        free(plan->boot_id);
        free(plan->running);
        free(plan->off);
        *plan = (TrialPlan){};
}

static bool is_armed(int root) {
        _cleanup_free_ char *next = NULL;

        return entrytrial_is_armed(root) ||
                        (grubenv_read(root, NEXT, &next) >= 0 && streq(next, TRIAL_ENTRY));
}

/* A recorded machine may not have one. */
static int this_boot(int root, char **ret) {
        int r = reboot_boot_id(root, ret);

        return r == -ENOENT ? (*ret = strdup("unknown")) ? 0 : -ENOMEM : r;
}

int trialboot_look(Phase *p, Trial *ret, TrialVerdict *ret_verdict) {
        _cleanup_(trial_done) Trial t = {};
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *boot_id = NULL;
        int r;

        r = trial_load(p->root, &t);
        if (r < 0)
                return phase_fail(
                                p, r,
                                "To be safe nothing is tried, and nothing restarted. If it may, 'rm " TRIAL_PATH
                                "' and start gpuvm-bootstrap.target",
                                "Cannot read " TRIAL_PATH ", which says how the trial start stands");
        r = this_boot(p->root, &boot_id);
        if (r >= 0)
                r = cmdline_read(p->root, &words);
        if (r < 0 && r != -ENOENT)
                return phase_fail(p, r, "Mount /proc", "Cannot tell one boot from the next");
        *ret_verdict = trial_judge(&t, boot_id, words, is_armed(p->root));
        *ret = t;
        t = (Trial){};
        return 0;
}

static int cannot(Phase *p, const char *reason) {
        phase_note(p, "No trial start here, so the default changes at once, the old boot files kept: %s",
                   reason);
        return 0;
}

/* Its own image can only be beside the one of Debian's name. */
static bool has_usual_image(const GrubTrial *t) {
        const char *version = t->image ? strstr(t->image, "/initrd.img-") : NULL;

        return !t->image || (version && streq(version + strlen("/initrd.img-"), t->kernel));
}

static int plan_grub(Phase *p, TrialPlan *plan, char **ret_reason) {
        _cleanup_(grubtrial_done) GrubTrial t = {};
        _cleanup_free_ char *cfg = NULL;
        int r;

        r = fs_read(p->root, GRUBMENU_CFG, FS_FILE_MAX, &cfg, NULL);
        if (r < 0)
                return (*ret_reason = strdup(GRUBMENU_CFG " cannot be read")) ? 1 : -ENOMEM;
        r = grubtrial_make(cfg, &plan->wish, "", &t, ret_reason);
        if (r != 0)
                return r;
        if (!has_usual_image(&t))
                return (*ret_reason = strdup("the boot menu names no initramfs like initrd.img-VERSION"))
                                ? 1
                                : -ENOMEM;
        plan->kernel = TAKE_PTR(t.kernel);
        r = grubtrial_obstacle(p->root, ret_reason);
        return r != 0 ? r : grubenv_obstacle(p, TRIAL_ENTRY, ret_reason);
}

static int plan_loader(Phase *p, TrialPlan *plan) {
        _cleanup_free_ char *reason = NULL;
        int r;

        switch (plan->boot.loader) {
        case BOOT_LOADER_GRUB:
                r = plan_grub(p, plan, &reason);
                break;
        case BOOT_LOADER_SYSTEMD:
                r = entrytrial_plan(p, plan->boot.partition, &plan->wish, &plan->kernel, &reason);
                break;
        default: /* told where the words are to be put */
                return 0;
        }
        if (r == -EPERM)
                return cannot(p, "the entry that starts this machine keeps the IOMMU off");
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot plan a trial start");
        return r > 0 ? cannot(p, reason) : 1;
}

int trialboot_plan(Phase *p, const char *firmware, bool override, char *const *words, TrialPlan *ret) {
        _cleanup_(trialboot_plan_done) TrialPlan plan = {};
        const char *image = cmdline_get(words, "BOOT_IMAGE");
        int r;

        r = boot_detect(p->root, &plan.boot);
        if (r >= 0)
                r = this_boot(p->root, &plan.boot_id);
        if (r >= 0)
                r = free_and_strdup(&plan.running, image);
        if (r >= 0)
                r = free_and_strdup(&plan.off, override ? cmdline_iommu_off(words, firmware) : NULL);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        plan.wish = (TrialWish){ .firmware = firmware,
                                 .override = override,
                                 .running = plan.running,
                                 .boot_id = plan.boot_id };
        r = reboot_boot_id_is_valid(plan.boot_id) ? plan_loader(p, &plan) : 0;
        if (r <= 0)
                return r;
        *ret = plan;
        plan = (TrialPlan){};
        return 1;
}

static int save_stage(Phase *p, const TrialPlan *plan, TrialStage stage) {
        const Trial t = { .stage = stage,
                          .boot_id = plan->boot_id,
                          .off = plan->off,
                          .network = plan->network };
        int r = trial_save(p->root, &t);

        return r < 0 ? phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot write " TRIAL_PATH)
                     : 0;
}

int trialboot_begin(Phase *p, Undo *u, const TrialPlan *plan) {
        const char *off[] = { plan->off, NULL };
        int r;

        r = trialboot_remove(p);
        if (r < 0)
                return r;
        r = p->dry_run ? 0 : undo_record_refresh(u, "trial");
        if (r < 0)
                return phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room; nothing was changed",
                                  "Cannot record the change");
        r = p->dry_run ? 0 : save_stage(p, plan, TRIAL_STAGE_MAKING);
        if (r >= 0)
                r = boot_rehearse(p, u, plan->wish.firmware, plan->wish.override, (char **) off);
        return MIN(r, 0);
}

/* The entry as it will be, with all that it names there. */
static int make_entry(Phase *p, const TrialPlan *plan, bool own_image, char **ret) {
        _cleanup_(grubtrial_done) GrubTrial t = {};
        _cleanup_free_ char *cfg = NULL, *problem = NULL;
        int r;

        r = fs_read(p->root, GRUBMENU_CFG, FS_FILE_MAX, &cfg, NULL);
        if (r >= 0)
                r = grubtrial_make(cfg, &plan->wish, own_image ? TRIAL_IMAGE : "", &t, &problem);
        if (r == 0)
                r = grubcfg_check(t.block, plan->wish.firmware, grubmenu_file_exists, &p->root, &problem);
        if (r != 0)
                return phase_fail(p, MIN(r, 0), "The boot menu is as it was; look at " GRUBMENU_CFG,
                                  "Cannot make the trial's entry: %s", strna(problem));
        *ret = TAKE_PTR(t.block);
        return 0;
}

/* Returns 1 if the loader does it, 0 if it cannot. */
static int arm_grub(Phase *p, Undo *u, const TrialPlan *plan, bool own_image) {
        _cleanup_free_ char *block = NULL;
        int r;

        r = phase_change(p, "write", GRUBTRIAL_CFG, "an entry for one start, panic=%d: %s", TRIAL_PANIC_SEC,
                         boot_iommu_words(plan->wish.firmware));
        if (r >= 0)
                r = phase_change(p, "write", GRUBENV_PATH, NEXT "=" TRIAL_ENTRY);
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 1;
        r = make_entry(p, plan, own_image, &block);
        if (r >= 0)
                r = grubtrial_put(p, u, block);
        if (r < 0)
                return r;
        r = grubenv_set(p, NEXT, TRIAL_ENTRY);
        return r < 0 ? cannot(p, "'grub-editenv' does not set " NEXT) : 1;
}

static int arm_systemd(Phase *p, Undo *u, const TrialPlan *plan, bool own_image) {
        _cleanup_free_ char *image = NULL;
        int r;

        r = phase_change(p, "write", TRIAL_ENTRY ".conf", "an entry for one start, panic=%d: %s",
                         TRIAL_PANIC_SEC, boot_iommu_words(plan->wish.firmware));
        if (r >= 0)
                r = phase_change(p, "write", "LoaderEntryOneShot", TRIAL_ENTRY ".conf");
        if (r > 0 && own_image && str_printf(&image, "/boot/initrd.img-%s" TRIAL_IMAGE, plan->kernel) < 0)
                r = -ENOMEM;
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 1;
        r = entrytrial_put(p, u, plan->boot.partition, &plan->wish, image);
        if (r < 0)
                return r;
        r = entrytrial_arm(p, true);
        return r < 0 ? cannot(p, "'bootctl set-oneshot' does not work") : 1;
}

int trialboot_arm(Phase *p, Undo *u, const TrialPlan *plan, bool own_image) {
        bool grub = plan->boot.loader == BOOT_LOADER_GRUB;
        int r;

        r = grub ? arm_grub(p, u, plan, own_image) : arm_systemd(p, u, plan, own_image);
        if (r <= 0 || p->dry_run)
                return r;
        r = save_stage(p, plan, TRIAL_STAGE_READY);
        return r < 0 ? r : 1;
}

int trialboot_early_back(Phase *p) {
        static char *const vfio[] = { (char *) "vfio", NULL };
        _cleanup_(ledger_done) Ledger l = {};
        int r;

        r = initramfs_has_ours(p->root);
        if (r == 0)
                r = ledger_load(p->root, &l);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(early_files); i++) {
                const LedgerRecord *t = restore_target(&l, vfio, early_files[i]);
                RestoreState state = RESTORE_DONE;
                const char *step;

                r = t ? restore_look(p->root, &l, vfio, t, &state, &step) : 0;
                if (r >= 0 && state == RESTORE_OURS)
                        r = restore_file(p->root, t);
        }
        for (size_t i = l.n; r >= 0 && i-- > 0;)
                if (streq(l.records[i].kind, "dir") && streq(l.records[i].step, vfio[0]))
                        r = restore_dir(p->root, l.records[i].object);
        return r < 0 ? phase_fail(p, r, "Make /etc writable, with some room; 'gpuvm-undo vfio' does the same",
                                  "Cannot take what is in the trial's image out of /etc")
                     : 0;
}

/* What a run that was cut has left beside the files of the boot menu. */
static int tidy(int root) {
        static const char *const paths[] = { GRUBTRIAL_CFG, GRUBTRIAL_CFG BOOTFILE_NEW,
                                             GRUBENV_PATH BOOTFILE_NEW };
        int r = 0;

        grubmenu_tidy(root);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(paths); i++) {
                r = restore_leftover(root, paths[i]);
                if (r >= 0 && endswith(paths[i], BOOTFILE_NEW))
                        r = fs_remove(root, paths[i]);
        }
        return r;
}

/* What GRUB has taken it leaves behind as an empty value. */
static int disarm(Phase *p) {
        _cleanup_free_ char *next = NULL;
        int r;

        r = grubenv_read(p->root, NEXT, &next);
        if (r < 0 || !(isempty(next) || streq(next, TRIAL_ENTRY)))
                return 0;
        r = phase_change(p, "write", GRUBENV_PATH, "without " NEXT "=%s", next);
        if (r > 0)
                r = grubenv_set(p, NEXT, NULL);
        return r < 0 ? phase_fail(p, r, "'grub-editenv - unset " NEXT "' does it",
                                  "Cannot take " NEXT " out of " GRUBENV_PATH)
                     : 1;
}

/* The order first: an order for an entry that is not there any more would start the first one, whatever the
 * default is. */
int trialboot_remove(Phase *p) {
        int r, n;

        n = disarm(p);
        if (n < 0)
                return n;
        r = p->dry_run ? 0 : tidy(p->root);
        if (r >= 0)
                r = grubtrial_remove(p);
        n |= r > 0;
        if (r >= 0)
                r = entrytrial_remove(p);
        n |= r > 0;
        if (r >= 0)
                r = initramfs_remove_trial(p);
        n |= r > 0;
        return r < 0 ? phase_fail(p, r, "Make /boot writable, then try again",
                                  "Cannot take away what is left of the trial start")
                     : n;
}

int trialboot_forget(Phase *p) {
        int r;

        r = trialboot_remove(p);
        if (r >= 0 && !p->dry_run)
                r = trial_forget(p->root);
        return r < 0 ? phase_fail(p, r, "Make /boot and /var/lib/gpuvm writable, then try again",
                                  "Cannot take away what is left of the trial start")
                     : 0;
}

int trialboot_save(Phase *p, Trial *t, TrialStage stage) {
        int r = t->boot_id ? 0 : reboot_boot_id(p->root, &t->boot_id);

        t->stage = stage;
        if (r >= 0 && !p->dry_run)
                r = trial_save(p->root, t);
        return r < 0 ? phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot write " TRIAL_PATH)
                     : 0;
}

/* Noted before anything is taken away: whatever happens now, it is not tried again by itself. */
int trialboot_fail(Phase *p, Trial *t, TrialVerdict v) {
        static const char motd[] =
                        "The trial start of this machine with the IOMMU on failed; it starts as before.\n"
                        "'gpu-vm-bootstrap --status' tells more.\n";
        bool lost = v == TRIAL_LOST;
        int r;

        r = trialboot_save(p, t, lost ? TRIAL_STAGE_LOST : TRIAL_STAGE_USELESS);
        if (r >= 0)
                r = trialboot_remove(p);
        if (r >= 0 && !p->dry_run)
                r = reboot_motd(p->root, motd);
        if (r < 0)
                return r;
        p->failure_event = EVENT_TRIAL_FAILED;
        if (lost)
                return phase_fail(
                                p, 0,
                                "It starts with the old entry, and nothing of the trial is left. A panic is on the "
                                "console or in /var/lib/systemd/pstore, how far it came in 'journalctl "
                                "--list-boots'; a hang leaves nothing. When the cause is gone, start "
                                "gpuvm-bootstrap.target again",
                                "The trial failed: the machine did not come up with the IOMMU on");
        return phase_fail(
                        p, 0,
                        "Turn on VT-d (Intel) or IOMMU, AMD-Vi (AMD) in the firmware setup, restart, then start "
                        "gpuvm-bootstrap.target again. The default was not changed, and nothing of the trial is "
                        "left",
                        "The trial failed: the machine came up with the words for the IOMMU, but the kernel made "
                        "no IOMMU groups");
}
