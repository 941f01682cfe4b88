/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nftchain.h"
#include "json.h"

static void chain_done(NftChain *c) {
        free(c->family);
        free(c->table);
        free(c->name);
}

void nftchains_done(NftChains *c) {
        for (size_t i = 0; i < c->n; i++)
                chain_done(&c->list[i]);
        free(c->list);
        *c = (NftChains){};
}

static int parse(const char *json, json_object **ret) {
        json_object *o = json_tokener_parse(json);

        if (json_member(o, "nftables", json_type_array)) {
                *ret = o;
                return 0;
        }
        (void) json_object_put(o);
        return -EBADMSG;
}

static json_object *item(json_object *o, size_t i, const char *kind) {
        return json_member(json_item(o, "nftables", i), kind, json_type_object);
}

/* iptables of today keeps its rules in nftables, in a chain of this name, and wants to be asked itself. */
static bool is_of_iptables(const char *family, const char *table, const char *name) {
        return (streq(family, "ip") || streq(family, "ip6")) && streq(table, "filter") &&
                        streq(name, "FORWARD");
}

static bool is_dropping(json_object *chain) {
        return streq(json_text(chain, "type"), "filter") && streq(json_text(chain, "hook"), "forward") &&
                        streq(json_text(chain, "policy"), "drop") &&
                        !is_of_iptables(json_text(chain, "family"), json_text(chain, "table"),
                                        json_text(chain, "name"));
}

static int add_chain(NftChains *l, json_object *chain) {
        NftChain c = { strdup(json_text(chain, "family")), strdup(json_text(chain, "table")),
                       strdup(json_text(chain, "name")) };
        NftChain *list = reallocarray(l->list, l->n + 1, sizeof(*list));

        if (list)
                l->list = list;
        if (!list || !c.family || !c.table || !c.name) {
                chain_done(&c);
                return -ENOMEM;
        }
        l->list[l->n++] = c;
        return 0;
}

int nftchain_parse_dropping(const char *json, NftChains *ret) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_(nftchains_done) NftChains l = {};
        int r = parse(json, &o);

        for (size_t i = 0; r >= 0 && i < json_length(o, "nftables"); i++)
                if (is_dropping(item(o, i, "chain")))
                        r = add_chain(&l, item(o, i, "chain"));
        if (r < 0)
                return r;
        *ret = l;
        l = (NftChains){};
        return 0;
}

/* {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "br0"}} */
static bool is_match(json_object *expression, const char *key, const char *name) {
        json_object *match = json_member(expression, "match", json_type_object);
        json_object *left = json_member(match, "left", json_type_object);

        return streq(json_text(match, "op"), "==") && streq(json_text(match, "right"), name) &&
                        streq(json_text(json_member(left, "meta", json_type_object), "key"), key);
}

static bool is_rule(json_object *rule, const char *comment, const NftMatch *m) {
        size_t n = 0;

        if (!streq(json_text(rule, "comment"), comment))
                return false;
        if (m->in && !is_match(json_item(rule, "expr", n++), "iifname", m->in))
                return false;
        if (m->out && !is_match(json_item(rule, "expr", n++), "oifname", m->out))
                return false;
        /* What accepts is the last one, and there is nothing between. */
        return json_length(rule, "expr") == n + 1;
}

int nftchain_find_rules(const char *json, const char *comment, const NftMatch *m, uint64_t **ret_handles,
                        size_t *ret_n) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ uint64_t *handles = NULL;
        size_t n = 0;
        int r = parse(json, &o);

        if (r < 0)
                return r;
        handles = calloc(json_length(o, "nftables") + 1, sizeof(*handles));
        if (!handles)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(o, "nftables"); i++) {
                json_object *rule = item(o, i, "rule");

                if (is_rule(rule, comment, m))
                        handles[n++] = (uint64_t) json_object_get_int64(
                                        json_member(rule, "handle", json_type_int));
        }
        *ret_handles = TAKE_PTR(handles);
        *ret_n = n;
        return 0;
}
