/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridgechange: the network as a transaction.
 *
 * The timer and the next boot's revert are armed before anything is touched, and each file is in the ledger
 * before it is written. Then the owner is told, and the network has to prove itself; what does not in time is
 * taken back at once, and what cannot even do that is taken back by the timer, or by the next boot. */

#include "bridgeowner.h"
#include "bridgeplan.h"
#include "netproof.h"

enum {
        BRIDGE_REVERT_MIN_SEC = 45, /* less leaves no time for DHCP on the bridge */
        BRIDGE_BACK_SEC = 30,       /* of RevertSec=, kept for the way back by our own hand */
};

#define BRIDGE_STATE_REMEDY "Look whether the network's files are as you want them, then remove it"

/* All of it, for a plan whose choice is a change. revert_usec: RevertSec=; less than BRIDGE_REVERT_MIN_SEC is
 * that. Returns 0 when the bridge stays, or an error, which has been told, with the old network back. */
int bridgechange_make(Phase *p, const BridgePlan *plan, uint64_t revert_usec) _must_check_ _nonnull_all_;

/* Takes back what is not kept, or, with kept, that as well. boot: no owner runs yet, so the files are all.
 * Returns 1 if there was something to take back, 0 if not, or an error, which has been told. */
int bridgechange_revert(Phase *p, bool boot, bool kept) _must_check_ _nonnull_all_;

/* The user says that it is good. Returns 1, 0 if there was nothing to confirm, or an error, which has been
 * told. */
int bridgechange_confirm(Phase *p) _must_check_ _nonnull_all_;
