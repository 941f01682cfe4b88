/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netcheck: the part of verify that is about the network of VMs. */

#include "findings.h"
#include "hostnet.h"

/* Adds the check "bridge". ret_net: what VMs are to use, for who checks libvirt's own network; unchanged
 * where that is not known. Returns 1 if it is known, 0 if not, or -ENOMEM. */
int netcheck_add(int root, const Conf *c, Findings *ret, HostNet *ret_net) _must_check_ _nonnull_all_;
