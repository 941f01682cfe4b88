/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netproof: whether the network is still what it was, after it was moved to a bridge or back.
 *
 * What counts is what a user at the other end would notice: the same addresses and default routes, gateways
 * that answer, and connections to sshd in which bytes still arrive. */

#include "netpeer.h"
#include "netstate.h"

typedef struct NetProof {
        const NetState *before, *now;
        const NetPeers *peers_before, *peers_now;
        const char *from, *to; /* what the addresses were on, and shall be on; the same for what must not move
                                */
} NetProof;

/* Pure. Returns 0 if it holds, else 1 with what does not, in words (borrowed until the next call). */
int netproof_judge(const NetProof *p, const char **ret_missing) _must_check_ _nonnull_all_;

/* Makes the kernel ask for the neighbours that the default routes of the state go by, by a datagram of no
 * bytes to each (port 9, discard): that they answer shows in the next state. Needs no privilege. */
void netproof_ask(const NetState *s) _nonnull_all_;
