/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nftchain.h"
#include "tests/tap.h"

#define SAID(items) "{\"nftables\": [{\"metainfo\": {\"json_schema_version\": 1}}, " items "]}"
#define CHAIN(family, table, name, hook, policy)                                               \
        "{\"chain\": {\"family\": \"" family "\", \"table\": \"" table "\", \"name\": \"" name \
        "\", \"handle\": 1, \"type\": \"filter\", \"hook\": \"" hook                           \
        "\", \"prio\": 0, \"policy\": \"" policy "\"}}"
#define IS(key, name) \
        "{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"" key "\"}}, \"right\": \"" name "\"}}"
#define RULE(handle, comment, expressions)                                                                  \
        "{\"rule\": {\"family\": \"inet\", \"table\": \"own\", \"chain\": \"forward\", \"handle\": " handle \
        ", \"comment\": \"" comment "\", \"expr\": [" expressions "]}}"

TEST(those_that_drop_what_is_forwarded) {
        _cleanup_(nftchains_done) NftChains l = {};

        ASSERT_EQ(nftchain_parse_dropping(
                                  SAID(CHAIN("inet", "own", "forward", "forward", "drop") ", " CHAIN("inet", "own", "input", "input", "drop") ", " CHAIN(
                                                  "ip", "filter", "FORWARD", "forward",
                                                  "drop") ", " CHAIN("ip6", "filter", "FORWARD", "forward",
                                                                     "drop") ", " CHAIN("ip", "other",
                                                                                        "FORWARD", "forward",
                                                                                        "drop") ", " CHAIN("ip",
                                                                                                           "mild",
                                                                                                           "forward",
                                                                                                           "forward",
                                                                                                           "accept") ", "
                                                                                                                     "{\"chain\": {\"name\": \"no-hook\"}}"),
                                  &l),
                  0);
        ASSERT_EQ(l.n, 2);
        ASSERT_STREQ(l.list[0].family, "inet");
        ASSERT_STREQ(l.list[0].table, "own");
        ASSERT_STREQ(l.list[0].name, "forward");
        ASSERT_STREQ(l.list[1].table, "other");
}

TEST(no_answer_of_nft) {
        _cleanup_(nftchains_done) NftChains l = {};

        ASSERT_EQ(nftchain_parse_dropping("", &l), -EBADMSG);
        ASSERT_EQ(nftchain_parse_dropping("{\"nftables\": {}}", &l), -EBADMSG);
        ASSERT_EQ(nftchain_parse_dropping("{\"nftables\": [1, null, {\"chain\": []}]}", &l), 0);
        ASSERT_EQ(l.n, 0);
}

#define RULES                                                                                                                                             \
        SAID(RULE("7", "gpuvm-bridge", IS("iifname", "br0") ", " IS("oifname", "br0") ", {\"accept\": null}") ", " RULE(                                  \
                        "8", "gpuvm-bridge",                                                                                                              \
                        IS("iifname", "br1") ", " IS(                                                                                                     \
                                        "oifname",                                                                                                        \
                                        "br1") ", {\"accept\": null}") ", " RULE("9", "gpuvm-bridge",                                                     \
                                                                                 IS("iifname",                                                            \
                                                                                    "br0") ", {\"accept\": null}") ", " RULE("10",                        \
                                                                                                                             "theirs",                    \
                                                                                                                             IS("iifname",                \
                                                                                                                                "br0") ", " IS("oifname", \
                                                                                                                                               "br0") ", {\"accept\": null}"))

TEST(rules_of_ours) {
        _cleanup_free_ uint64_t *both = NULL, *in = NULL, *out = NULL;
        size_t n = 0;

        ASSERT_EQ(nftchain_find_rules(RULES, "gpuvm-bridge", &(NftMatch){ "br0", "br0" }, &both, &n), 0);
        ASSERT_EQ(n, 1);
        ASSERT_EQ(both[0], 7);
        ASSERT_EQ(nftchain_find_rules(RULES, "gpuvm-bridge", &(NftMatch){ .in = "br0" }, &in, &n), 0);
        ASSERT_EQ(n, 1);
        ASSERT_EQ(in[0], 9);
        ASSERT_EQ(nftchain_find_rules(RULES, "gpuvm-bridge", &(NftMatch){ .out = "br0" }, &out, &n), 0);
        ASSERT_EQ(n, 0);
}
