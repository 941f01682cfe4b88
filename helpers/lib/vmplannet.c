/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <ctype.h>

#include "fs.h"
#include "guestnet.h"
#include "strv.h"
#include "vmplanwork.h"

#define NAT_NETWORK "default"

static int make_mac(Making *m) {
        char mac[sizeof("52:54:00:00:00:00")];

        if (m->w->mac) {
                if (guestnet_check_mac(m->w->mac) < 0)
                        return vmplan_refuse(m, -EINVAL, "'%s' is no MAC address of a single station",
                                             m->w->mac);
                m->p.mac = strdup(m->w->mac);
                if (!m->p.mac)
                        return -ENOMEM;
                for (char *c = m->p.mac; *c; c++) /* as libvirt writes it */
                        *c = (char) tolower((unsigned char) *c);
                if (strv_contains(m->h->macs, m->p.mac))
                        return vmplan_refuse(m, -EEXIST, "MAC address %s belongs to another machine",
                                             m->w->mac);
                return vmplan_choose(m, "mac", ASKED, "%s", m->p.mac);
        }
        for (unsigned attempt = 0; attempt < 100; attempt++) {
                int r = guestnet_mac(m->p.uuid, attempt, mac);

                if (r < 0)
                        return r;
                if (strv_contains(m->h->macs, mac))
                        continue;
                m->p.mac = strdup(mac);
                return m->p.mac ? vmplan_choose(m, "mac", "made from the machine's UUID", "%s", mac)
                                : -ENOMEM;
        }
        return vmplan_refuse(m, -EEXIST, "No MAC address is free. Give one by --mac");
}

static int make_network(Making *m) {
        if (m->w->network) {
                m->p.network = strdup(m->w->network);
                return m->p.network ? vmplan_choose(m, "network", ASKED, "%s", m->w->network) : -ENOMEM;
        }
        if (m->h->bridge) {
                m->p.bridge = strdup(m->h->bridge);
                return m->p.bridge ? vmplan_choose(m, "bridge",
                                                   m->h->network == NETWORK_ROUTED ? "the host routes for it"
                                                                                   : "the host's network",
                                                   "%s", m->h->bridge)
                                   : -ENOMEM;
        }
        m->p.network = strdup(NAT_NETWORK);
        return m->p.network ? vmplan_choose(m, "network", "behind NAT", NAT_NETWORK) : -ENOMEM;
}

/* Without its prefix length. Returns its family, or 0. */
static int read_address(const char *s, uint8_t ret[static 16]) {
        char host[INET6_ADDRSTRLEN];
        int family = strchr(s, ':') ? AF_INET6 : AF_INET;

        if (snprintf(host, sizeof(host), "%.*s", (int) strcspn(s, "/"), s) >= (int) sizeof(host))
                return 0;
        return inet_pton(family, host, ret) == 1 ? family : 0;
}

/* However each is written. */
static bool is_taken(char *const *addresses, const char *address) {
        uint8_t wanted[16], taken[16];
        int family = read_address(address, wanted);

        STRV_FOREACH(a, addresses)
                if (family != 0 && read_address(*a, taken) == family &&
                    memcmp(wanted, taken, family == AF_INET6 ? 16 : 4) == 0)
                        return true;
        return false;
}

/* With a lease they come with it. */
static int choose_dns(Making *m) {
        _cleanup_free_ char *all = m->h->dns ? strv_join(m->h->dns, " ") : NULL;

        if (!m->h->dns)
                return 0;
        return all ? vmplan_choose(m, "dns", "the host's", "%s", all) : -ENOMEM;
}

static bool is_ipv6(const char *address) {
        return strchr(address, ':');
}

/* NULL if there is none. */
static const char *host_gateway(const Making *m, const char *address) {
        return is_ipv6(address) ? m->h->gateway6 : m->h->gateway;
}

/* On the bridge that this host routes for. */
static bool is_routed(const Making *m) {
        return m->p.bridge && m->h->network == NETWORK_ROUTED;
}

static int make_gateway(Making *m) {
        const char *gateway = host_gateway(m, m->p.address);
        const char *const addresses[] = { m->p.address, NULL };
        const char *why = is_routed(m) ? "the host itself" : "the host's";

        if (m->w->gateway) {
                gateway = m->w->gateway;
                why = ASKED;
        }
        if (!gateway)
                return vmplan_refuse(
                                m, -EINVAL,
                                "The host has no gateway of %s to take over for %s. Give one by --gateway",
                                is_ipv6(m->p.address) ? "IPv6" : "IPv4", m->p.address);
        if (guestnet_is_near(gateway, addresses) < 0 || is_ipv6(gateway) != is_ipv6(m->p.address))
                return vmplan_refuse(m, -EINVAL, "'%s' is no gateway for %s", gateway, m->p.address);
        m->p.gateway = strdup(gateway);
        if (!m->p.gateway || vmplan_choose(m, "gateway", why, "%s", gateway) < 0)
                return -ENOMEM;
        return choose_dns(m);
}

static const char *next_offer(const Making *m) {
        STRV_FOREACH(a, m->h->offers)
                if (host_gateway(m, *a) && !is_taken(m->h->addresses, *a))
                        return *a;
        return NULL;
}

static int take_address(Making *m, const char *address, const char *why) {
        m->p.address = strdup(address);
        if (!m->p.address || vmplan_choose(m, "address", why, "%s", address) < 0)
                return -ENOMEM;
        return make_gateway(m);
}

/* What only whoever has ordered it can tell. */
static int check_single(Making *m) {
        const VmHost *h = m->h;

        if (m->p.bridge && h->onlink && (!m->w->ip || !m->w->mac))
                return vmplan_refuse(
                                m, -EINVAL,
                                "This host is on a network of single addresses (/32), where each further one needs a virtual "
                                "MAC address of the hoster's: order both, and give them by --mac=00:50:56:xx:xx:xx and "
                                "--ip=x.x.x.x");
        if (is_routed(m) && !m->w->ip) /* nobody gives out leases there */
                return vmplan_refuse(
                                m, -EINVAL,
                                "This host routes single addresses (/32), and nobody gives them out: order one from "
                                "the hoster, without a virtual MAC address, and give it by --ip=x.x.x.x");
        if (is_routed(m) && is_ipv6(m->w->ip))
                return vmplan_refuse(
                                m, -EINVAL,
                                "This host routes single addresses of IPv4, and none of IPv6: give another "
                                "one than %s by --ip",
                                m->w->ip);
        return 0;
}

/* An address as it was given, with the prefix length that it has in the network of the bridge. */
static int complete_address(Making *m, char **ret) {
        bool single = m->p.bridge && (m->h->onlink || m->h->network == NETWORK_ROUTED);
        const char *ip = m->w->ip;
        uint8_t bytes[16];
        int r;

        if (strchr(ip, '/') ? guestnet_check_address(ip) < 0 : read_address(ip, bytes) == 0)
                return vmplan_refuse(m, -EINVAL, "'%s' is no address, as 192.0.2.7/24 or 2001:db8::7/64", ip);
        if (strchr(ip, '/'))
                return free_and_strdup(ret, ip);
        r = m->p.bridge ? guestnet_complete(ip, (const char *const *) m->h->networks, ret) : 0;
        if (r != 0)
                return MIN(r, 0);
        if (single && !is_ipv6(ip))
                return str_printf(ret, "%s/32", ip);
        return vmplan_refuse(
                        m, -EINVAL,
                        "%s is in no network of the host's bridge: give it with its prefix length, as %s/%u",
                        ip, ip, is_ipv6(ip) ? 64U : 24U);
}

/* Whoever gives one may have it from the hoster, for a bridge on the uplink. */
static int warn_of_mac(Making *m) {
        if (!is_routed(m) || !m->w->mac || m->p.warning)
                return 0;
        return str_printf(
                        &m->p.warning,
                        "This host routes %s by its own MAC address: the hoster must have no virtual one for it. "
                        "Such machines want Mode=bridged, see gpuvm-bridge.service(8)",
                        m->p.address);
}

static int make_address(Making *m) {
        const char *offer = m->p.bridge ? next_offer(m) : NULL;
        _cleanup_free_ char *address = NULL;
        int r = check_single(m);

        if (r < 0)
                return r;
        if (!m->w->ip && m->w->gateway)
                return vmplan_refuse(m, -EINVAL, "--gateway is for an address given by --ip");
        if (!m->w->ip && offer)
                return take_address(m, offer, "nobody has it");
        if (!m->w->ip)
                return vmplan_choose(m, "address",
                                     m->p.bridge ? "by DHCP of the network" : "by DHCP of libvirt", "leased");
        r = complete_address(m, &address);
        if (r < 0)
                return r;
        if (is_taken(m->h->addresses, address))
                return vmplan_refuse(m, -EEXIST,
                                     "Address %s belongs to another machine; 'vmctl ip list' shows them",
                                     address);
        r = take_address(m, address, ASKED);
        return r < 0 ? r : warn_of_mac(m);
}

int vmplan_make_network(Making *m) {
        int r = make_network(m);

        if (r >= 0)
                r = make_mac(m);
        return r < 0 ? r : make_address(m);
}
