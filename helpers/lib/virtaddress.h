/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtaddress: which addresses machines have, as libvirt knows it: of one machine from one source, or what
 * its networks have leased to all. Errors as in virtvm.h. */

#include "virt.h"

typedef enum VirtSource { VIRT_LEASE, VIRT_AGENT, VIRT_ARP, _VIRT_SOURCE_MAX } VirtSource;
const char *virt_source_to_string(VirtSource s);

/* Addresses with their prefix length where that is known, none of the loopback or of a link. An empty list
 * where the source does not know any, or does not answer; the agent within agent_sec, and a second at least.
 */
int virtaddress_find(Virt *v, const char *name, VirtSource source, unsigned agent_sec,
                     char ***ret) _must_check_ _nonnull_all_;

typedef struct VirtLease {
        char mac[sizeof("52:54:00:00:00:00")];
        char *address; /* with prefix length */
} VirtLease;

typedef struct VirtLeases {
        VirtLease *list;
        size_t n;
} VirtLeases;

void virtleases_done(VirtLeases *l);

/* What all networks of libvirt have leased: one call for each that is active. */
int virtaddress_leases(Virt *v, VirtLeases *ret) _must_check_ _nonnull_all_;
