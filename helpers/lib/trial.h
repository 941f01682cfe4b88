/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Trial: a start with the new command line that nothing depends on yet, and how it went.
 *
 * The loader is told to take an entry of ours once. If the machine comes up with it and has IOMMU groups, the
 * words become the default; if it does not come up, the next start is the old one, and the phase sees that.
 * /var/lib/gpuvm/trial says how far a trial is: written and fsynced before each step that it is about, gone
 * when the trial is over well. Like the ledger it is a hint: what the kernel was started with counts. */

#include "macro.h"

#define TRIAL_PATH        "/var/lib/gpuvm/trial"
#define TRIAL_KERNEL_PATH "/var/lib/gpuvm/kernel" /* the same for a start with another kernel */
#define TRIAL_ENTRY       "gpuvm-trial"           /* the entry's id */
#define TRIAL_WORD        "gpuvm.trial"  /* on its command line; the value is the boot that made it */
#define TRIAL_IMAGE       ".gpuvm-trial" /* behind the name of the initramfs that it is like */

enum { TRIAL_PANIC_SEC = 10 }; /* for panic=: long enough to be read on a console */

typedef enum TrialStage {
        TRIAL_STAGE_MAKING,  /* the loader has not been told yet */
        TRIAL_STAGE_READY,   /* the next start takes it */
        TRIAL_STAGE_UP,      /* the machine has come up with it */
        TRIAL_STAGE_GOOD,    /* and had groups: it is becoming the default */
        TRIAL_STAGE_LOST,    /* over: the machine did not come up with it */
        TRIAL_STAGE_USELESS, /* over: it came up, without groups */
        TRIAL_STAGE_OFFLINE, /* over: it came up with groups, and without the network that there was before */
} TrialStage;

typedef struct Trial {
        TrialStage stage;
        char *boot_id; /* of the boot that made it; NULL: there is none */
        char *off;     /* the word that an override leaves out, or NULL */
        bool network;  /* the boot that made it had a default route */
} Trial;

/* What the entry is to be. */
typedef struct TrialWish {
        const char *kernel;   /* the release that it starts; NULL: the one that would be started */
        const char *firmware; /* "intel" or "amd"; NULL: its words are those of that kernel's entry */
        bool override;        /* take out the words that keep the IOMMU off */
        const char *running;  /* the running kernel as GRUB named it (BOOT_IMAGE=), or NULL */
        const char *boot_id;  /* NULL: no TRIAL_WORD */
} TrialWish;

void trial_done(Trial *t);

/* Strict: anything that we do not write is -EBADMSG. */
int trial_parse(const char *text, size_t size, Trial *ret) _must_check_ _nonnull_all_;
int trial_format(const Trial *t, char **ret) _must_check_ _nonnull_all_;

/* Returns 1, or 0 and an empty one if there is none. -EBADMSG: nothing is tried, and nothing restarted. */
int trial_load(int root, Trial *ret) _must_check_ _nonnull_all_;
/* On disk when it returns 0. */
int trial_save(int root, const Trial *t) _must_check_ _nonnull_all_;
int trial_forget(int root) _must_check_;

/* The same with another path. */
int trial_load_from(int root, const char *path, Trial *ret) _must_check_ _nonnull_all_;
int trial_save_to(int root, const char *path, const Trial *t) _must_check_ _nonnull_all_;

typedef enum TrialVerdict {
        TRIAL_NONE,    /* none that counts; what is left of one may go */
        TRIAL_PENDING, /* the loader takes it at the next start */
        TRIAL_RUNNING, /* this is it */
        TRIAL_GOOD,    /* it was good, and a run that makes it the default did not come to its end */
        TRIAL_LOST,    /* this is the start after one that did not come up */
        TRIAL_FAILED,  /* it has failed, and that has been told */
} TrialVerdict;

/* Pure. words: the running command line; armed: the loader takes the entry at the next start. One that came
 * up and was cut off before it was judged is none: nothing speaks against it. */
TrialVerdict trial_judge(const Trial *t, const char *boot_id, char *const *words, bool armed) _must_check_
                __attribute__((nonnull(1, 2)));

/* Notes that this boot, if it is a trial's, has come up. Returns 1 if the trial before it failed, of a
 * command line or of a kernel, so that nothing may go on by itself; else 0. */
int trial_note_boot(int root) _must_check_;
