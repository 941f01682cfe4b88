/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Iommu: sees to it that this machine has IOMMU groups, by the kernel command line if that is what is
 * missing.
 *
 * Nothing is written when there are groups. Nothing is written, and no restart asked for, when a command line
 * cannot help: no DMAR or IVRS table, or the words are there already and the kernel still made no groups;
 * that is a switch in the firmware. What exclusive GPUs need in the initramfs goes along, so that one restart
 * does for both.
 *
 * Where the loader can do it, the words are tried first, by an entry that it takes once (trialboot.h). A
 * machine that comes up with it and has groups makes them the default; one that does not starts with the old
 * ones next time, and the phase says so and tries nothing by itself. One that comes up without the network
 * that it had restarts into the old ones. */

#include "boot.h"
#include "cmdline.h"
#include "conf.h"
#include "early.h"
#include "fs.h"
#include "grubcfg.h"
#include "initramfs.h"
#include "iommu.h"
#include "iommucheck.h"
#include "journal.h"
#include "kernelswap.h"
#include "known.h"
#include "phase.h"
#include "reboot.h"
#include "rebootcheck.h"
#include "trialboot.h"
#include "trialnet.h"

/* There are groups: whatever waits for a restart waits in vain. */
static int settle(Phase *p) {
        int r = p->dry_run ? 0 : reboot_withdraw(p->root, p->name);

        return r < 0 ? phase_fail(p, r, "Make /run writable", "Cannot tidy up after the restart") : 0;
}

/* What exclusive GPUs need at boot, in /etc. It belongs to step vfio, whoever is first: that is where it is
 * taken back, with or without the IOMMU. Returns 1 if the images lack something of it (a run before this one
 * may not have come to their turn). */
static int early_files(Phase *p, Undo *u, const Conf *conf) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        int r, stale;

        if (!conf->vfio)
                return 0;
        r = pci_scan(p->root, &bus);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        r = early_apply(p, u, conf, &bus);
        if (r < 0)
                return r;
        stale = initramfs_is_stale(p->root);
        if (stale < 0)
                return phase_fail(p, stale, "Look at /var/lib/gpuvm",
                                  "Cannot tell what the initramfs was built with");
        return r > 0 || stale > 0;
}

static int open_step(Phase *p, const char *step, Undo **ret) {
        int r = undo_open(p->root, step, ret);

        return r < 0 ? phase_fail(p, r, "Try again", "Cannot open the undo ledger") : 0;
}

static int early(Phase *p, const Conf *conf) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int r;

        r = open_step(p, "vfio", &u);
        if (r >= 0)
                r = early_files(p, u, conf);
        if (r > 0)
                r = initramfs_update(p, u, "takes the early rule and vfio-pci along");
        return MIN(r, 0);
}

/* An image for the trial has what belongs to step vfio, so whoever takes that back takes the trial back. */
static int record_trial_image(Phase *p, Undo *u) {
        int r = p->dry_run ? 0 : undo_record_refresh(u, "trial");

        return r < 0 ? phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot record the change")
                     : 0;
}

/* The same in an image that only the trial starts with; /etc is left as it was. Returns 1 if there is one. */
static int early_for_trial(Phase *p, const Conf *conf, const char *kernel) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int r, k, wanted;

        r = open_step(p, "vfio", &u);
        if (r >= 0)
                r = early_files(p, u, conf);
        wanted = r > 0;
        if (wanted)
                r = record_trial_image(p, u);
        if (r >= 0 && wanted)
                r = initramfs_build_trial(p, kernel, "with the early rule and vfio-pci, for the trial alone");
        k = p->dry_run ? 0 : trialboot_early_back(p);
        return r < 0 ? r : k < 0 ? k : r;
}

static int ask_for_reboot(Phase *p, const char *why, const char *firmware, char *const *words) {
        int r;

        r = phase_change(p, "request", "reboot", "%s", why);
        if (r <= 0)
                return r;
        /* With a word to wait for, a reboot that cannot help is never made. Where an off is overridden the
         * word may be there already. */
        if (streq(firmware, "intel") && !cmdline_iommu_off(words, firmware))
                r = reboot_request_word(p->root, p->name, why, "intel_iommu=on");
        else
                r = reboot_request(p->root, p->name, why);
        return r < 0 ? phase_fail(p, r, "Restart the machine yourself", "Cannot ask for a restart") : 0;
}

static int prepare_trial(Phase *p, Undo *u, const Conf *conf, const TrialPlan *plan) {
        int r, own_image;

        r = trialboot_begin(p, u, plan);
        if (r < 0)
                return r;
        own_image = early_for_trial(p, conf, plan->kernel);
        return own_image < 0 ? own_image : trialboot_arm(p, u, plan, own_image > 0);
}

/* Returns 1 if the next start is a trial, 0 if there can be none here. */
static int make_trial(Phase *p, Undo *u, const Conf *conf, const char *firmware, char *const *words) {
        _cleanup_(trialboot_plan_done) TrialPlan plan = {};
        int r;

        r = trialboot_plan(p, firmware, conf->override_iommu_off, words, &plan);
        if (r <= 0)
                return r;
        plan.network = trialnet_is_up(p->root);
        r = prepare_trial(p, u, conf, &plan);
        if (r <= 0)
                return trialboot_forget(p) < 0 ? -ECANCELED : r;
        phase_note(p,
                   "The next start tries '%s' once; the default stays as it is until the machine has come up "
                   "with IOMMU groups",
                   boot_iommu_words(firmware));
        return 1;
}

/* The default of the loader, for good. words: see boot_iommu(). */
static int make_default(Phase *p, const Conf *conf, const char *firmware, char *const *words) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int r;

        r = open_step(p, p->name, &u);
        if (r >= 0)
                r = boot_iommu(p, u, firmware, conf->override_iommu_off, words);
        if (r < 0)
                return r;
        if (r == 0)
                phase_note(p, "The boot loader asks for the IOMMU already");
        return early(p, conf);
}

static int commit(Phase *p, const Conf *conf, Trial *t) {
        char *words[] = { t->off, NULL };
        const char *firmware = NULL;
        int r;

        r = iommucheck_firmware(p, &firmware);
        if (r >= 0)
                r = make_default(p, conf, firmware, words);
        if (r >= 0)
                r = trialboot_forget(p);
        if (r >= 0)
                phase_note(p, "The trial start went well: '%s' is the default now",
                           boot_iommu_words(firmware));
        return r;
}

static int cut_off(Phase *p, Trial *t) {
        int r = trialnet_fail(p, t);

        if (r >= 0)
                log_fields(LOG_WARNING, (const char *const[]){ EVENT_TRIAL_FAILED, NULL },
                           "The trial failed: the machine came up with IOMMU groups, but has no default route any "
                           "more, as it had before. A restart brings back the old entry; nothing of the trial is "
                           "left. 'journalctl -b -1 -k' shows what its network card met. An update of the firmware "
                           "may help");
        return r;
}

static int have_groups(Phase *p, Conf *conf, Trial *t, TrialVerdict v) {
        int r = 0;

        if (v == TRIAL_RUNNING && t->network && trialnet_wait(p) == 0)
                return cut_off(p, t);
        /* The trial was a good one: a run that is cut from here on is taken up again by the next, in whatever
         * boot, and so is one that is refused for the cards, which is nothing against the trial. */
        if (v == TRIAL_RUNNING)
                r = trialboot_save(p, t, TRIAL_STAGE_GOOD);
        if (r >= 0)
                r = known_follow(p, conf);
        if (r < 0)
                return r;
        if (v == TRIAL_RUNNING || v == TRIAL_GOOD)
                r = commit(p, conf, t);
        else if (t->boot_id) /* groups without it */
                r = trialboot_forget(p);
        return r < 0 ? r : settle(p);
}

/* A restart that would be refused is not prepared: the order to the loader would wait for whichever comes
 * next. */
static int see_if_granted(Phase *p, const Conf *conf) {
        _cleanup_(reboot_story_done) RebootStory story = {};
        char *causes[] = { (char *) p->name, NULL };

        return rebootcheck_story(p, causes, conf->reboot == REBOOT_AUTO, &story);
}

static int no_groups(Phase *p, Conf *conf, const Trial *t, TrialVerdict v) {
        _cleanup_strv_ char **words = NULL;
        _cleanup_(undo_freep) Undo *u = NULL;
        const char *firmware = NULL;
        int r;

        r = known_follow(p, conf);
        if (r >= 0)
                r = iommucheck_firmware(p, &firmware);
        if (r < 0)
                return r;
        r = cmdline_read(p->root, &words);
        if (r < 0)
                return phase_fail(p, r, "Mount /proc", "Cannot read the kernel command line");
        r = iommucheck_useful(p, conf->override_iommu_off, firmware, words);
        if (r >= 0)
                r = see_if_granted(p, conf);
        if (r >= 0)
                r = open_step(p, p->name, &u);
        if (r < 0)
                return r;
        if (v == TRIAL_PENDING)
                phase_note(p, "The trial start is prepared; only the restart is missing");
        if (v == TRIAL_FAILED)
                phase_note(p, "A trial start failed before; this is another");
        r = v == TRIAL_PENDING ? 1 : v == TRIAL_GOOD ? 0 : make_trial(p, u, conf, firmware, words);
        if (r > 0)
                return ask_for_reboot(p, "A trial start with the new kernel command line brings up the IOMMU",
                                      firmware, words);
        if (r >= 0)
                r = make_default(p, conf, firmware, t->off ? (char *[]){ t->off, NULL } : words);
        if (r >= 0 && t->boot_id)
                r = trialboot_forget(p);
        return r < 0 ? r
                     : ask_for_reboot(p, "The IOMMU comes up with the new kernel command line", firmware,
                                      words);
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_(trial_done) Trial trial = {};
        TrialVerdict verdict;
        size_t groups = 0;
        int r;

        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return phase_fail(p, r, "Try again", "Cannot read the configuration");
        if (kernelswap_is_pending(p->root)) {
                phase_note(p, "The IOMMU comes after the restart, with the kernel that is tried then");
                return PHASE_OK;
        }
        r = iommu_count_groups(p->root, &groups);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/kernel/iommu_groups", "Cannot count the IOMMU groups");
        r = trialboot_look(p, &trial, &verdict);
        if (r < 0)
                return r;
        if (groups > 0)
                return have_groups(p, &conf, &trial, verdict);
        if (verdict == TRIAL_LOST || verdict == TRIAL_RUNNING)
                return trialboot_fail(p, &trial, verdict);
        return no_groups(p, &conf, &trial, verdict);
}

static const Helper helper = {
        .name = "gpuvm-iommu",
        .summary = "Put the IOMMU on the kernel command line, if this machine has no IOMMU groups.",
        .run = run,
};

DEFINE_HELPER(helper)
