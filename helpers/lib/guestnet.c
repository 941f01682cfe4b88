/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guestnet.h"
#include "json.h"
#include "parse.h"

#include <arpa/inet.h>

typedef struct Address {
        int family;
        uint8_t bytes[16];
        unsigned prefix; /* all bits if none is given */
} Address;

static unsigned address_bits(int family) {
        return family == AF_INET ? 32 : 128;
}

static int parse_address(const char *s, Address *ret) {
        char host[INET6_ADDRSTRLEN];
        const char *slash = strchrnul(s, '/');
        size_t n = (size_t) (slash - s);
        Address a = {};

        if (n == 0 || n >= sizeof(host))
                return -EINVAL;
        memcpy(host, s, n);
        host[n] = '\0';
        a.family = strchr(host, ':') ? AF_INET6 : AF_INET;
        a.prefix = address_bits(a.family);
        if (inet_pton(a.family, host, a.bytes) != 1)
                return -EINVAL;
        if (*slash && (parse_uint(slash + 1, a.prefix, &a.prefix) < 0 || a.prefix == 0))
                return -EINVAL;
        *ret = a;
        return 0;
}

int guestnet_check_address(const char *s) {
        Address a;

        return strchr(s, '/') ? parse_address(s, &a) : -EINVAL;
}

/* The first byte's lowest bit is that of groups. */
int guestnet_check_mac(const char *s) {
        for (size_t i = 0; i < 17; i++)
                if (i % 3 == 2 ? s[i] != ':' : !s[i] || !strchr("0123456789abcdefABCDEF", s[i]))
                        return -EINVAL;
        return s[17] || strchr("13579bdfBDF", s[1]) ? -EINVAL : 0;
}

static bool same_subnet(const Address *gateway, const Address *a) {
        unsigned whole = a->prefix / 8, rest = a->prefix % 8;
        uint8_t mask = (uint8_t) (0xff00 >> rest);

        if (a->family != gateway->family || memcmp(a->bytes, gateway->bytes, whole) != 0)
                return false;
        return rest == 0 || ((a->bytes[whole] ^ gateway->bytes[whole]) & mask) == 0;
}

/* A link-local gateway is on every link. */
static bool is_link_local(const Address *a) {
        return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

int guestnet_is_near(const char *gateway, const char *const *addresses) {
        Address g, a;

        if (strchr(gateway, '/') || parse_address(gateway, &g) < 0)
                return -EINVAL;
        if (is_link_local(&g))
                return 1;
        for (; addresses && *addresses; addresses++) {
                if (guestnet_check_address(*addresses) < 0 || parse_address(*addresses, &a) < 0)
                        return -EINVAL;
                if (same_subnet(&g, &a))
                        return 1;
        }
        return 0;
}

int guestnet_complete(const char *s, const char *const *networks, char **ret) {
        Address a, network;

        if (strchr(s, '/') || parse_address(s, &a) < 0)
                return -EINVAL;
        for (; networks && *networks; networks++)
                if (guestnet_check_address(*networks) >= 0 && parse_address(*networks, &network) >= 0 &&
                    same_subnet(&a, &network))
                        return asprintf(ret, "%s/%u", s, network.prefix) < 0 ? -ENOMEM : 1;
        return 0;
}

static bool has_family(const char *const *addresses, int family) {
        Address a;

        for (; addresses && *addresses; addresses++)
                if (parse_address(*addresses, &a) >= 0 && a.family == family)
                        return true;
        return false;
}

static int add_route(json_object *routes, const GuestNet *n, const char *gateway) {
        _cleanup_json_ json_object *route = json_object_new_object();
        int near = guestnet_is_near(gateway, n->addresses), r;
        Address g;

        if (near < 0 || parse_address(gateway, &g) < 0 || !has_family(n->addresses, g.family))
                return -EINVAL;
        if (!route)
                return -ENOMEM;
        r = json_add_text(route, "to", g.family == AF_INET ? "0.0.0.0/0" : "::/0");
        if (r >= 0)
                r = json_add_text(route, "via", gateway);
        if (r >= 0 && !near)
                r = json_add(route, "on-link", json_object_new_boolean(true));
        if (r < 0)
                return r;
        return json_append(routes, TAKE_PTR(route));
}

static int add_static(json_object *link, const GuestNet *n) {
        json_object *routes = json_object_new_array();
        int r;

        r = json_add(link, "routes", routes);
        for (const char *const *a = n->addresses; r >= 0 && *a; a++)
                r = guestnet_check_address(*a);
        if (r >= 0)
                r = json_add(link, "addresses", json_new_list(n->addresses));
        for (const char *const *g = n->gateways; r >= 0 && g && *g; g++)
                r = add_route(routes, n, *g);
        return r;
}

static int add_dns(json_object *link, const GuestNet *n) {
        json_object *servers = json_object_new_object();
        Address a;
        int r;

        r = json_add(link, "nameservers", servers);
        for (const char *const *d = n->dns; r >= 0 && *d; d++)
                r = strchr(*d, '/') ? -EINVAL : parse_address(*d, &a);
        return r < 0 ? r : json_add(servers, "addresses", json_new_list(n->dns));
}

static int add_link(json_object *link, const GuestNet *n) {
        bool dhcp = !n->addresses || !*n->addresses;
        json_object *match;
        int r;

        if (guestnet_check_mac(n->mac) < 0 || (dhcp && n->gateways && *n->gateways))
                return -EINVAL;
        match = json_object_new_object();
        r = json_add(link, "match", match);
        if (r >= 0)
                r = json_add_text(match, "macaddress", n->mac);
        if (r >= 0)
                r = dhcp ? json_add(link, "dhcp4", json_object_new_boolean(true)) : add_static(link, n);
        if (r >= 0 && n->dns && *n->dns)
                r = add_dns(link, n);
        if (r >= 0 && n->mtu > 0)
                r = json_add(link, "mtu", json_object_new_int64(n->mtu));
        return r;
}

int guestnet_config(const GuestNet *n, char **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        json_object *links = json_object_new_object(), *link = json_object_new_object();
        int r, q;

        r = json_add(links, "uplink", link);
        q = json_add(o, "ethernets", links);
        if (r >= 0 && q >= 0)
                q = json_add(o, "version", json_object_new_int(2));
        if (r < 0 || q < 0)
                return -ENOMEM;
        r = add_link(link, n);
        if (r < 0)
                return r;
        *ret = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
        return *ret ? 0 : -ENOMEM;
}

/* FNV-1a: spread is what counts, not secrecy. */
static uint32_t hash(const char *s, unsigned attempt) {
        uint32_t h = UINT32_C(2166136261) ^ attempt;

        for (; *s; s++)
                h = (h ^ (uint8_t) *s) * UINT32_C(16777619);
        return h;
}

int guestnet_mac(const char *uuid, unsigned attempt, char ret[static sizeof("52:54:00:00:00:00")]) {
        char lower[37];
        uint32_t h;

        if (strlen(uuid) != 36)
                return -EINVAL;
        for (size_t i = 0; i <= 36; i++)
                lower[i] = (char) (uuid[i] >= 'A' && uuid[i] <= 'F' ? uuid[i] + 32 : uuid[i]);
        if (strspn(lower, "0123456789abcdef-") != 36)
                return -EINVAL;
        h = hash(lower, attempt);
        (void) snprintf(ret, sizeof("52:54:00:00:00:00"), "52:54:00:%02x:%02x:%02x", h >> 24 & 0xff,
                        h >> 16 & 0xff, (h >> 8 ^ h) & 0xff);
        return 0;
}
