/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestfilter: what guests on libvirt's own network may reach of the host itself (GuestToHost=).
 *
 * libvirt lets them reach every port that the host listens at, on each of its addresses. A table of our own
 * in nftables takes that back: a packet has to be accepted in each table, so it works beside whatever else is
 * there. DHCP, DNS, ICMP and answers always pass. The table is in a file that nft(8) reads, and goes with the
 * kernel; gpuvm-bridge-forward.service loads it when there is a bridge. */

#include "conf.h"
#include "phase.h"
#include "undo.h"

#define GUESTFILTER_PATH STATE_DIR "/guests.nft"

/* Pure. ports: a valid GuestToHost=. Of "all" it is the file that takes the table away. */
int guestfilter_text(const char *ports, const char *bridge, char **ret) _must_check_ _nonnull_all_;

/* For libvirt's network default: the file, announced and recorded, and the table. With "all" and no file
 * there is nothing to do. Returns 0, or an error that has been told. */
int guestfilter_put(Phase *p, Undo *u, const Conf *c) _must_check_ _nonnull_all_;

/* Has nft read the file. Returns 0, also if there is none, or an error that has been told. */
int guestfilter_load(Phase *p) _must_check_ _nonnull_all_;

/* Takes the table away; what fails is a note. */
void guestfilter_drop(Phase *p) _nonnull_all_;
