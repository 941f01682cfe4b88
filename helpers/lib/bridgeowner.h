/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridgeowner: telling the network's owner that his files have changed, in his own way.
 *
 * Each command has a deadline of its own, so that the change is over, one way or the other, before the timer.
 * A step that fails is debug-logged and the rest is done all the same: what counts is what netproof.h sees
 * then. */

#include "bridge.h"
#include "phase.h"

/* While the old files are still there. */
int bridgeowner_before(Phase *p, const BridgeState *s) _nonnull_all_;
/* With the new ones. Returns 0, or -errno of the first command that failed; -EPROTO for an exit status. */
int bridgeowner_apply(Phase *p, const BridgeState *s) _nonnull_all_;

/* From the first until the second the bridge takes addresses without asking whether somebody else has them:
 * they were proven to be this host's a moment ago, on the same wire, and to ask again keeps IPv6 silent for
 * two seconds (RFC 4862, 5.4). Returns what the second wants to know. Where this
 * program is killed in between, interfaces that come later do not ask until the restart. */
bool bridgeowner_trust_addresses(Phase *p, const BridgeState *s) _must_check_ _nonnull_all_;
void bridgeowner_doubt_addresses(Phase *p, const BridgeState *s, bool trusted) _nonnull_all_;

/* The way back: with the new files, and with the old ones again. */
int bridgeowner_withdraw(Phase *p, const BridgeState *s) _nonnull_all_;
int bridgeowner_return(Phase *p, const BridgeState *s) _must_check_ _nonnull_all_;

/* The timer that takes the change back unless bridgeowner_disarm() comes first. */
int bridgeowner_arm(Phase *p, uint64_t revert_usec) _must_check_ _nonnull_all_;
void bridgeowner_disarm(Phase *p) _nonnull_all_;
#define BRIDGE_REVERT_UNIT "gpuvm-bridge-revert"
