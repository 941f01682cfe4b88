/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/neighbour.h>
#include <net/ethernet.h>
#include <net/if_arp.h>

#include "fs.h"
#include "hostnet.h"
#include "ipcheck.h"
#include "netnetworkd.h"
#include "netowner.h"
#include "probe.h"
#include "refuse.h"
#include "strv.h"

#define NAT_NETWORK "default"

/* What the kernel is sure of now. One that is only stale is asked. */
#define NUD_SURE (NUD_REACHABLE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

void ipcheck_done(IpCheck *c) {
        free(c->entries);
        *c = (IpCheck){};
}

/* The first of them that matters has the last word. */
static void mark(IpCheck *c, const IpRange *range, IpState state, const char *whose) {
        IpRange both;
        uint64_t first;

        if (iprange_cut(&c->range, range, &both) == 0)
                return;
        first = iprange_place(&c->range, both.first);
        for (uint64_t i = first; i < first + iprange_count(&both); i++)
                if (c->entries[i].state == IP_FREE)
                        c->entries[i] = (IpEntry){ .state = state, .whose = whose };
}

static void mark_one(IpCheck *c, int family, const uint8_t *address, IpState state) {
        IpRange range = { .family = family };

        memcpy(range.first, address, net_address_size(family));
        memcpy(range.last, address, net_address_size(family));
        mark(c, &range, state, NULL);
}

/* The network's own address and everybody's: what is around those that hosts may have. */
static void mark_special(IpCheck *c, const NetAddress *a) {
        IpRange hosts;
        uint8_t all[16] = {}, none[16] = {};

        if (a->link != c->link.index || a->family != AF_INET || a->prefix > 30)
                return;
        iprange_network(a->family, a->bytes, a->prefix, &hosts);
        iprange_at(&hosts, iprange_count(&hosts), all);
        memcpy(none, hosts.first, sizeof(none));
        none[3] &= (uint8_t) ~1; /* it is one less, and even */
        mark_one(c, a->family, all, IP_SPECIAL);
        mark_one(c, a->family, none, IP_SPECIAL);
}

static void mark_kernel(IpCheck *c, const NetState *s) {
        for (size_t i = 0; i < s->n_addresses; i++) {
                mark_one(c, s->addresses[i].family, s->addresses[i].bytes, IP_HOST);
                mark_special(c, &s->addresses[i]);
        }
        for (size_t i = 0; i < s->n_routes; i++)
                if (s->routes[i].has_gateway)
                        mark_one(c, s->routes[i].gateway_family, s->routes[i].gateway, IP_GATEWAY);
        for (size_t i = 0; i < s->n_neighbours; i++)
                if (s->neighbours[i].link == c->link.index && s->neighbours[i].state & NUD_SURE)
                        mark_one(c, s->neighbours[i].family, s->neighbours[i].bytes, IP_NEIGHBOUR);
}

static void mark_known(IpCheck *c, const IpKnown *k) {
        for (size_t i = 0; i < k->n; i++)
                mark(c, &k->items[i].range, k->items[i].state, k->items[i].whose);
}

static const NetAddress *find_network(const NetState *s, int index, const IpRange *wanted) {
        for (size_t i = 0; i < s->n_addresses; i++) {
                const NetAddress *a = &s->addresses[i];

                if (a->link != index || a->link_local)
                        continue;
                if (wanted ? a->family == wanted->family &&
                                                    net_same_prefix(a->bytes, wanted->first, a->prefix)
                           : a->family == AF_INET)
                        return a;
        }
        return NULL;
}

static void find_source(IpCheck *c, const NetState *s) {
        for (size_t i = 0; i < s->n_addresses && !c->has_source; i++)
                if (s->addresses[i].link == c->link.index && s->addresses[i].family == AF_INET6 &&
                    s->addresses[i].link_local) {
                        memcpy(c->source, s->addresses[i].bytes, sizeof(c->source));
                        c->has_source = true;
                }
}

static int find_link(const NetState *s, const char *name, NetLink *ret, char **reterr) {
        const NetLink *l = netstate_named(s, name);

        if (!l)
                return refuse(reterr, -ENODEV,
                              "There is no interface '%s'; 'gpu-vm-bootstrap' makes the bridge", name);
        if (l->type != ARPHRD_ETHER || l->flags & IFF_NOARP)
                return refuse(reterr, -ENODEV, "Nobody can be asked on '%s', which is no Ethernet", name);
        if (!(l->flags & IFF_UP))
                return refuse(reterr, -ENETDOWN, "Interface '%s' is down; 'ip link set %s up' helps", name,
                              name);
        *ret = *l;
        return 0;
}

/* What is to be looked at, and whose network it is. */
static int find_range(IpCheck *c, const NetState *s, const IpRange *wanted, char **reterr) {
        const NetAddress *a = find_network(s, c->link.index, wanted);

        if (!wanted && !a)
                return refuse(reterr, -EADDRNOTAVAIL,
                              "'%s' has no IPv4 address, so no network of its own. Name the addresses: 'vmctl ip check "
                              "192.0.2.100-192.0.2.199', or IpRange= in gpuvm.conf",
                              c->link.name);
        if (!wanted && a->prefix > 30)
                return refuse(reterr, -EADDRNOTAVAIL,
                              "'%s' has a single address (/%u) and no network to look through. Single addresses are "
                              "ordered from the hoster",
                              c->link.name, a->prefix);
        if (wanted)
                c->range = *wanted;
        else
                iprange_network(a->family, a->bytes, a->prefix, &c->range);
        c->prefix = a ? a->prefix : 0;
        c->leased = a && a->dynamic;
        if (iprange_count(&c->range) > IPCHECK_MAX)
                return refuse(reterr, -E2BIG,
                              "%s are too many addresses to ask for: at most %d at once. Name some, as FIRST-LAST, or by "
                              "IpRange= in gpuvm.conf",
                              iprange_text(&c->range).text, IPCHECK_MAX);
        c->n = (size_t) iprange_count(&c->range);
        return 0;
}

/* networkd gives out of the network of the link's own address. */
static int mark_networkd(IpCheck *c, const NetState *s, const char *text) {
        const NetAddress *a = find_network(s, c->link.index, NULL);
        _cleanup_(ipknown_done) IpKnown k = {};
        int r = a && text ? ipknown_add_networkd(&k, text, a->bytes, a->prefix) : 0;

        for (size_t i = 0; i < k.n; i++)
                mark(c, &k.items[i].range, k.items[i].state, NULL);
        return r;
}

int ipcheck_plan(const NetState *s, const char *link, const IpRange *wanted, const char *networkd,
                 const IpKnown *known, IpCheck *ret, char **reterr) {
        _cleanup_(ipcheck_done) IpCheck c = {};
        int r;

        *reterr = NULL;
        r = find_link(s, link, &c.link, reterr);
        if (r >= 0)
                r = find_range(&c, s, wanted, reterr);
        if (r < 0)
                return r;
        c.entries = calloc(c.n, sizeof(*c.entries));
        if (!c.entries)
                return -ENOMEM;
        find_source(&c, s);
        mark_known(&c, known);
        mark_kernel(&c, s);
        r = mark_networkd(&c, s, networkd);
        if (r < 0)
                return r;
        *ret = c;
        c = (IpCheck){};
        return 0;
}

static void take_answer(IpEntry *e, const ProbeHost *h) {
        e->asked = true;
        e->state = h->conflict ? IP_CONFLICT : h->answers ? IP_ANSWERS : h->wanted ? IP_WANTED : IP_FREE;
        memcpy(e->mac, h->mac, sizeof(e->mac));
        memcpy(e->other, h->other, sizeof(e->other));
}

static bool is_open(const IpEntry *e) {
        return e->state == IP_FREE && !e->asked;
}

int ipcheck_ask(IpCheck *c, size_t max) {
        _cleanup_free_ ProbeHost *hosts = calloc(MIN(c->n, max) + 1, sizeof(*hosts));
        ProbeLink link = { .index = c->link.index, .source = c->has_source ? c->source : NULL };
        size_t n = 0, k = 0;
        unsigned lost = 0;
        int r;

        if (!hosts)
                return -ENOMEM;
        memcpy(link.mac, c->link.mac, sizeof(link.mac));
        for (size_t i = 0; i < c->n && n < max; i++)
                if (is_open(&c->entries[i]))
                        iprange_at(&c->range, i, hosts[n++].address);
        r = probe_run(&link, c->range.family, hosts, n, &lost);
        for (size_t i = 0; i < c->n && k < n && r >= 0; i++)
                if (is_open(&c->entries[i]))
                        take_answer(&c->entries[i], &hosts[k++]);
        c->lost += lost;
        return r < 0 ? r : (int) n;
}

int ipcheck_link(int root, const Conf *conf, const NetState *s, char *const *networks, char **ret) {
        _cleanup_(hostnet_done) HostNet net = {};
        const NetRoute *route = netstate_default(s, AF_INET);
        const NetLink *l;
        int r;

        *ret = NULL;
        r = hostnet_read(root, conf, &net);
        if (r < 0)
                return r;
        if (net.bridge) {
                *ret = TAKE_PTR(net.bridge);
                return 0;
        }
        if (r > 0 && networks)
                r = ipknown_network_bridge(networks, NAT_NETWORK, ret);
        if (r < 0 || *ret)
                return r;
        l = netstate_named(s, conf->bridge_name);
        if (!l && route)
                l = netstate_link(s, route->link);
        if (!l)
                return -ENODEV;
        return free_and_strdup(ret, l->name);
}

/* Of the link, where networkd runs it. */
static int read_networkd(int root, const NetState *s, const char *link, char **ret) {
        _cleanup_(netowner_done) NetOwnerFacts f = {};
        const NetLink *l = netstate_named(s, link);
        int r = l ? netowner_look(root, l->index, l->name, &f) : 0;

        if (r >= 0 && f.networkd_file)
                r = netnetworkd_read(root, f.networkd_file, ret);
        return r == -ENOMEM ? r : 0;
}

int ipcheck_look(int root, const char *link, const IpRange *wanted, const IpKnown *known, IpCheck *ret,
                 char **reterr) {
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_free_ char *networkd = NULL;
        int r;

        *reterr = NULL;
        r = netstate_load(root, &s);
        if (r < 0)
                return refuse(reterr, r, "Cannot look at the network: %s", strerror(-r));
        r = read_networkd(root, &s, link, &networkd);
        return r < 0 ? r : ipcheck_plan(&s, link, wanted, networkd, known, ret, reterr);
}

int ipcheck_one(int root, const char *link, const IpRange *address, IpEntry *ret) {
        _cleanup_(ipcheck_done) IpCheck c = {};
        _cleanup_free_ char *said = NULL;
        const IpKnown nothing = {};
        int r;

        r = ipcheck_look(root, link, address, &nothing, &c, &said);
        if (r < 0)
                return r;
        if (c.n != 1)
                return -EINVAL;
        c.entries[0] = (IpEntry){ .state = IP_FREE };
        r = ipcheck_ask(&c, 1);
        if (r < 0)
                return r;
        *ret = c.entries[0];
        return ret->state != IP_FREE;
}

static int collect(const IpCheck *c, bool asked, size_t max, char ***ret) {
        size_t n = 0;

        for (size_t i = 0; i < c->n && n < max; i++) {
                uint8_t address[16];

                if (c->entries[i].state != IP_FREE || (asked && !c->entries[i].asked))
                        continue;
                iprange_at(&c->range, i, address);
                if (strv_extendf(ret, "%s/%u", net_address_to_string(c->range.family, address), c->prefix) <
                    0)
                        return -ENOMEM;
                n++;
        }
        return (int) n;
}

/* A few more than are wanted; more of them as long as all of those are taken. */
static int ask_and_collect(IpCheck *c, size_t max, char ***ret) {
        int asked = 1, n = 0;

        for (size_t window = max + max / 2 + 8; n == 0 && asked > 0; window *= 2) {
                asked = ipcheck_ask(c, window);
                n = asked < 0 ? asked : c->lost > 0 ? -ENOBUFS : collect(c, true, max, ret);
        }
        return n;
}

static const char *why_none(const IpCheck *c, bool range) {
        return c->prefix == 0 ? "IpRange= in gpuvm.conf is in no network of the bridge's"
                        : c->leased && !range
                        ? "the host's own address is leased, and which others are is not known: IpRange= in gpuvm.conf tells"
                        : NULL;
}

static const char *why_not_here(int known, NetworkMode mode) {
        return known == 0                        ? "gpuvm-bridge has not run since the machine started"
                        : mode == NETWORK_NAT    ? "libvirt leases addresses"
                        : mode == NETWORK_ROUTED ? "this host routes single addresses, which are ordered"
                                                 : NULL;
}

int ipcheck_free(int root, const Conf *conf, const IpKnown *known, size_t max, char ***ret, char **ret_why) {
        _cleanup_(hostnet_done) HostNet net = {};
        _cleanup_(ipcheck_done) IpCheck c = {};
        _cleanup_strv_ char **l = NULL;
        const char *why;
        IpRange range;
        int r;

        *ret_why = NULL;
        r = hostnet_read(root, conf, &net);
        if (r < 0)
                return r;
        why = why_not_here(r, net.mode);
        if (why)
                return free_and_strdup(ret_why, why);
        r = conf->ip_range ? iprange_parse(conf->ip_range, &range) : 0;
        if (r >= 0)
                r = ipcheck_look(root, net.bridge, conf->ip_range ? &range : NULL, known, &c, ret_why);
        if (r < 0)
                return *ret_why ? 0 : r;
        why = why_none(&c, conf->ip_range != NULL);
        if (why)
                return free_and_strdup(ret_why, why);
        r = fs_is_host(root) ? ask_and_collect(&c, max, &l) : collect(&c, false, max, &l);
        if (r == 0)
                return free_and_strdup(ret_why, "all addresses are taken");
        if (r > 0)
                *ret = TAKE_PTR(l);
        return r;
}
