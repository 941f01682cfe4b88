/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netstate.h"
#include "fs.h"
#include "netlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>

enum { RECORD_TRIES = 5 }; /* the tables may change while they are read */

void netstate_done(NetState *s) {
        free(s->links);
        free(s->addresses);
        free(s->routes);
        free(s->neighbours);
        *s = (NetState){};
}

/* Room for one more, zeroed. */
#define GROW(items, n)                                                        \
        ({                                                                    \
                typeof(items) g_ = reallocarray(items, (n) + 1, sizeof(*g_)); \
                if (g_) {                                                     \
                        (items) = g_;                                         \
                        g_ += (n)++;                                          \
                        *g_ = (typeof(*g_)){};                                \
                }                                                             \
                g_;                                                           \
        })

static void copy_text(char *to, size_t size, const struct rtattr *a) {
        size_t n = a ? strnlen(RTA_DATA(a), netlink_size(a)) : 0;

        n = MIN(n, size - 1);
        if (n > 0)
                memcpy(to, RTA_DATA(a), n);
        to[n] = '\0';
}

/* Only whole ones: anything of another size is no such address. */
static bool copy_bytes(uint8_t *to, size_t size, const struct rtattr *a) {
        if (!a || netlink_size(a) != size)
                return false;
        memcpy(to, RTA_DATA(a), size);
        return true;
}

static int parse_link(NetState *s, const void *payload, size_t size) {
        const struct rtattr *a[IFLA_PERM_ADDRESS + 1] = {}, *info[IFLA_INFO_SLAVE_KIND + 1] = {};
        const struct ifinfomsg *m = payload;
        NetLink *l;

        if (netlink_body(payload, size, sizeof(*m), a, ELEMENTSOF(a) - 1) < 0)
                return -EBADMSG;
        if (m->ifi_index <= 0)
                return -EBADMSG;
        if (a[IFLA_LINKINFO] &&
            netlink_attributes(RTA_DATA(a[IFLA_LINKINFO]), netlink_size(a[IFLA_LINKINFO]), info,
                               ELEMENTSOF(info) - 1) < 0)
                return -EBADMSG;
        /* A bridge's view of its ports (AF_BRIDGE) is another list, of the same message type. */
        if (m->ifi_family != AF_UNSPEC || netstate_link(s, m->ifi_index))
                return 0;
        l = GROW(s->links, s->n_links);
        if (!l)
                return -ENOMEM;
        l->index = m->ifi_index;
        l->type = m->ifi_type;
        l->flags = m->ifi_flags;
        l->master = (int) netlink_u32(a[IFLA_MASTER], 0);
        /* The other end of a veth may be in another namespace: a number there is none here. */
        l->lower = a[IFLA_LINK_NETNSID] ? 0 : (int) netlink_u32(a[IFLA_LINK], 0);
        l->mtu = netlink_u32(a[IFLA_MTU], 0);
        copy_text(l->name, sizeof(l->name), a[IFLA_IFNAME]);
        copy_text(l->kind, sizeof(l->kind), info[IFLA_INFO_KIND]);
        copy_text(l->port_kind, sizeof(l->port_kind), info[IFLA_INFO_SLAVE_KIND]);
        (void) copy_bytes(l->mac, sizeof(l->mac), a[IFLA_ADDRESS]);
        (void) copy_bytes(l->permanent, sizeof(l->permanent), a[IFLA_PERM_ADDRESS]);
        return 0;
}

static bool is_ip(int family) {
        return family == AF_INET || family == AF_INET6;
}

static int parse_address(NetState *s, const void *payload, size_t size) {
        const struct rtattr *a[IFA_FLAGS + 1] = {};
        const struct ifaddrmsg *m = payload;
        uint8_t bytes[16] = {};
        NetAddress *n;

        if (netlink_body(payload, size, sizeof(*m), a, ELEMENTSOF(a) - 1) < 0)
                return -EBADMSG;
        if (!is_ip(m->ifa_family) || m->ifa_prefixlen > 8 * net_address_size(m->ifa_family))
                return 0;
        /* With a peer IFA_ADDRESS is the other end; ours is IFA_LOCAL, which IPv6 leaves out without one. */
        if (!copy_bytes(bytes, net_address_size(m->ifa_family), a[IFA_LOCAL] ?: a[IFA_ADDRESS]))
                return 0;
        n = GROW(s->addresses, s->n_addresses);
        if (!n)
                return -ENOMEM;
        n->link = (int) m->ifa_index;
        n->family = m->ifa_family;
        n->prefix = m->ifa_prefixlen;
        n->link_local = m->ifa_scope == RT_SCOPE_LINK;
        n->dynamic = !(netlink_u32(a[IFA_FLAGS], m->ifa_flags) & IFA_F_PERMANENT);
        memcpy(n->bytes, bytes, sizeof(bytes));
        return 0;
}

/* The first of several gateways stands for all. */
static void parse_many(NetRoute *n, const struct rtattr *many) {
        const struct rtattr *a[RTA_GATEWAY + 1] = {};
        struct rtnexthop hop;

        n->many = true;
        if (netlink_size(many) < sizeof(hop))
                return;
        memcpy(&hop, RTA_DATA(many), sizeof(hop));
        n->link = hop.rtnh_ifindex;
        n->onlink = hop.rtnh_flags & RTNH_F_ONLINK;
        if (hop.rtnh_len >= sizeof(hop) && hop.rtnh_len <= netlink_size(many) &&
            netlink_attributes((const char *) RTA_DATA(many) + sizeof(hop), hop.rtnh_len - sizeof(hop), a,
                               ELEMENTSOF(a) - 1) >= 0)
                n->has_gateway = copy_bytes(n->gateway, net_address_size(n->family), a[RTA_GATEWAY]);
}

/* RTA_VIA is a family and the address: struct rtvia. */
static bool copy_via(NetRoute *n, const struct rtattr *via) {
        uint16_t family;

        if (!via || netlink_size(via) < sizeof(family))
                return false;
        memcpy(&family, RTA_DATA(via), sizeof(family));
        if (family != AF_INET6 || netlink_size(via) != sizeof(family) + 16)
                return false;
        n->gateway_family = AF_INET6;
        memcpy(n->gateway, (const char *) RTA_DATA(via) + sizeof(family), 16);
        return true;
}

static int parse_route(NetState *s, const void *payload, size_t size) {
        const struct rtattr *a[RTA_VIA + 1] = {};
        const struct rtmsg *m = payload;
        NetRoute *n;

        if (netlink_body(payload, size, sizeof(*m), a, ELEMENTSOF(a) - 1) < 0)
                return -EBADMSG;
        if (!is_ip(m->rtm_family) || m->rtm_type != RTN_UNICAST ||
            m->rtm_dst_len > 8 * net_address_size(m->rtm_family) ||
            netlink_u32(a[RTA_TABLE], m->rtm_table) != RT_TABLE_MAIN || (m->rtm_flags & RTM_F_CLONED))
                return 0;
        n = GROW(s->routes, s->n_routes);
        if (!n)
                return -ENOMEM;
        n->family = n->gateway_family = m->rtm_family;
        n->prefix = m->rtm_dst_len;
        n->onlink = m->rtm_flags & RTNH_F_ONLINK;
        n->origin = m->rtm_protocol;
        n->link = (int) netlink_u32(a[RTA_OIF], 0);
        n->metric = netlink_u32(a[RTA_PRIORITY], 0);
        (void) copy_bytes(n->target, net_address_size(n->family), a[RTA_DST]);
        n->has_gateway = copy_bytes(n->gateway, net_address_size(n->family), a[RTA_GATEWAY]) ||
                        copy_via(n, a[RTA_VIA]);
        if (a[RTA_MULTIPATH])
                parse_many(n, a[RTA_MULTIPATH]);
        return 0;
}

static int parse_neighbour(NetState *s, const void *payload, size_t size) {
        const struct rtattr *a[NDA_LLADDR + 1] = {};
        const struct ndmsg *m = payload;
        uint8_t bytes[16] = {};
        NetNeighbour *n;

        if (netlink_body(payload, size, sizeof(*m), a, ELEMENTSOF(a) - 1) < 0)
                return -EBADMSG;
        if (!is_ip(m->ndm_family) || !copy_bytes(bytes, net_address_size(m->ndm_family), a[NDA_DST]))
                return 0;
        n = GROW(s->neighbours, s->n_neighbours);
        if (!n)
                return -ENOMEM;
        n->link = m->ndm_ifindex;
        n->family = m->ndm_family;
        n->state = m->ndm_state;
        (void) copy_bytes(n->mac, sizeof(n->mac), a[NDA_LLADDR]);
        memcpy(n->bytes, bytes, sizeof(bytes));
        return 0;
}

static int on_message(uint16_t type, const void *payload, size_t size, void *userdata) {
        switch (type) {
        case RTM_NEWLINK:
                return parse_link(userdata, payload, size);
        case RTM_NEWADDR:
                return parse_address(userdata, payload, size);
        case RTM_NEWROUTE:
                return parse_route(userdata, payload, size);
        case RTM_NEWNEIGH:
                return parse_neighbour(userdata, payload, size);
        default:
                return 0;
        }
}

int netstate_parse(NetState *s, const void *data, size_t size) {
        return netlink_walk(data, size, on_message, s);
}

static int record_once(char **data, size_t *size) {
        static const uint16_t types[] = { RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(types); i++) {
                struct ifinfomsg any = {}; /* the longest of the four bodies, all zero: everything */

                r = netlink_dump(NETLINK_ROUTE, types[i], &any, sizeof(any), data, size);
        }
        return r;
}

int netstate_record(char **ret, size_t *ret_size) {
        int r = -EAGAIN;

        for (unsigned i = 0; r == -EAGAIN && i < RECORD_TRIES; i++) {
                _cleanup_free_ char *data = NULL;
                size_t size = 0;

                r = record_once(&data, &size);
                if (r >= 0) {
                        *ret = TAKE_PTR(data);
                        *ret_size = size;
                }
        }
        return r;
}

int netstate_read(NetState *ret) {
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = netstate_record(&data, &size);
        if (r >= 0)
                r = netstate_parse(&s, data, size);
        if (r < 0)
                return r;
        *ret = s;
        s = (NetState){};
        return 0;
}

int netstate_load(int root, NetState *ret) {
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        if (fs_is_host(root))
                return netstate_read(ret);
        r = fs_read(root, NETSTATE_RECORD, FS_FILE_MAX, &data, &size);
        if (r >= 0)
                r = netstate_parse(&s, data, size);
        if (r < 0)
                return r;
        *ret = s;
        s = (NetState){};
        return 0;
}

const NetLink *netstate_link(const NetState *s, int index) {
        for (size_t i = 0; i < s->n_links; i++)
                if (s->links[i].index == index)
                        return &s->links[i];
        return NULL;
}

const NetLink *netstate_named(const NetState *s, const char *name) {
        for (size_t i = 0; i < s->n_links; i++)
                if (streq(s->links[i].name, name))
                        return &s->links[i];
        return NULL;
}

const NetRoute *netstate_default(const NetState *s, int family) {
        const NetRoute *best = NULL;

        for (size_t i = 0; i < s->n_routes; i++) {
                const NetRoute *r = &s->routes[i];

                if (r->family == family && r->prefix == 0 && (!best || r->metric < best->metric))
                        best = r;
        }
        return best;
}

bool net_same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits) {
        unsigned whole = bits / 8, rest = bits % 8;

        if (memcmp(a, b, whole) != 0)
                return false;
        return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool netstate_gateway_is_onlink(const NetState *s, const NetRoute *r) {
        if (!r->has_gateway)
                return false;
        if (r->gateway_family != r->family)
                return true;
        if (r->family == AF_INET6 &&
            IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *) (const void *) r->gateway))
                return false;
        for (size_t i = 0; i < s->n_addresses; i++) {
                const NetAddress *a = &s->addresses[i];

                if (a->link == r->link && a->family == r->family &&
                    net_same_prefix(a->bytes, r->gateway, a->prefix))
                        return false;
        }
        return true;
}

bool netstate_has_ports(const NetState *s, int index) {
        for (size_t i = 0; i < s->n_links; i++)
                if (s->links[i].master == index)
                        return true;
        return false;
}

unsigned netstate_neighbour(const NetState *s, int link, int family, const uint8_t *bytes) {
        for (size_t i = 0; i < s->n_neighbours; i++) {
                const NetNeighbour *n = &s->neighbours[i];

                if (n->link == link && n->family == family &&
                    memcmp(n->bytes, bytes, net_address_size(family)) == 0)
                        return n->state;
        }
        return 0;
}

enum { TEXTS = 4 };

const char *net_address_to_string(int family, const uint8_t *bytes) {
        static char texts[TEXTS][INET6_ADDRSTRLEN];
        static unsigned next;
        char *t = texts[next++ % TEXTS];

        return inet_ntop(family, bytes, t, INET6_ADDRSTRLEN) ?: "n/a";
}

const char *net_mac_to_string(const uint8_t mac[static 6]) {
        static char texts[TEXTS][18];
        static unsigned next;
        char *t = texts[next++ % TEXTS];

        (void) snprintf(t, sizeof(texts[0]), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                        mac[4], mac[5]);
        return t;
}
