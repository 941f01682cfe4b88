/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Known: the cards that the [Gpu PATH] sections of gpuvm.conf are about, from one boot to the next.
 *
 * A section names an address or a slot, and both may come to mean another card: buses are numbered anew when
 * a card is put in elsewhere, and cards are moved and replaced. So what each section meant is written down,
 * with the ids of the card, whenever the rule for exclusive GPUs is written. A card that has another address
 * or another slot now is followed where that is certain; where it is not, nothing is done for its section.
 *
 * The record is a hint: what is not in it means what it says, and what is in it is believed only of a card
 * with exactly these ids. */

#include "conf.h"
#include "pci.h"
#include "phase.h"

#define KNOWN_PATH STATE_DIR "/gpus"

typedef struct KnownGpu {
        PciDevice card; /* name, path and ids only */
        char *section;  /* as its header has it, or NULL */
} KnownGpu;

typedef struct Known {
        KnownGpu *items;
        size_t n;
} Known;

void known_done(Known *k);

/* The text of the record. Strict: what known_format() would not write is -EBADMSG. */
int known_parse(const char *data, size_t size, Known *ret) _must_check_;
int known_format(const Known *k, char **ret) _must_check_ _nonnull_all_;

/* Pure: sets "card" and the ids of each section that is known. ret_notes gets what was followed, ret_refusals
 * what is not certain (those sections mean nothing now); NULL for none. */
int known_resolve(const Known *k, const PciBus *bus, Conf *c, char ***ret_notes,
                  char ***ret_refusals) _must_check_ _nonnull_all_;

/* known_resolve() with the machine's record and bus; looks at neither without sections. */
int known_apply(int root, Conf *c, char ***ret_notes, char ***ret_refusals) _must_check_ _nonnull_all_;

/* known_apply() for a phase: notes are noted, refusals told by phase_fail(). */
int known_follow(Phase *p, Conf *c) _must_check_ _nonnull_all_;

/* What to do about a refusal, for the user. */
#define KNOWN_REMEDY                                                                                       \
        "Name the card that is meant in /etc/gpuvm.conf by its path ('gpuvm-preflight --json' has them); " \
        "or, if the section is right as it is, remove " KNOWN_PATH ". Then start again; nothing was changed"

/* Writes down what the sections mean now, with all GPUs of the bus; a conf that known_apply() was given
 * first. Returns 1 if it was written, 0 if it was so already. */
int known_save(int root, const PciBus *bus, const Conf *c) _must_check_ _nonnull_all_;
