/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpumove: GPUs on their way to a machine, or from it: what attach and detach have in common. Each function
 * tells what goes wrong with it. */

#include "create.h"
#include "gpu.h"
#include "hostdevs.h"
#include "phase.h"
#include "virtwatch.h"

enum { GPUMOVE_TIMEOUT_SEC = 30 }; /* for a guest to let go of a device */

/* One card of the host's, with all that is in its slot. */
typedef struct Card {
        char gpu[BDF_STRING_MAX]; /* its first function's address: whose unit it is */
        const GpuState *state;    /* NULL: the host does not have it any more, or it is a switch */
        HostdevCard functions;
        bool had; /* the machine has it already, wholly or in part */
} Card;

typedef struct Move {
        Context *c;
        Phase phase; /* owns the root */
        Conf conf;
        GpuStates states;
        VirtVm vm;
        Metadata metadata;
        VirtWatch *watch;
        char **apart; /* machines that are declared, and never on together with it */
        char **own;   /* functions of the host's that the machine has, on or off */
        Card *cards;
        size_t n;
        int *leases;
        size_t n_leases;
        bool runs;
        bool undoing; /* nobody interrupts that */
} Move;

void move_done(Move *m);

/* gpumove.c */
/* The host, libvirt and the machine, as they are now. */
int move_open(Context *c, const char *name, Move *ret) _must_check_ _nonnull_all_;
/* The hold on the machine and its cards, for as long as it takes: nobody else moves them meanwhile. What
 * others have is looked at again then. */
int move_claim(Move *m) _must_check_ _nonnull_all_;
/* The GPUs of the host, and who uses them. */
int move_read(const Move *m, GpuStates *ret) _must_check_ _nonnull_all_;
/* One more card: all in the slot of a device (g: the GPU that it is, or NULL), or what the machine has of
 * that slot. */
int move_add(Move *m, const PciDevice *d, const GpuState *g) _must_check_ __attribute__((nonnull(1, 2)));
int move_add_slot(Move *m, const char *address) _must_check_ _nonnull_all_;
/* The cards as hostdevs.h has them; to be freed. NULL without memory, after a message. */
HostdevCard *move_cards(const Move *m) _must_check_ _nonnull_all_;
/* Between two steps: -EINTR after a message if somebody wants it to end. */
int move_check_stop(const Move *m) _must_check_ _nonnull_all_;
/* The card of that GPU is among them. */
bool move_has(const Move *m, const char *gpu) _nonnull_all_;

/* gpupick.c */
/* The GPUs that words mean, or the only sensible one, with all that has to go with them. */
int move_pick_for_attach(Move *m, char *const *words) _must_check_ __attribute__((nonnull(1)));
int move_pick_for_detach(Move *m, char *const *words) _must_check_ __attribute__((nonnull(1)));
/* Whether each may go to the machine: to be asked again once they are claimed. */
int move_check(const Move *m) _must_check_ _nonnull_all_;

/* gpuidle.c */
/* --stop-units and --when-idle, of cards that the host still uses. */
int move_make_idle(Move *m) _must_check_ _nonnull_all_;
/* After a refusal: who uses the cards. Returns true if somebody does. */
bool move_tell_users(const Move *m) _nonnull_all_;
/* Until QEMU has closed its files of the GPU, which takes some milliseconds, or a few seconds have passed. */
void move_wait_let_go(const Move *m, const char *gpu) _nonnull_all_;

/* gpulive.c: a machine that runs. */
/* Whether it can take all cards now. */
int live_check(Move *m) _must_check_ _nonnull_all_;
/* Each function that it does not have yet into a root port of its own. plugged (room for all functions) and
 * n: which ones it got, also when not all of them. */
int live_plug(Move *m, Bdf *plugged, size_t *n) _must_check_ _nonnull_all_;
/* Asks the guest for these functions of the host's, as far as it has them. Returns 1, 0 if it has none; when
 * it does not let go of all, it gets back those that it did. */
int live_unplug(Move *m, const Bdf *functions, size_t n, uint64_t timeout_usec) _must_check_
                __attribute__((nonnull(1)));
/* What it says of itself until its end. */
int live_note(Move *m, bool has) _must_check_ _nonnull_all_;

/* gpulasting.c: what is so at its next start. */
/* Whether its definition can have all cards. */
int lasting_check(Move *m) _must_check_ _nonnull_all_;
/* Its definition with the cards or without. Returns 1 and what it was before, 0 if it was so already. */
int lasting_define(Move *m, bool has, char **ret_before) _must_check_ _nonnull_all_;
/* The order of the units, by what the machine says of itself. */
int lasting_order(Move *m) _must_check_ _nonnull_all_;
/* What its file names, if it is declared: 'vmctl apply' leaves it as it is then. Warns if that cannot be. */
void lasting_declare(const Move *m, bool has) _nonnull_all_;
/* A machine that runs without its unit: it watches from now on, and gives back at the end. */
void lasting_watch(Move *m) _nonnull_all_;

int move_show_json(const Move *m, bool changed) _must_check_ _nonnull_all_;
