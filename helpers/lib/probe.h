/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Probe: asks everybody on a link which of many addresses they have.
 *
 * All are asked five times, every 100 ms, and the last answers are waited for until 600 ms are over. That
 * takes as long as three rounds of 200 ms and misses far less: of hosts whose frames are lost one time in
 * twenty, one in three million. Whoever has answered is not asked again. Frames leave 16 at a time, 40 in a
 * millisecond: switches take bursts of broadcasts for a storm. */

#include <netinet/in.h>

#include "macro.h"

typedef struct ProbeLink {
        int index;
        uint8_t mac[6];
        const uint8_t *source; /* its link-local IPv6 address, or NULL; see arp.h */
} ProbeLink;

typedef struct ProbeHost {
        uint8_t address[16];
        bool answers;  /* somebody has it */
        bool conflict; /* two have */
        bool wanted;   /* somebody else asks for it, to take it */
        uint8_t mac[6], other[6];
} ProbeHost;

/* hosts: by address, the lowest first. Waits for all of the time, because a second one with the same address
 * would be heard then. ret_lost: frames that came faster than they could be read: an answer may have been
 * among them. Returns 0, -EPERM without CAP_NET_RAW, -ENETDOWN, -ENODEV, or -ETIMEDOUT if the link takes
 * nothing for half a minute. */
int probe_run(const ProbeLink *l, int family, ProbeHost *hosts, size_t n,
              unsigned *ret_lost) _must_check_ _nonnull_all_;

/* Whether we may: 0 or -EPERM. */
int probe_check(void) _must_check_;
