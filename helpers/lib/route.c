/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <linux/neighbour.h>

#include "confvalid.h"
#include "fs.h"
#include "fswrite.h"
#include "guestnet.h"
#include "metadata.h"
#include "netlink.h"
#include "route.h"

enum { RECORD_MAX = 256 };

static const XmlNode *find_interface(const XmlNode *domain, const char *tap) {
        const XmlNode *i = xml_child(xml_child(domain, "devices"), "interface");

        while (i && !streq_ptr(xml_attribute(xml_child(i, "target"), "dev"), tap))
                i = xml_next(i);
        return i;
}

/* A machine may have more interfaces than gpuvm has given it. */
static bool is_reserved_for(const XmlNode *domain, const XmlNode *interface, const Metadata *m) {
        const char *mac = xml_attribute(xml_child(interface, "mac"), "address");
        char own[sizeof("52:54:00:00:00:00")];

        if (!mac)
                return false;
        if (m->mac)
                return strcasecmp(mac, m->mac) == 0;
        return guestnet_mac(xml_content(xml_child(domain, "uuid")), 0, own) >= 0 && strcasecmp(mac, own) == 0;
}

static bool read_address(const char *cidr, uint8_t ret[static 4]) {
        char host[INET_ADDRSTRLEN];
        size_t n = cidr ? strcspn(cidr, "/") : 0;

        return n > 0 && n < sizeof(host) && snprintf(host, sizeof(host), "%.*s", (int) n, cidr) == (int) n &&
                        inet_pton(AF_INET, host, ret) == 1;
}

/* On the bridge, with the address that gpuvm has given the machine. */
static bool wants_route(const XmlNode *domain, const XmlNode *interface, const Metadata *m,
                        const char *bridge, uint8_t ret[static 4]) {
        return streq_ptr(xml_attribute(xml_child(interface, "source"), "bridge"), bridge) &&
                        is_reserved_for(domain, interface, m) && read_address(m->address, ret);
}

int route_find(const char *xml, const char *tap, const char *bridge, uint8_t ret[static 4]) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const XmlNode *interface;
        int r;

        r = xml_read(xml, &doc);
        if (r < 0)
                return r;
        interface = find_interface(xml_root(doc), tap);
        if (!interface)
                return ROUTE_UNKNOWN;
        r = metadata_parse(xml, &m);
        if (r < 0)
                return r;
        return r > 0 && wants_route(xml_root(doc), interface, &m, bridge, ret) ? ROUTE_WANTED : ROUTE_NONE;
}

static bool take_interface(const char *s, char ret[static IF_NAMESIZE]) {
        return confvalid_interface(s) && snprintf(ret, IF_NAMESIZE, "%s", s) < IF_NAMESIZE;
}

int route_find_tap(const char *xml, const char *bridge, char ret_tap[static IF_NAMESIZE],
                   uint8_t ret[static 4]) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const XmlNode *i;
        int r;

        r = xml_read(xml, &doc);
        if (r >= 0)
                r = metadata_parse(xml, &m);
        if (r <= 0)
                return r < 0 ? r : ROUTE_NONE;
        for (i = xml_child(xml_child(xml_root(doc), "devices"), "interface"); i; i = xml_next(i)) {
                const char *tap = xml_attribute(xml_child(i, "target"), "dev");

                if (tap && wants_route(xml_root(doc), i, &m, bridge, ret) && take_interface(tap, ret_tap))
                        return ROUTE_WANTED;
        }
        return ROUTE_NONE;
}

const NetLink *route_uplink(const NetState *s, const char *named) {
        const NetRoute *route = netstate_default(s, AF_INET);

        return named ? netstate_named(s, named) : route ? netstate_link(s, route->link) : NULL;
}

static bool is_gateway(const NetState *s, const uint8_t address[static 4]) {
        for (size_t i = 0; i < s->n_routes; i++)
                if (s->routes[i].has_gateway && s->routes[i].gateway_family == AF_INET &&
                    memcmp(s->routes[i].gateway, address, 4) == 0)
                        return true;
        return false;
}

static bool is_own(const NetState *s, const uint8_t address[static 4]) {
        for (size_t i = 0; i < s->n_addresses; i++)
                if (s->addresses[i].family == AF_INET && memcmp(s->addresses[i].bytes, address, 4) == 0)
                        return true;
        return false;
}

/* The route to this one address; NULL if there is none. */
static const NetRoute *find_route(const NetState *s, const uint8_t address[static 4]) {
        for (size_t i = 0; i < s->n_routes; i++)
                if (s->routes[i].family == AF_INET && s->routes[i].prefix == 32 &&
                    memcmp(s->routes[i].target, address, 4) == 0)
                        return &s->routes[i];
        return NULL;
}

const char *route_obstacle(const NetState *s, const Route *r) {
        const NetLink *bridge = netstate_named(s, r->bridge);
        const NetRoute *route = find_route(s, r->address);
        uint8_t first = r->address[0];

        if (!bridge || !netstate_named(s, r->uplink))
                return "the bridge or the uplink is not there";
        if (first == 0 || first == 127 || first >= 224)
                return "that is no address of a single machine";
        if (is_own(s, r->address))
                return "it is this host's own";
        if (is_gateway(s, r->address))
                return "it is this host's gateway";
        if (route && (route->link != bridge->index || route->has_gateway))
                return "this host has a route to it that leads elsewhere";
        return NULL;
}

int route_parse(const char *text, Route *ret) {
        char address[INET_ADDRSTRLEN], bridge[IF_NAMESIZE], uplink[IF_NAMESIZE];
        Route r = {};
        int end = 0;

        if (sscanf(text, "%15s %15s %15s%n", address, bridge, uplink, &end) != 3 ||
            !streq(text + end, "\n") || inet_pton(AF_INET, address, r.address) != 1 ||
            !take_interface(bridge, r.bridge) || !take_interface(uplink, r.uplink))
                return -EBADMSG;
        *ret = r;
        return 0;
}

int route_format(const Route *r, char **ret) {
        return str_printf(ret, "%s %s %s\n", net_address_to_string(AF_INET, r->address), r->bridge,
                          r->uplink);
}

/* Both are as the kernel has them: a message's own header, then attributes that are aligned to four bytes. */
static int change_route(const Route *r, uint16_t type, uint16_t flags) {
        struct {
                struct rtmsg m;
                struct rtattr target_header;
                uint8_t target[4];
                struct rtattr link_header;
                uint32_t link;
        } body = { .m = { .rtm_family = AF_INET,
                          .rtm_dst_len = 32,
                          .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = RTPROT_STATIC,
                          .rtm_scope = RT_SCOPE_LINK,
                          .rtm_type = RTN_UNICAST },
                   .target_header = { RTA_LENGTH(4), RTA_DST },
                   .link_header = { RTA_LENGTH(4), RTA_OIF },
                   .link = if_nametoindex(r->bridge) };

        memcpy(body.target, r->address, sizeof(body.target));
        return body.link == 0 ? -ENODEV : netlink_change(NETLINK_ROUTE, type, flags, &body, sizeof(body));
}

static int change_proxy(const Route *r, uint16_t type, uint16_t flags) {
        struct {
                struct ndmsg m;
                struct rtattr target_header;
                uint8_t target[4];
        } body = { .m = { .ndm_family = AF_INET,
                          .ndm_ifindex = (int) if_nametoindex(r->uplink),
                          .ndm_state = NUD_PERMANENT,
                          .ndm_flags = NTF_PROXY },
                   .target_header = { RTA_LENGTH(4), NDA_DST } };

        memcpy(body.target, r->address, sizeof(body.target));
        return body.m.ndm_ifindex == 0 ? -ENODEV
                                       : netlink_change(NETLINK_ROUTE, type, flags, &body, sizeof(body));
}

typedef struct ProxySearch {
        const Route *route;
        int link;
} ProxySearch;

static int on_neighbour(uint16_t type, const void *payload, size_t size, void *userdata) {
        const struct rtattr *attributes[NDA_DST + 1] = {};
        const ProxySearch *p = userdata;
        struct ndmsg m;
        int r;

        if (type != RTM_NEWNEIGH)
                return 0;
        r = netlink_body(payload, size, sizeof(m), attributes, NDA_DST);
        if (r < 0)
                return r;
        memcpy(&m, payload, sizeof(m));
        return m.ndm_ifindex == p->link && m.ndm_flags & NTF_PROXY && attributes[NDA_DST] &&
                        netlink_size(attributes[NDA_DST]) == 4 &&
                        memcmp(RTA_DATA(attributes[NDA_DST]), p->route->address, 4) == 0;
}

/* Returns 1 if the host answers for it, 0 if not. */
static int look_for_proxy(const Route *r) {
        const struct ndmsg all = { .ndm_family = AF_INET, .ndm_flags = NTF_PROXY };
        ProxySearch p = { r, (int) if_nametoindex(r->uplink) };
        _cleanup_free_ char *data = NULL;
        size_t size = 0;
        int k = netlink_dump(NETLINK_ROUTE, RTM_GETNEIGH, &all, sizeof(all), &data, &size);

        return k < 0 ? k : netlink_walk(data, size, on_neighbour, &p);
}

int route_look(const Route *r, bool *ret_route, bool *ret_proxy) {
        _cleanup_(netstate_done) NetState s = {};
        const NetRoute *route;
        int k = netstate_read(&s);

        if (k >= 0)
                k = look_for_proxy(r);
        if (k < 0)
                return k;
        route = find_route(&s, r->address);
        *ret_route = route && route->link == (int) if_nametoindex(r->bridge);
        *ret_proxy = k > 0;
        return 0;
}

/* Returns 1 if both are there, 0 if one is not. */
static int look(const Route *r) {
        bool route, proxy;
        int k = route_look(r, &route, &proxy);

        return k < 0 ? k : route && proxy;
}

static int record_path(const char *tap, char **ret) {
        return confvalid_interface(tap) ? str_printf(ret, ROUTE_DIR "/%s", tap) : -EINVAL;
}

static int save(int root, const char *tap, const Route *r) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int k = record_path(tap, &path);

        if (k >= 0)
                k = route_format(r, &text);
        if (k >= 0)
                k = fs_mkdir_p(root, ROUTE_DIR, 0755);
        return k < 0 ? k : fs_write_atomic(root, path, text, strlen(text), 0644);
}

int route_add(int root, const char *tap, const Route *r) {
        int k = save(root, tap, r), there;

        there = k < 0 ? k : look(r);
        if (there != 0)
                return there < 0 ? there : 0;
        k = change_route(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
        if (k >= 0 || k == -EEXIST)
                k = change_proxy(r, RTM_NEWNEIGH, NLM_F_CREATE);
        if (k >= 0)
                k = look(r);
        return k < 0 ? k : k > 0 ? 1 : -ENOENT;
}

int route_load(int root, const char *tap, Route *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r = record_path(tap, &path);

        if (r >= 0)
                r = fs_read(root, path, RECORD_MAX, &text, NULL);
        if (r >= 0)
                r = route_parse(text, ret);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

/* Returns 1 if another tap has the same, 0 if none has. */
static int is_shared(int root, const char *tap, const Route *r) {
        _cleanup_strv_ char **taps = NULL;
        int k = fs_list(root, ROUTE_DIR, &taps);

        if (k < 0)
                return k;
        STRV_FOREACH(t, taps) {
                Route other;

                if (!streq(*t, tap) && route_load(root, *t, &other) > 0 &&
                    memcmp(other.address, r->address, sizeof(other.address)) == 0)
                        return 1;
        }
        return 0;
}

/* What went with its interface, or by somebody's hand, is gone. */
static int gone(int error) {
        return error == -ESRCH || error == -ENOENT || error == -ENODEV || error == -ENXIO ? 0 : error;
}

int route_remove(int root, const char *tap) {
        _cleanup_free_ char *path = NULL;
        Route r;
        int k, q = 0;

        k = route_load(root, tap, &r);
        if (k <= 0)
                return k;
        k = is_shared(root, tap, &r);
        if (k == 0) {
                k = gone(change_proxy(&r, RTM_DELNEIGH, 0));
                q = gone(change_route(&r, RTM_DELROUTE, 0));
        }
        if (k >= 0)
                k = q < 0 ? q : record_path(tap, &path);
        return k < 0 ? k : fs_remove(root, path);
}

int route_remove_all(int root) {
        _cleanup_strv_ char **taps = NULL;
        int r = fs_list(root, ROUTE_DIR, &taps);

        if (r == -ENOENT)
                return 0;
        STRV_FOREACH(t, taps) {
                int k = route_remove(root, *t);

                r = r < 0 ? r : k < 0 ? k : MAX(r, k);
        }
        return r;
}
