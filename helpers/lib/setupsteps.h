/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Setupsteps: what a guest has written down of its boot and its setup (gueststeps.h), and how long each may
 * take. All of it is the guest's word. Pure. */

#include "macro.h"

#define SETUPSTEPS_FILE "/var/lib/gpuvm-setup/steps"

enum {
        SETUPSTEPS_MADE_SEC = 10 * 60,    /* the machine, until it starts */
        SETUPSTEPS_BOOT_SEC = 5 * 60,     /* from there on until the setup may begin */
        SETUPSTEPS_DRIVER_SEC = 10 * 60,  /* of it the driver */
        SETUPSTEPS_ENGINES_SEC = 15 * 60, /* and vLLM and Ollama together */
        SETUPSTEPS_ALL_SEC = 30 * 60,     /* all that */
};

/* In the order that they come in. */
typedef enum SetupStepName {
        SETUP_BOOT,
        SETUP_FIREWALL,
        SETUP_SWAP,
        SETUP_STORE,
        SETUP_DRIVER,
        SETUP_GPU,
        SETUP_CUDA,
        SETUP_OLLAMA,
        SETUP_VLLM,
        SETUP_ENGINES,
        SETUP_MODELS,
        _SETUP_STEP_MAX,
} SetupStepName;

typedef struct SetupStep {
        uint64_t begin, end; /* of the last time, in seconds of the guest's clock; 0: not yet */
        bool failed;
} SetupStep;

const char *setup_step_to_string(SetupStepName s);
/* Returns _SETUP_STEP_MAX for what is no step. */
SetupStepName setup_step_from_string(const char *name) _nonnull_all_;
/* Whether those behind it begin also where it has failed. */
bool setupsteps_is_optional(SetupStepName s);
/* How long it should take; 0: nobody has said. */
unsigned setupsteps_limit_sec(SetupStepName s);

/* text: lines "STEP start|done|failed|restarts SECONDS"; others are left out. Returns 0 or -ENOMEM. */
int setupsteps_parse(const char *text, SetupStep ret[static _SETUP_STEP_MAX]) _must_check_ _nonnull_all_;

typedef enum SetupState { SETUP_RUNS, SETUP_FAILED, SETUP_DONE } SetupState;

/* wanted: the names of those that there have to be, up to NULL. ret_at: the step that it is at or that
 * failed, _SETUP_STEP_MAX for none. */
SetupState setupsteps_state(const SetupStep steps[static _SETUP_STEP_MAX], const char *const *wanted,
                            SetupStepName *ret_at) _nonnull_all_;
