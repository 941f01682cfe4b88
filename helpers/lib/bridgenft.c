/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridgenft.h"
#include "child.h"
#include "fs.h"

#define NFT     "/usr/sbin/nft"
#define COMMENT "gpuvm-bridge"

enum {
        TIMEOUT_SEC = 10,
        ANSWER_MAX = 4 * 1024 * 1024, /* of Kubernetes' thousands of chains */
};

static void on_stderr(const char *line, void *userdata) {
        log_debug("%s", line);
}

/* ret: its answer, or NULL. */
static int nft(Phase *p, const char *const *argv, char **ret) {
        const Child child = { PHASE_CHILD(p), .argv = argv, .timeout_usec = TIMEOUT_SEC * USEC_PER_SEC,
                              .on_stderr = on_stderr };
        _cleanup_free_ char *answer = NULL;
        int r = ret ? child_output(&child, ANSWER_MAX, &answer) : child_run(&child);

        if (r != 0)
                return r > 0 ? -EPROTO : r;
        if (ret)
                *ret = TAKE_PTR(answer);
        return 0;
}

/* Chains that drop, and what of them matters. */
static int look(Phase *p, NftChains *ret) {
        _cleanup_free_ char *answer = NULL;
        int r = nft(p, (const char *const[]){ NFT, "-j", "list", "chains", NULL }, &answer);

        return r < 0 ? r : nftchain_parse_dropping(answer, ret);
}

static bool is_of(const NftChain *c, NftFamilies f) {
        return streq(c->family, "inet") || (f.ipv4 && streq(c->family, "ip")) ||
                        (f.ipv6 && streq(c->family, "ip6"));
}

static int find(Phase *p, const NftChain *c, const NftMatch *m, uint64_t **ret_handles, size_t *ret_n) {
        const char *const argv[] = { NFT, "-j", "list", "chain", c->family, c->table, c->name, NULL };
        _cleanup_free_ char *answer = NULL;
        int r = nft(p, argv, &answer);

        return r < 0 ? r : nftchain_find_rules(answer, COMMENT, m, ret_handles, ret_n);
}

/* nft joins its words to one text, in which names of devices are quoted. */
static int insert(Phase *p, const NftChain *c, const NftMatch *m) {
        _cleanup_free_ char *in = NULL, *out = NULL;

        if ((m->in && str_printf(&in, "iifname \"%s\"", m->in) < 0) ||
            (m->out && str_printf(&out, "oifname \"%s\"", m->out) < 0))
                return -ENOMEM;
        return nft(p,
                   (const char *const[]){ NFT, "insert", "rule", c->family, c->table, c->name, strempty(in),
                                          strempty(out), "accept comment \"" COMMENT "\"", NULL },
                   NULL);
}

static int delete (Phase *p, const NftChain *c, uint64_t handle) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) handle);
        return nft(p,
                   (const char *const[]){ NFT, "delete", "rule", c->family, c->table, c->name, "handle", text,
                                          NULL },
                   NULL);
}

static int open_one(Phase *p, const char *bridge, const NftChain *c, const NftMatch *m) {
        _cleanup_free_ uint64_t *before = NULL, *after = NULL;
        size_t n = 0;
        int r;

        r = find(p, c, m, &before, &n);
        if (r < 0 || n > 0)
                return r;
        r = phase_change(p, "accept", bridge, "in chain %s of table %s %s", c->name, c->family, c->table);
        if (r <= 0)
                return r;
        r = insert(p, c, m);
        if (r >= 0)
                r = find(p, c, m, &after, &n);
        return r < 0 ? r : n > 0 ? 1 : -EPROTO;
}

static int close_one(Phase *p, const NftChain *c, const NftMatch *m) {
        _cleanup_free_ uint64_t *handles = NULL;
        size_t n = 0;
        int r;

        r = find(p, c, m, &handles, &n);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = delete (p, c, handles[i]);
        return r;
}

int bridgenft_open(Phase *p, const char *bridge, NftFamilies f, const NftMatch *matches, size_t n) {
        _cleanup_(nftchains_done) NftChains l = {};
        int changed = 0, r;

        r = look(p, &l);
        for (size_t i = 0; i < l.n && r >= 0; i++)
                for (size_t k = 0; is_of(&l.list[i], f) && k < n && r >= 0; k++) {
                        r = open_one(p, bridge, &l.list[i], &matches[k]);
                        changed |= r > 0;
                }
        return r < 0 ? r : changed;
}

int bridgenft_look(Phase *p, NftFamilies f, const NftMatch *matches, size_t n) {
        _cleanup_(nftchains_done) NftChains l = {};
        int r = look(p, &l);

        for (size_t i = 0; i < l.n && r >= 0; i++)
                for (size_t k = 0; is_of(&l.list[i], f) && k < n && r >= 0; k++) {
                        _cleanup_free_ uint64_t *handles = NULL;
                        size_t found = 0;

                        r = find(p, &l.list[i], &matches[k], &handles, &found);
                        if (r >= 0 && found == 0)
                                return 0;
                }
        return r < 0 ? r : 1;
}

void bridgenft_close(Phase *p, NftFamilies f, const NftMatch *matches, size_t n) {
        _cleanup_(nftchains_done) NftChains l = {};
        int r = look(p, &l);

        for (size_t i = 0; i < l.n && r >= 0; i++)
                for (size_t k = 0; is_of(&l.list[i], f) && k < n && r >= 0; k++)
                        r = close_one(p, &l.list[i], &matches[k]);
        if (r < 0 && r != -ENOENT)
                log_debug("Rules of nftables cannot be taken back: %s", strerror(-r));
}
