/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestwish: what is asked for inside a guest with cloud-init, beside its user: packages, a firewall, the
 * CUDA toolkit, and all of a machine for language models. One table says what each value has to look like,
 * what stands for it where nothing was asked for, and what it is called in the guest. Pure. */

#include "macro.h"

typedef enum GuestKey {
        /* of every guest with cloud-init */
        GUEST_PACKAGES,
        GUEST_CUDA_TOOLKIT,
        GUEST_FIREWALL,
        GUEST_PERSISTENCED,
        GUEST_CLOCKS,
        /* of machines for language models alone */
        GUEST_ENGINE,
        GUEST_LISTEN,
        GUEST_OLLAMA_LISTEN,
        GUEST_VLLM_PORT,
        GUEST_OLLAMA_PORT,
        GUEST_VLLM_MODEL,
        GUEST_VLLM_ARGUMENTS,
        GUEST_OLLAMA_MODELS,
        GUEST_VLLM_VERSION,
        GUEST_OLLAMA_VERSION,
        GUEST_OLLAMA_SUM,
        GUEST_API_KEY_FILE,
        GUEST_HF_TOKEN_FILE,
        GUEST_DRIVER,
        GUEST_DRIVER_UPDATES,
        GUEST_SWAP,
        GUEST_IDLE,
        GUEST_MODEL_BACKUP,
        GUEST_MODEL_DAYS,
        GUEST_MODEL_STORE,
        _GUEST_KEY_MAX,
} GuestKey;

typedef enum GuestEngine { GUEST_ON_DEMAND, GUEST_VLLM, GUEST_OLLAMA, GUEST_BOTH } GuestEngine;

const char *guest_engine_to_string(GuestEngine e);

typedef struct GuestWish {
        bool llm;                            /* a machine for language models */
        bool gpu;                            /* it has one */
        char *const *values[_GUEST_KEY_MAX]; /* as they were given, borrowed; NULL: not at all */
} GuestWish;

/* The option of 'vmctl create' that a key is. */
const char *guestwish_option(GuestKey k);

/* Whether its value is words, and not one that may have blanks in it. */
bool guestwish_is_list(GuestKey k);

/* What is wrong with the values alone. Returns 0, -EINVAL with a sentence that names the option, or -ENOMEM.
 */
int guestwish_check(const GuestWish *w, char **reterr) _must_check_ _nonnull_all_;

/* The last value, or what stands for it; NULL: neither. */
const char *guestwish_value(const GuestWish *w, GuestKey k) _nonnull_all_;
/* Which one serves: without a GPU vLLM does not. */
GuestEngine guestwish_engine(const GuestWish *w) _nonnull_all_;
bool guestwish_has_vllm(const GuestWish *w) _nonnull_all_;
bool guestwish_has_ollama(const GuestWish *w) _nonnull_all_;
/* An address that others than the guest itself reach. */
bool guestwish_is_open(const GuestWish *w, GuestKey listen) _nonnull_all_;
/* NULL: none. "no" is none as well. */
const char *guestwish_toolkit(const GuestWish *w) _nonnull_all_;
/* Whether it gets a firewall of its own. */
bool guestwish_has_firewall(const GuestWish *w) _nonnull_all_;

/* What cloud-init installs: what was asked for, and of a machine for language models what shows how it does.
 * To be freed; 0 or -ENOMEM. */
int guestwish_packages(const GuestWish *w, char ***ret) _must_check_ _nonnull_all_;

/* What the guest is told, as lines NAME="VALUE" that systemd and shells read alike. After guestwish_check().
 * 0 or -ENOMEM. */
int guestwish_settings(const GuestWish *w, char **ret) _must_check_ _nonnull_all_;
