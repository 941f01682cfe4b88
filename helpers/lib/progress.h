/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Progress: how far the bootstrap is, from what any user may see: the records that phases leave, the story of
 * restarts, the report, and the states of the units where systemd answers. */

#include "bus.h"
#include "conf.h"
#include "json.h"

typedef enum ProgressState {
        PROGRESS_NOT_STARTED,
        PROGRESS_RUNNING,
        PROGRESS_RESTARTING, /* a restart is announced */
        PROGRESS_ASKED,      /* a restart is left to the administrator */
        PROGRESS_FAILED,
        PROGRESS_STOPPED, /* restarted, but did not go on by itself */
        PROGRESS_DONE,
        _PROGRESS_MAX,
} ProgressState;

const char *progress_state_to_string(ProgressState s);

/* What gpu-vm-bootstrap exits with, beside those of a phase. */
enum { PROGRESS_NOT_FINISHED = 3 };
int progress_exit_status(ProgressState s);

typedef struct ProgressPhase {
        const char *noun;  /* static */
        const char *state; /* static: "waiting", "running", "done", "nothing to do", "not applicable", ... */
        char *text;        /* the current step, or why it failed; "" for none */
        uint64_t took_msec;
        size_t n_changes;
} ProgressPhase;

typedef struct Progress {
        ProgressState state;
        unsigned restarts; /* made by us so far */
        ProgressPhase *phases;
        size_t n;
} Progress;

/* bus: NULL where systemd cannot be asked. Returns 0 or -errno. */
int progress_look(int root, const Conf *c, Bus *bus, Progress *ret) _must_check_;
void progress_done(Progress *p);

int progress_to_json(const Progress *p, json_object **ret) _must_check_ _nonnull_all_;

/* Writes it for a human, one line for each phase. */
void progress_print(const Progress *p, FILE *f) _nonnull_all_;

/* Looks and writes, as JSON or for a human; with the report once all is done. */
int progress_show(int root, const Conf *c, bool json, FILE *f, ProgressState *ret) _must_check_ _nonnull_all_;
