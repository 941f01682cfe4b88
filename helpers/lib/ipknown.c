/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ipknown.h"
#include "fs.h"
#include "ini.h"
#include "parse.h"
#include "strv.h"
#include "xml.h"

const char *ip_state_to_string(IpState s) {
        static const char *const names[_IP_STATE_MAX] = {
                [IP_FREE] = "free",         [IP_RESERVED] = "reserved",   [IP_CLAIMED] = "claimed",
                [IP_HOST] = "host",         [IP_SPECIAL] = "network",     [IP_GATEWAY] = "gateway",
                [IP_LEASED] = "dhcp",       [IP_NEIGHBOUR] = "neighbour", [IP_ANSWERS] = "answers",
                [IP_CONFLICT] = "conflict", [IP_WANTED] = "wanted",
        };

        return (size_t) s < ELEMENTSOF(names) ? names[s] : NULL;
}

void ipknown_done(IpKnown *k) {
        for (size_t i = 0; i < k->n; i++)
                free(k->items[i].whose);
        free(k->items);
        *k = (IpKnown){};
}

static int add_range(IpKnown *k, IpState state, const IpRange *range, const char *whose) {
        IpKnownItem *t = reallocarray(k->items, k->n + 1, sizeof(*t));
        IpKnownItem item = { .range = *range, .state = state };

        if (!t)
                return -ENOMEM;
        k->items = t;
        if (free_and_strdup(&item.whose, whose) < 0)
                return -ENOMEM;
        k->items[k->n++] = item;
        return 0;
}

int ipknown_add(IpKnown *k, IpState state, const char *addresses, const char *whose) {
        _cleanup_free_ char *text = strndup(addresses, strcspn(addresses, "/"));
        IpRange range;

        if (!text)
                return -ENOMEM;
        return iprange_parse(text, &range) < 0 ? 0 : add_range(k, state, &range, whose);
}

static int add_lease_range(IpKnown *k, const XmlNode *range, const char *whose) {
        const char *first = xml_attribute(range, "start"), *last = xml_attribute(range, "end");
        _cleanup_free_ char *text = NULL;

        if (!first || !last)
                return 0;
        if (str_printf(&text, "%s-%s", first, last) < 0)
                return -ENOMEM;
        return ipknown_add(k, IP_LEASED, text, whose);
}

int ipknown_add_network(IpKnown *k, const char *xml) {
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        const char *name;
        int r;

        r = xml_read(xml, &d);
        if (r < 0)
                return r;
        name = xml_content(xml_child(xml_root(d), "name"));
        for (const XmlNode *ip = xml_child(xml_root(d), "ip"); ip && r >= 0; ip = xml_next(ip)) {
                const XmlNode *dhcp = xml_child(ip, "dhcp"), *n;

                for (n = xml_child(dhcp, "range"); n && r >= 0; n = xml_next(n))
                        r = add_lease_range(k, n, name);
                for (n = xml_child(dhcp, "host"); n && r >= 0; n = xml_next(n))
                        r = ipknown_add(k, IP_LEASED, strempty(xml_attribute(n, "ip")), name);
        }
        return r;
}

int ipknown_network_bridge(char *const *networks, const char *name, char **ret) {
        *ret = NULL;
        STRV_FOREACH(text, networks) {
                _cleanup_xml_doc_ XmlDoc *d = NULL;
                const char *bridge;
                int r = xml_read(*text, &d);

                if (r < 0)
                        return r;
                bridge = xml_attribute(xml_child(xml_root(d), "bridge"), "name");
                if (bridge && streq(xml_content(xml_child(xml_root(d), "name")), name))
                        return free_and_strdup(ret, bridge);
        }
        return 0;
}

typedef struct DhcpServer {
        bool on;
        uint64_t offset, size; /* 0: the standard ones */
        IpRange own;           /* ServerAddress=, if has_own */
        unsigned prefix;
        bool has_own;
} DhcpServer;

static int on_section(unsigned line, const char *section, void *userdata) {
        return 0;
}

static void on_problem(unsigned line, const char *text, void *userdata) {}

static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        _cleanup_free_ char *address = NULL;
        const char *slash = strchr(value, '/');
        DhcpServer *s = userdata;

        if (section && streq(section, "Network") && streq(key, "DHCPServer"))
                s->on = parse_boolean(value) > 0;
        if (!section || !streq(section, "DHCPServer"))
                return 0;
        if (streq(key, "PoolOffset") && parse_u64(value, &s->offset) < 0)
                s->offset = 0;
        if (streq(key, "PoolSize") && parse_u64(value, &s->size) < 0)
                s->size = 0;
        if (!streq(key, "ServerAddress") || !slash)
                return 0;
        address = strndup(value, (size_t) (slash - value));
        if (!address)
                return -ENOMEM;
        s->has_own = iprange_parse(address, &s->own) >= 0 && s->own.family == AF_INET &&
                        parse_uint(slash + 1, 32, &s->prefix) >= 0;
        return 0;
}

int ipknown_add_networkd(IpKnown *k, const char *text, const uint8_t address[static 4], unsigned prefix) {
        DhcpServer s = {};
        const Ini ini = { .section = on_section,
                          .assignment = on_assignment,
                          .problem = on_problem,
                          .userdata = &s };
        IpRange range, pool;
        uint64_t count, skip;
        int r;

        r = ini_parse(&ini, text, strlen(text));
        if (r < 0 || !s.on)
                return r;
        iprange_network(AF_INET, s.has_own ? s.own.first : address, s.has_own ? s.prefix : prefix, &range);
        /* Of 0, the network's own address, which is not in ours. */
        skip = MAX(s.offset, UINT64_C(1)) - 1;
        count = iprange_count(&range);
        if (skip >= count)
                return 0;
        pool = range;
        iprange_at(&range, skip, pool.first);
        if (s.size > 0 && s.size < count - skip)
                iprange_at(&range, skip + s.size - 1, pool.last);
        return add_range(k, IP_LEASED, &pool, "systemd-networkd");
}
