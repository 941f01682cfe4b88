/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nftchain: which chains of nftables drop what the host forwards, and rules of ours in them, by what
 * 'nft --json' says (libnftables-json(5)). Pure. */

#include "macro.h"

typedef struct NftChain {
        char *family, *table, *name; /* "inet", "filter", "forward" */
} NftChain;

typedef struct NftChains {
        NftChain *list;
        size_t n;
} NftChains;

void nftchains_done(NftChains *c);

/* Chains of the hook forward that drop what none of their rules accepts, but those that iptables itself keeps
 * in nftables. One that drops by its last rule is not seen. json: of 'list chains'. Returns 0, -EBADMSG for
 * what is no such answer, or -ENOMEM. */
int nftchain_parse_dropping(const char *json, NftChains *ret) _must_check_ _nonnull_all_;

/* A rule's packets: come in from there and go out there; NULL: from and to wherever. */
typedef struct NftMatch {
        const char *in, *out;
} NftMatch;

/* Rules with that comment and exactly that match. json: of 'list chain'. ret_handles: what nft calls them. As
 * above. */
int nftchain_find_rules(const char *json, const char *comment, const NftMatch *m, uint64_t **ret_handles,
                        size_t *ret_n) _must_check_ _nonnull_all_;
