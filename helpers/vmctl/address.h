/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Address: where machines can be reached, each address with its source: "reserved", "lease", "agent", "arp".
 */

#include "json.h"
#include "netstate.h"
#include "virtaddress.h"
#include "vmctl.h"

typedef struct Addresses {
        char **address, **source; /* as many */
} Addresses;

void addresses_done(Addresses *a);

/* From every source. on: the machine runs. Tells what goes wrong. */
int addresses_find(Context *c, const char *name, bool on, const Metadata *m, Addresses *a) _must_check_
                __attribute__((nonnull(1, 2, 4, 5)));

json_object *addresses_to_json(const Addresses *a) _nonnull_all_;

/* What is known of many machines at once: their own word, and else one call for each network of libvirt's and
 * one to the kernel. Where these know nothing a machine's agent is asked, as long as all answers together
 * take no longer than half a second. */
typedef struct AddressBook {
        bool looked;
        VirtLeases leases;
        NetState net; /* of this host, where libvirt is */
        uint64_t agents_usec;
} AddressBook;

void addressbook_done(AddressBook *b);

int addressbook_find(Context *c, AddressBook *b, const VirtVm *vm, const Metadata *m,
                     Addresses *a) _must_check_ _nonnull_all_;
