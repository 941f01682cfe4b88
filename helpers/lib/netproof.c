/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netproof.h"

#include <linux/neighbour.h>
#include <stdarg.h>
#include <sys/socket.h>

enum { DISCARD = 9 };

static const int families[] = { AF_INET, AF_INET6 };

static const char *family_name(int family) {
        return family == AF_INET6 ? "IPv6" : "IPv4";
}

static int missing(const char **ret, const char *format, ...) _printf_(2, 3);

static int missing(const char **ret, const char *format, ...) {
        static char text[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        *ret = text;
        return 1;
}

/* What routers and DHCPv6 gave may be made of the interface's name, RFC 7217: another one is not a loss. */
static bool must_stay(const NetAddress *a) {
        return !a->link_local && (a->family == AF_INET || !a->dynamic);
}

static bool has_address(const NetState *s, int link, const NetAddress *wanted) {
        for (size_t i = 0; i < s->n_addresses; i++) {
                const NetAddress *a = &s->addresses[i];

                if (a->link == link && a->family == wanted->family &&
                    memcmp(a->bytes, wanted->bytes, net_address_size(a->family)) == 0)
                        return true;
        }
        return false;
}

static int judge_addresses(const NetProof *p, int from, int to, const char **ret) {
        for (size_t i = 0; i < p->before->n_addresses; i++) {
                const NetAddress *a = &p->before->addresses[i];

                if (a->link == from && must_stay(a) && !has_address(p->now, to, a))
                        return missing(ret, "%s does not have the address %s", p->to,
                                       net_address_to_string(a->family, a->bytes));
        }
        return 0;
}

static bool is_answer(unsigned state) {
        return state & (NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP);
}

static int judge_route(const NetProof *p, int family, int from, int to, const char **ret) {
        const NetRoute *was = netstate_default(p->before, family), *is = netstate_default(p->now, family);

        if (!was || was->link != from)
                return 0;
        if (!is || is->link != to)
                return missing(ret, "%s's default route does not leave by %s", family_name(family), p->to);
        if (is->has_gateway != was->has_gateway ||
            memcmp(is->gateway, was->gateway, net_address_size(was->gateway_family)) != 0)
                return missing(ret, "%s's default route has another gateway than before",
                               family_name(family));
        if (was->has_gateway && !is_answer(netstate_neighbour(p->now, to, is->gateway_family, is->gateway)))
                return missing(ret, "%s's gateway %s does not answer", family_name(family),
                               net_address_to_string(is->gateway_family, is->gateway));
        return 0;
}

static int judge_peers(const NetProof *p, const char **ret) {
        NetFlow f = netpeer_compare(p->peers_before, p->peers_now);

        if (f == NETFLOW_STUCK)
                return missing(ret, "nothing that is sent to those who are logged in arrives");
        if (f == NETFLOW_GONE)
                return missing(ret, "the connections of those who were logged in are gone");
        return 0;
}

int netproof_judge(const NetProof *p, const char **ret_missing) {
        const NetLink *from = netstate_named(p->before, p->from), *to = netstate_named(p->now, p->to);
        int r;

        if (!from || !to)
                return missing(ret_missing, "there is no %s", from ? p->to : p->from);
        if (!(to->flags & IFF_RUNNING))
                return missing(ret_missing, "%s has no carrier", p->to);
        r = judge_addresses(p, from->index, to->index, ret_missing);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(families); i++)
                r = judge_route(p, families[i], from->index, to->index, ret_missing);
        return r == 0 ? judge_peers(p, ret_missing) : r;
}

static void ask(const NetRoute *r) {
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } to = {};
        _cleanup_close_ int fd = socket(r->gateway_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        socklen_t size = r->gateway_family == AF_INET6 ? sizeof(to.v6) : sizeof(to.v4);

        if (fd < 0)
                return;
        to.any.sa_family = (sa_family_t) r->gateway_family;
        if (r->gateway_family == AF_INET6) {
                memcpy(&to.v6.sin6_addr, r->gateway, sizeof(to.v6.sin6_addr));
                to.v6.sin6_port = htons(DISCARD);
                to.v6.sin6_scope_id = (uint32_t) r->link;
        } else {
                memcpy(&to.v4.sin_addr, r->gateway, sizeof(to.v4.sin_addr));
                to.v4.sin_port = htons(DISCARD);
        }
        (void) sendto(fd, "", 0, MSG_NOSIGNAL, &to.any, size);
}

void netproof_ask(const NetState *s) {
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                const NetRoute *r = netstate_default(s, families[i]);

                if (r && r->has_gateway)
                        ask(r);
        }
}
