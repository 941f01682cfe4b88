/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Trialboot: makes a trial (trial.h) with whatever starts this machine, and takes it away again. */

#include "boot.h"
#include "trial.h"

typedef struct TrialPlan {
        TrialWish wish; /* what is borrowed there belongs to the caller, or is below */
        Boot boot;
        char *kernel; /* the version that it starts */
        char *boot_id, *running;
        char *off;    /* the word that an override leaves out, or NULL */
        bool network; /* see Trial; trialboot_plan() leaves it to the caller */
} TrialPlan;

void trialboot_plan_done(TrialPlan *plan);

/* The trial of this machine and how it stands. A negative result has been told. */
int trialboot_look(Phase *p, Trial *ret, TrialVerdict *ret_verdict) _must_check_ _nonnull_all_;

/* Returns 1 if a trial can be made here, 0 if not, which has been noted with the reason. firmware, override
 * and words as for boot_iommu(). */
int trialboot_plan(Phase *p, const char *firmware, bool override, char *const *words,
                   TrialPlan *ret) _must_check_ __attribute__((nonnull(1, 2, 5)));

/* Notes that one is being made, without what is left of another, and looks whether what is to follow it can
 * be done. A negative result has been told. */
int trialboot_begin(Phase *p, Undo *u, const TrialPlan *plan) _must_check_ _nonnull_all_;

/* Has the loader take the entry at the next start. own_image: with the initramfs that
 * initramfs_build_trial() has made. Returns 1; 0 if the loader cannot be told, which has been noted. A
 * negative result has been told; what is left then is for trialboot_remove(). */
int trialboot_arm(Phase *p, Undo *u, const TrialPlan *plan, bool own_image) _must_check_ _nonnull_all_;

/* Takes the early files (early.h) out of /etc, unless images were built with such before: until the trial has
 * been a good one, they are in its own image alone. A negative result has been told. */
int trialboot_early_back(Phase *p) _must_check_;

/* Takes away the order to the loader, the entry and the image. Returns 1 if there was something, 0 if not. A
 * negative result has been told. */
int trialboot_remove(Phase *p) _must_check_ _nonnull_all_;

/* The same, and the state with it. Returns 0; a negative result has been told. */
int trialboot_forget(Phase *p) _must_check_ _nonnull_all_;

/* Writes how far it is. A negative result has been told. */
int trialboot_save(Phase *p, Trial *t, TrialStage stage) _must_check_ _nonnull_all_;

/* The machine did not come up with it (v is TRIAL_LOST), or came up without groups: notes that, removes what
 * is left of it, and tells, at the login as well. Returns a negative number. */
int trialboot_fail(Phase *p, Trial *t, TrialVerdict v) _must_check_ _nonnull_all_;
