/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridgenft: the part of bridgefilter that is about chains which nft(8) made, in tables of somebody's own. A
 * packet has to be accepted by each chain of its hook: what iptables lets through, another one may still
 * drop. */

#include "nftchain.h"
#include "phase.h"

/* Whose packets: a table of the family inet has both. */
typedef struct NftFamilies {
        bool ipv4, ipv6;
} NftFamilies;

/* A rule for each match at the begin of each chain that drops. Returns as bridgefilter_open(). */
int bridgenft_open(Phase *p, const char *bridge, NftFamilies f, const NftMatch *matches,
                   size_t n) _must_check_ _nonnull_all_;
/* Returns as bridgefilter_look(). */
int bridgenft_look(Phase *p, NftFamilies f, const NftMatch *matches, size_t n) _must_check_ _nonnull_all_;
/* Takes them away. */
void bridgenft_close(Phase *p, NftFamilies f, const NftMatch *matches, size_t n) _nonnull_all_;
