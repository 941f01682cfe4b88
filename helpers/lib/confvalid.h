/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Confvalid: what the text of a value may look like. Pure. */

#include "macro.h"

/* As useradd(8) makes them. */
bool confvalid_user(const char *s) _must_check_ _nonnull_all_;
/* A label of RFC 1123: the name of a machine. */
bool confvalid_hostname(const char *s) _must_check_ _nonnull_all_;
/* Letters, digits and .+-_, up to 64: a version, the name of a pool. */
bool confvalid_word(const char *s) _must_check_ _nonnull_all_;
/* The name of a network interface. */
bool confvalid_interface(const char *s) _must_check_ _nonnull_all_;
/* "192.0.2.0/24", "2001:db8::/64". */
bool confvalid_subnet(const char *s) _must_check_ _nonnull_all_;
/* "192.0.2.10-192.0.2.99", in this order. */
bool confvalid_range(const char *s) _must_check_ _nonnull_all_;
/* "all", "none", or ports with blanks or commas between: "tcp/22 udp/5000-5010". */
bool confvalid_ports(const char *s) _must_check_ _nonnull_all_;
/* "5001,1590": memory and graphics, in MHz. */
bool confvalid_clocks(const char *s) _must_check_ _nonnull_all_;
/* Absolute, not the root, without "..", backslashes, control characters and what units take for specifiers.
 */
bool confvalid_path(const char *s) _must_check_ _nonnull_all_;
/* Such a path of letters, digits and ._-/+@ alone, up to 200 bytes: units, XML and a guest's settings take it
 * as it is. */
bool confvalid_plain_path(const char *s) _must_check_ _nonnull_all_;
/* "https://mirror.example/images": no slash at its end, no query, no user. */
bool confvalid_url(const char *s) _must_check_ _nonnull_all_;
/* As parse_size() takes it, from 1G to 1T. */
bool confvalid_image_size(const char *s) _must_check_ _nonnull_all_;
/* A stable path as pci.h has it: "pci-0000:00:01.0/00.0". */
bool confvalid_gpu_path(const char *s) _must_check_ _nonnull_all_;

/* "DDDD:BB:SS.F", or "BB:SS.F" for domain 0 as lspci shows it; ret: in full, in lower case. Returns 0,
 * -EINVAL or -ENOMEM. */
int confvalid_address(const char *s, char **ret) _must_check_ _nonnull_all_;
