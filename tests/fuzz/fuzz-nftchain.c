/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What nft says: a chain that is found has all of its names. */

#include "nftchain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        _cleanup_(nftchains_done) NftChains l = {};
        _cleanup_free_ uint64_t *handles = NULL;
        size_t n = 0;

        assert(text);
        if (nftchain_parse_dropping(text, &l) < 0)
                assert(l.n == 0);
        for (size_t i = 0; i < l.n; i++)
                assert(l.list[i].family && l.list[i].table && l.list[i].name);
        if (nftchain_find_rules(text, "gpuvm-bridge", &(NftMatch){ "br0", "br0" }, &handles, &n) < 0)
                assert(!handles && n == 0);
        return 0;
}
