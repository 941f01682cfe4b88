/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Phase: what every helper has in common: the options, the announcing of changes, progress, the record it
 * leaves.
 *
 * The life of a helper: helper_main() parses the options and opens the root; run() looks at the system first,
 * and for each thing that is not as it should be calls phase_change() *before* it acts. In a dry run that
 * call says 0 and nothing is done. But for a dry run gpuvm-undo is kept out meanwhile. At the end the phase's
 * record is written to /run/gpuvm/phases/NAME.json (world readable; also to /var/lib/gpuvm/phases/ when
 * something was changed, so that the report survives the reboot), and a failure is told with what was changed
 * so far and the command that takes it back; who logs in later is told as well (stopped.h). */

#include <getopt.h>

#include "log.h"
#include "macro.h"
#include "strv.h"

#define RUN_DIR   "/run/gpuvm"
#define STATE_DIR "/var/lib/gpuvm"

/* What run() may return besides an error (which it has logged) and 0. */
enum {
        PHASE_OK = 0,
        PHASE_USAGE = 2,          /* exit status 2, after a line on stderr */
        PHASE_REBOOT_NEEDED = 75, /* exit status 75 (EX_TEMPFAIL): done as far as possible without a reboot */
        PHASE_NOT_APPLICABLE = 77, /* exit status 77: nothing here that this helper is for */
};

typedef struct PhaseChange {
        char *action; /* one word: write, remove, install, enable, start, load, bind, unbind, run, ... */
        char *object; /* path, package, unit, PCI address, ... */
        char *detail;
} PhaseChange;

typedef struct Phase {
        const char *name; /* the noun: "iommu" for gpuvm-iommu */
        int root;         /* see fs.h */
        const char *root_path;
        bool dry_run;
        bool json;
        const char *failure_event; /* what phase_fail() logs instead of EVENT_PHASE_FAILED, or NULL */

        /* private to phase.c */
        PhaseChange *changes;
        size_t n_changes;
        char **notes;
        char *failure;
        uint64_t started_usec;
        struct json_object *results;
        bool quiet_record; /* set by run(): it has printed all there is to say */
        bool no_record;    /* set by run(): what it did is no phase, and leaves no record of one */
        void (*alive)(void *userdata); /* set by run(): what else phase_alive() does, or NULL */
        void *alive_userdata;
} Phase;

typedef struct Helper {
        const char *name;             /* "gpuvm-iommu" */
        const char *arguments;        /* for the usage line: "attach|detach ADDRESS"; NULL: takes none */
        const char *summary;          /* one sentence */
        const char *options_help;     /* lines for --help in the same layout, or NULL */
        const struct option *options; /* extra options, values from 0x200 up, NULL terminated; or NULL */
        int (*parse)(int value,
                     const char *argument); /* called for those: 0 or -EINVAL after a line on stderr */
        int (*run)(Phase *p, int argc, char *argv[]); /* argv: what is left after the options, argc of them */
        bool no_record;                               /* true: leaves no record in /run/gpuvm/phases */
        const char *looks; /* the argument with which it changes nothing and needs no root; NULL: there is
                              none */
        bool no_turn;      /* true: may run beside gpuvm-undo, unless run() calls phase_take_turn() */
} Helper;

/* --help --version --dry-run --json --root=DIR (or $GPUVM_ROOT) --verbose, then run(). Returns the exit
 * status: 0 done or nothing to do, 1 failed, 2 bad usage, 75, 77 as above. */
int helper_main(const Helper *helper, int argc, char *argv[]);

#define DEFINE_HELPER(helper)                              \
        int main(int argc, char *argv[]) {                 \
                return helper_main(&(helper), argc, argv); \
        }

/* Of a program that is no helper, and has a phase for the rooms that ask for one: releases what is in it, the
 * root too. */
void phase_done(Phase *p) _nonnull_all_;

/* Announces a change. Returns 1: go and do it; 0: dry run, do nothing; -ENOMEM. The detail (or NULL) says
 * what will be different, in words for a user. */
int phase_change(Phase *p, const char *action, const char *object, const char *detail_format,
                 ...) _must_check_ _printf_(4, 5);

/* For the rest of the process gpuvm-undo has to wait (turn.h). Fails if it is at work. */
int phase_take_turn(Phase *p) _must_check_ _nonnull_all_;

/* Number of changes announced so far: 0 at the end means that the goal was met already. */
size_t phase_n_changes(const Phase *p);

/* What is going on now: shown by systemctl status, the live view and, with --verbose, the log. Also asks
 * systemd for two more minutes (EXTEND_TIMEOUT_USEC=), so call it, or phase_alive(), at least once a minute.
 */
void phase_status(Phase *p, const char *format, ...) _printf_(2, 3);
void phase_alive(void *phase);

/* A fact for the report and the log: something seen, skipped or left to the user. */
void phase_note(Phase *p, const char *format, ...) _printf_(2, 3);

/* Logs why the phase cannot go on, and what the user can do. error: -errno, or 0 if errno says nothing. The
 * cause names the object; the remedy is a sentence. Returns error, or -ECANCELED for 0. */
int phase_fail(Phase *p, int error, const char *remedy, const char *cause_format, ...) _printf_(4, 5);

/* Adds a member to the phase's record and to what --json writes; value (json-c's) is taken over. A phase
 * whose findings are its result tells them so. */
struct json_object;
void phase_result(Phase *p, const char *key, struct json_object *value) _nonnull_all_;

/* For a child of this phase: fills root, root_path, tick and userdata of a struct Child. */
#define PHASE_CHILD(p) .root = (p)->root, .root_path = (p)->root_path, .tick = phase_alive, .userdata = (p)
