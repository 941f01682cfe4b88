/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <ctype.h>

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

static int make_gateway(Making *m) {
        const char *why = m->w->gateway ? ASKED : "the host's";
        const char *gateway = m->w->gateway ?: m->h->gateway;
        const char *const addresses[] = { m->p.address, NULL };

        if (!gateway)
                return vmplan_refuse(m, -EINVAL,
                                     "The host has no gateway to take over. Give one by --gateway");
        if (guestnet_is_near(gateway, addresses) < 0)
                return vmplan_refuse(m, -EINVAL, "'%s' is no gateway for %s", gateway, m->p.address);
        m->p.gateway = strdup(gateway);
        if (!m->p.gateway || vmplan_choose(m, "gateway", why, "%s", gateway) < 0)
                return -ENOMEM;
        return choose_dns(m);
}

static const char *next_offer(const Making *m) {
        STRV_FOREACH(a, m->h->offers)
                if (!is_taken(m->h->addresses, *a))
                        return *a;
        return NULL;
}

static int make_address(Making *m) {
        const char *offer = m->p.bridge && m->h->gateway ? next_offer(m) : NULL;

        if (!m->w->ip) {
                /* Nobody gives out leases there. */
                if (m->h->network == NETWORK_ROUTED && !m->w->network)
                        return vmplan_refuse(
                                        m, -EINVAL,
                                        "This host routes single addresses (/32), and nobody gives them out: order one from "
                                        "the hoster, and give it by --ip=ADDRESS/32 and --gateway=%s",
                                        m->h->gateway ?: "ADDRESS");
                if (m->w->gateway)
                        return vmplan_refuse(m, -EINVAL, "--gateway is for an address given by --ip");
                if (offer) {
                        m->p.address = strdup(offer);
                        if (!m->p.address || vmplan_choose(m, "address", "nobody has it", "%s", offer) < 0)
                                return -ENOMEM;
                        return make_gateway(m);
                }
                return vmplan_choose(m, "address",
                                     m->p.bridge ? "by DHCP of the network" : "by DHCP of libvirt", "leased");
        }
        if (guestnet_check_address(m->w->ip) < 0)
                return vmplan_refuse(m, -EINVAL, "'%s' is no address with prefix length, as 192.0.2.7/24",
                                     m->w->ip);
        if (is_taken(m->h->addresses, m->w->ip))
                return vmplan_refuse(m, -EEXIST,
                                     "Address %s belongs to another machine; 'vmctl ip list' shows them",
                                     m->w->ip);
        m->p.address = strdup(m->w->ip);
        if (!m->p.address || vmplan_choose(m, "address", ASKED, "%s", m->w->ip) < 0)
                return -ENOMEM;
        return make_gateway(m);
}

int vmplan_make_network(Making *m) {
        int r = make_network(m);

        if (r >= 0)
                r = make_mac(m);
        return r < 0 ? r : make_address(m);
}
