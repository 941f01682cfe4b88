/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Uplink: by what the host's network is run, and on what it stands. Reads only. */

#include "macro.h"

/* Those of "netplan", "systemd-networkd", "NetworkManager" and "ifupdown" that run or configure interfaces
 * here, in this order. */
int uplink_managers(int root, char ***ret) _must_check_ _nonnull_all_;

/* The first of the interfaces that is, or stands on, a VXLAN or Geneve tunnel: one network made of many
 * hosts. NULL: none. interfaces: names, may be NULL. */
int uplink_find_overlay(int root, char *const *interfaces, char **ret) _must_check_;
