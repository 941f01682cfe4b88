/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netcheck: the part of verify that is about the network of VMs. */

#include "hostnet.h"
#include "json.h"

/* Adds the check "bridge". ret: what VMs are to use, for who checks libvirt's own network; unchanged where
 * that is not known. Returns 1 if it is known, 0 if not, or -ENOMEM. */
int netcheck_add(int root, const Conf *c, json_object *report, HostNet *ret) _must_check_ _nonnull_all_;
