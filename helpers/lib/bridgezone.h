/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridgezone: firewalld and what VMs send over the bridge.
 *
 * firewalld's table is its own, so no rule can be put there; but what comes in by one interface of a zone may
 * leave by each that is bound to it (the zone's "forward", on since 1.0). An interface that is in the default
 * zone just because nobody has bound it is not among them (FirewallZone._interface() in
 * firewall/core/fw_zone.py). So the bridge is bound to the zone that it is in anyway, and what the host
 * itself accepts stays as it was. Where the administrator has bound the uplink, the bridge comes to that
 * zone: it is where the host's own traffic arrives from then on. Under NetworkManager that is a part of the
 * profile, and NetworkManager's. */

#include "bridge.h"
#include "phase.h"

/* Before the change: the bridge comes to the uplink's zone, if that has one, until firewalld loads its files
 * again. Returns 0, or an error, which has been told. */
int bridgezone_follow(Phase *p, const BridgeState *s) _must_check_ _nonnull_all_;

/* For a bridge that is kept: binds for good what has to be, each announced, and keeps in the state that it is
 * ours. A zone that forwards nothing is the administrator's will, and a note. Returns 1 if something was
 * bound, 0 if not, or -errno. */
int bridgezone_open(Phase *p, BridgeState *s) _must_check_ _nonnull_all_;

/* Takes back what is ours, also what only follows the uplink. */
void bridgezone_close(Phase *p, const BridgeState *s) _nonnull_all_;

/* Returns 1 if firewalld lets it through, or is not there; 0 if not; or -errno. Needs root. */
int bridgezone_look(int root, const BridgeState *s) _must_check_ __attribute__((nonnull(2)));
