/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Seed: the disk that tells a guest who it is at its first boot: an ISO image of the label CIDATA with the
 * files of cloud-init's NoCloud, which Talos reads too. Made by libarchive, which is loaded when it is first
 * used.
 */

#include "macro.h"

typedef struct Seed {
        const char *meta_data; /* NULL for each: there is no such file */
        const char *user_data; /* may be large: a machine config of Talos */
        const char *network_config;
} Seed;

enum { SEED_SIZE_MAX = 16 * 1024 * 1024 }; /* bytes of the image */

/* The image in memory, to be freed. Returns 0, -ENOPKG without libarchive, -EFBIG, -ENOMEM, or -EIO for what
 * libarchive says. */
int seed_make(const Seed *s, void **ret, size_t *ret_size) _must_check_ _nonnull_all_;
