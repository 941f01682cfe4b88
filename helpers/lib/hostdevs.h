/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hostdevs: which of the host's PCI functions a machine has, by libvirt's description of it. Pure. */

#include "macro.h"

/* Addresses as sysfs writes them; empty for a machine without any. Returns 0, -EBADMSG for what is no
 * domain's XML, -ENOPKG or -ENOMEM. A device that is none of ours to understand (USB, mediated) is left out.
 */
int hostdevs_parse(const char *xml, char ***ret) _must_check_ _nonnull_all_;
