/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reboot: how a phase says that the machine must start again before later phases can do their work, and the
 * guard that keeps the promise "at most two for one cause, four in all, none that cannot help".
 *
 * A request is a file /run/gpuvm/reboot.d/PHASE: it vanishes with the boot that it asks to end.
 * gpuvm-reboot.service acts on the requests after the iommu phase. What must survive is the story,
 * /var/lib/gpuvm/pending: written and fsynced before the machine is asked to restart, read by
 * gpuvm-resume.service after it, removed when the bootstrap is done. A story that cannot be read counts as
 * used up: nothing reboots, nothing goes on by itself. */

#include "macro.h"

#define REBOOT_PENDING_PATH "/var/lib/gpuvm/pending"

enum {
        REBOOT_MAX_PER_CAUSE = 2,
        REBOOT_MAX_TOTAL = 4,
        REBOOT_MAX_RESUMES =
                        2, /* goes on by itself that often after one reboot: a power cut may hit the first */
        REBOOT_MAX_CAUSES = 16, /* more in a story: not ours */
};

/* why: one sentence for the user, no newline. Returns 0. */
int reboot_request(int root, const char *phase, const char *why) _must_check_ _nonnull_all_;

/* As reboot_request(), for a reboot that is only to bring "word" onto the kernel command line: it is never
 * made when the running kernel has the word already, because it cannot help. */
int reboot_request_word(int root, const char *phase, const char *why,
                        const char *word) _must_check_ _nonnull_all_;

/* The phase found its goal met after all. Returns 0. */
int reboot_withdraw(int root, const char *phase) _must_check_ _nonnull_all_;
/* The same for each of the phases that asks; NULL: whichever does. Tries all. Returns 0 or the first error.
 */
int reboot_withdraw_many(int root, char *const *phases) _must_check_;

/* Phases that ask and their reasons, as "PHASE: WHY"; NULL if none asks. */
int reboot_requests(int root, char ***ret) _must_check_ _nonnull_all_;

/* The phases that ask, by name, and those among them whose word the running kernel has already. */
int reboot_causes(int root, char ***ret_causes, char ***ret_useless) _must_check_ _nonnull_all_;

typedef struct RebootCause {
        char *name;
        unsigned n; /* reboots made by us for it */
} RebootCause;

typedef struct RebootStory {
        char *boot_id;    /* of the boot that is to end, or did; NULL: no reboot was asked for yet */
        bool counted;     /* that one was ours, and is in the numbers below */
        unsigned total;   /* reboots made by us */
        unsigned resumes; /* times we went on by ourselves since */
        RebootCause *causes;
        size_t n_causes;
} RebootStory;

/* Strict: anything that we do not write is -EBADMSG. */
int reboot_story_parse(const char *text, size_t size, RebootStory *ret) _must_check_ _nonnull_all_;
int reboot_story_format(const RebootStory *s, char **ret) _must_check_ _nonnull_all_;
void reboot_story_done(RebootStory *s);

/* Returns 1 and the story, 0 and an empty one if there is none, -EBADMSG or another -errno if it cannot be
 * read: then no reboot is allowed. */
int reboot_story_load(int root, RebootStory *ret) _must_check_ _nonnull_all_;
/* On disk when it returns 0. */
int reboot_story_save(int root, const RebootStory *s) _must_check_ _nonnull_all_;

/* The bootstrap is done: the next one starts with an empty story. Also ends what a login shows. Returns 0. */
int reboot_story_end(int root) _must_check_;

typedef enum RebootVerdict {
        REBOOT_GRANTED,
        REBOOT_CAUSE_USED_UP, /* REBOOT_MAX_PER_CAUSE reached; which: the cause's name */
        REBOOT_TOTAL_USED_UP,
} RebootVerdict;

/* May the machine be restarted for these causes? Pure. by_us: we restart it, else the administrator is asked
 * to, which is always granted and never counted. Granted: the story is changed to what must be saved before
 * asking. Asked for again in the same boot it does not count again. ret_which is borrowed from causes.
 * Returns 0 or -ENOMEM. */
int reboot_decide(RebootStory *s, const char *boot_id, char *const *causes, bool by_us,
                  RebootVerdict *ret_verdict, const char **ret_which) _must_check_;

typedef enum ResumeVerdict {
        RESUME_NOTHING, /* no reboot was asked for, or it has not happened yet */
        RESUME_GO,      /* the story counts it; save it, then go on */
        RESUME_USED_UP,
} ResumeVerdict;

ResumeVerdict resume_decide(RebootStory *s, const char *boot_id) _nonnull_all_;

bool reboot_boot_id_is_valid(const char *s) _nonnull_all_;

/* /proc/sys/kernel/random/boot_id. */
int reboot_boot_id(int root, char **ret) _must_check_ _nonnull_all_;

/* The message that a login shows until the bootstrap is done (/run/motd.d/gpuvm). NULL removes it. */
int reboot_motd(int root, const char *text) _must_check_;
