/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtaddress.h"
#include "fs.h"
#include "strv.h"
#include "virtagent.h"
#include "virtlib.h"

static const char *const sources[_VIRT_SOURCE_MAX] = {
        [VIRT_LEASE] = "lease",
        [VIRT_AGENT] = "agent",
        [VIRT_ARP] = "arp",
};

const char *virt_source_to_string(VirtSource s) {
        return s >= 0 && s < _VIRT_SOURCE_MAX ? sources[s] : NULL;
}

/* With or without its prefix length. */
static bool is_useful(const char *address) {
        return !startswith(address, "127.") && !startswith(address, "169.254.") && !streq(address, "::1") &&
                        !streq(address, "::1/128") && !startswith(address, "fe80:");
}

/* ARP knows no prefix length, and libvirt says 0 then. */
static int format_address(const char *address, unsigned prefix, char **ret) {
        return prefix > 0 ? str_printf(ret, "%s/%u", address, prefix) : str_printf(ret, "%s", address);
}

static int collect(const virDomainInterface *i, char ***l) {
        for (unsigned k = 0; k < i->naddrs; k++) {
                const virDomainIPAddress *a = &i->addrs[k];
                _cleanup_free_ char *text = NULL;

                if (is_useful(a->addr) && !streq(i->name, "lo") &&
                    (format_address(a->addr, a->prefix, &text) < 0 || strv_extend(l, text) < 0))
                        return -ENOMEM;
        }
        return 0;
}

/* libvirt would ask it the same, but for how long is a property of the machine that outlives the question. */
static int ask_agent(Virt *v, const char *name, unsigned agent_sec, char ***ret) {
        _cleanup_strv_ char **all = NULL, **l = NULL;
        int r = virtagent_addresses(v, name, agent_sec, &all);

        if (r == -ENOMEM || r == -ENOENT)
                return r;
        STRV_FOREACH(address, all)
                if (is_useful(*address) && strv_extend(&l, *address) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(l);
        return 0;
}

int virtaddress_find(Virt *v, const char *name, VirtSource source, unsigned agent_sec, char ***ret) {
        static const unsigned theirs[_VIRT_SOURCE_MAX] = {
                [VIRT_LEASE] = VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
                [VIRT_ARP] = VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        };
        _cleanup_domain_ virDomainPtr d = NULL;
        _cleanup_strv_ char **l = NULL;
        virDomainInterfacePtr *interfaces = NULL;
        int n, r;

        if (source == VIRT_AGENT)
                return ask_agent(v, name, agent_sec, ret);
        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        n = lv.virDomainInterfaceAddresses(d, &interfaces, theirs[source], 0);
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = collect(interfaces[i], &l);
                lv.virDomainInterfaceFree(interfaces[i]);
        }
        if (n >= 0)
                free(interfaces);
        if (r >= 0)
                *ret = TAKE_PTR(l);
        return r;
}

void virtleases_done(VirtLeases *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->list[i].address);
        free(l->list);
        *l = (VirtLeases){};
}

static int add_lease(VirtLeases *l, const virNetworkDHCPLease *lease) {
        VirtLease *t, *new;

        if (!lease->mac || !lease->ipaddr)
                return 0;
        t = reallocarray(l->list, l->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        l->list = t;
        new = &t[l->n];
        *new = (VirtLease){};
        (void) snprintf(new->mac, sizeof(new->mac), "%s", lease->mac);
        if (format_address(lease->ipaddr, lease->prefix, &new->address) < 0)
                return -ENOMEM;
        l->n++;
        return 0;
}

/* A network without DHCP has none, and not every driver can tell. */
static int add_leases(virNetworkPtr network, VirtLeases *l) {
        virNetworkDHCPLeasePtr *leases = NULL;
        int r = 0, n = lv.virNetworkGetDHCPLeases(network, NULL, &leases, 0);

        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = add_lease(l, leases[i]);
                lv.virNetworkDHCPLeaseFree(leases[i]);
        }
        if (n >= 0)
                free(leases);
        return r;
}

int virtaddress_leases(Virt *v, VirtLeases *ret) {
        _cleanup_(virtleases_done) VirtLeases l = {};
        virNetworkPtr *networks = NULL;
        int n, r = 0;

        n = lv.virConnectListAllNetworks(v->connection, &networks, VIR_CONNECT_LIST_NETWORKS_ACTIVE);
        if (n < 0)
                return virtlib_failed(v);
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = add_leases(networks[i], &l);
                (void) lv.virNetworkFree(networks[i]);
        }
        free(networks);
        if (r < 0)
                return r;
        *ret = l;
        l = (VirtLeases){};
        return 0;
}
