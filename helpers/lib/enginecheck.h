/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Enginecheck: whether the engines of a machine for language models are reached by who they are for. Where
 * one listens for others and runs, it is asked at the machine's address, from here: what the guest finds is
 * the inside alone, without its firewall and what is between. Settings and findings of the guest's are its
 * own word; who is asked is the machine's address and nobody else. Pure: see httpask.h for who asks. */

#include "findings.h"

typedef enum EngineName { ENGINE_VLLM, ENGINE_OLLAMA, _ENGINE_NAME_MAX } EngineName;

typedef struct EngineAnswer {
        char *url;   /* NULL: it was not asked */
        int status;  /* of HTTP, or -errno */
        char *error; /* more words for that, or NULL */
} EngineAnswer;

void engineanswer_done(EngineAnswer *a);

/* settings: text of GUESTSTEPS_SETTINGS; found: what SETUPCHECK_PROGRAM says. Returns 1 and where to ask, 0
 * if the engine is not there, does not run, is for the guest alone or at another address; -ENOMEM. An engine
 * that waits to be asked is left to sleep. */
int enginecheck_url(EngineName e, const char *settings, const char *found, const char *address,
                    char **ret) _must_check_ _nonnull_all_;

/* A finding "vllm-http" or "ollama-http" for each that was asked: a warning where it is not reached, as the
 * firewall may have been told so. Returns 0 or -ENOMEM. */
int enginecheck(const char *machine, const EngineAnswer answers[static _ENGINE_NAME_MAX],
                Findings *ret) _must_check_ _nonnull_all_;
