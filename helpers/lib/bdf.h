/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bdf: addresses of PCI functions. */

#include "macro.h"

/* A PCI address, "0000:01:00.0". */
typedef struct Bdf {
        uint32_t domain; /* up to 8 hex digits: VMD domains lie above 0xffff */
        uint8_t bus, slot, function;
} Bdf;

enum { BDF_STRING_MAX = sizeof("ffffffff:ff:1f.7") };

/* Full form only, lower or upper case. 0 or -EINVAL. */
int bdf_parse(const char *s, Bdf *ret) _must_check_ _nonnull_all_;
const char *bdf_format(Bdf b, char buf[static BDF_STRING_MAX]);
int bdf_compare(Bdf a, Bdf b);
