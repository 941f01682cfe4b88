/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridgeplan.h"
#include "fs.h"
#include "netifupdown.h"
#include "netkeyfile.h"
#include "netnetworkd.h"
#include "strv.h"

#include <arpa/inet.h>

#define FORWARD_FILE "/etc/sysctl.d/60-gpuvm-%s.conf"
#define FORWARD_TEXT \
        NETFILE_HEAD "# Guests on the bridge are reached through this host.\nnet.ipv4.ip_forward = 1\n"

void bridgeplan_done(BridgePlan *p) {
        netstate_done(&p->state);
        netowner_done(&p->owner_facts);
        netmode_done(&p->choice);
        netfiles_done(&p->files);
        free(p->uplink);
        free(p->bridge);
        free(p->address);
        free(p->client_id);
        *p = (BridgePlan){};
}

int bridgeplan_address(const NetState *s, const char *uplink, const char *subnet, char **ret) {
        const NetLink *l = netstate_named(s, uplink);
        _cleanup_free_ char *first = NULL;
        struct in_addr a;
        size_t n;

        if (subnet && !strchr(subnet, ':')) {
                n = strcspn(subnet, "/");
                first = strndup(subnet, n);
                if (!first)
                        return -ENOMEM;
                if (inet_pton(AF_INET, first, &a) != 1)
                        return -EINVAL;
                a.s_addr = htonl(ntohl(a.s_addr) | 1);
                return str_printf(ret, "%s%s", net_address_to_string(AF_INET, (const uint8_t *) &a),
                                  subnet + n);
        }
        for (size_t i = 0; l && i < s->n_addresses; i++)
                if (s->addresses[i].link == l->index && s->addresses[i].family == AF_INET)
                        return str_printf(ret, "%s/32",
                                          net_address_to_string(AF_INET, s->addresses[i].bytes));
        return -ENODATA;
}

static int look_at_owner(int root, BridgePlan *p, NetModeFacts *f) {
        const NetLink *l = f->uplink ? netstate_named(&p->state, f->uplink) : NULL;
        int r;

        if (!l)
                return 0;
        r = free_and_strdup(&p->uplink, l->name);
        if (r >= 0)
                r = netowner_look(root, l->index, l->name, &p->owner_facts);
        if (r < 0)
                return r;
        p->owner = netowner_decide(&p->owner_facts, &f->no_owner);
        f->wifi = netmode_is_wifi(root, l->name);
        p->wish.mac = l->mac;
        p->wish.mtu = l->mtu;
        return netnetworkd_client_id(root, l->index, &p->client_id);
}

static int choose(int root, const Conf *c, bool force, const BridgeState *kept, BridgePlan *p) {
        NetModeFacts f = { .wish = c->network_mode, .force = force };
        int r;

        netmode_from_state(&p->state, c->bridge_name, c->uplink, &f);
        r = look_at_owner(root, p, &f);
        if (r < 0)
                return r;
        f.ours = bridge_is_kept(kept, c->bridge_name);
        f.cloud = netmode_cloud(root);
        f.hoster = netmode_hoster(root);
        f.network_root = netmode_has_network_root(root);
        r = netmode_choose(&f, &p->choice);
        return r < 0 || !p->choice.bridge ? r : free_and_strdup(&p->bridge, p->choice.bridge);
}

static int make_networkd(int root, BridgePlan *p, char **ret_reason) {
        const char *path = p->owner_facts.networkd_file;
        _cleanup_free_ char *text = NULL;
        int r;

        if (p->wish.routed)
                return netnetworkd_make_routed(&p->wish, &p->files);
        r = netnetworkd_read(root, path, &text);
        return r < 0 ? r : netnetworkd_make(&p->wish, strrchr(path, '/') + 1, text, &p->files, ret_reason);
}

static int make_nm(int root, BridgePlan *p, char **ret_reason) {
        const char *path = p->owner_facts.nm_file;
        _cleanup_free_ char *text = NULL;
        int r;

        if (p->wish.routed)
                return netkeyfile_make_routed(&p->wish, &p->files);
        r = path ? fs_read(root, path, FS_FILE_MAX, &text, NULL) : 0;
        return r < 0 ? r : netkeyfile_make(&p->wish, text, &p->files, ret_reason);
}

static int make_ifupdown(int root, BridgePlan *p, char **ret_reason) {
        const char *path = p->wish.routed ? "/etc/network/interfaces" : p->owner_facts.ifupdown_files[0];
        _cleanup_free_ char *text = NULL;
        struct stat st;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        if (r >= 0)
                r = fs_stat(root, path, &st);
        if (r < 0)
                return r;
        return p->wish.routed
                        ? netifupdown_make_routed(&p->wish, text, &p->files, ret_reason)
                        : netifupdown_make(&p->wish, path, st.st_mode & 07777, text, &p->files, ret_reason);
}

static int make_files(int root, const Conf *c, BridgePlan *p, char **ret_reason) {
        char *forward;
        int r;

        p->wish.bridge = p->bridge;
        p->wish.uplink = p->uplink;
        p->wish.client_id = p->client_id;
        p->wish.routed = p->choice.mode == NETWORK_ROUTED;
        if (p->wish.routed) {
                r = bridgeplan_address(&p->state, p->uplink, c->subnet, &p->address);
                if (r == -ENODATA)
                        return netfile_refuse(ret_reason,
                                              "a routed bridge needs Subnet=, or an IPv4 address of %s",
                                              p->uplink);
                if (r < 0)
                        return r;
                p->wish.address = p->address;
        }
        if (p->owner == NETOWNER_NETWORKMANAGER)
                r = make_nm(root, p, ret_reason);
        else if (p->owner == NETOWNER_IFUPDOWN)
                r = make_ifupdown(root, p, ret_reason);
        else
                r = make_networkd(root, p, ret_reason);
        if (r != 0 || !p->wish.routed)
                return r;
        forward = strdup(FORWARD_TEXT);
        return netfiles_add(&p->files, forward, 0644, FORWARD_FILE, p->bridge);
}

int bridgeplan_look(int root, const Conf *c, bool force, const BridgeState *kept, BridgePlan *ret) {
        _cleanup_(bridgeplan_done) BridgePlan p = {};
        _cleanup_free_ char *reason = NULL;
        int r;

        r = netstate_load(root, &p.state);
        if (r >= 0)
                r = choose(root, c, force, kept, &p);
        if (r >= 0 && p.choice.change)
                r = make_files(root, c, &p, &reason);
        if (r < 0)
                return r;
        if (r == NETFILE_REFUSED) {
                netmode_done(&p.choice);
                free(p.bridge);
                p.bridge = NULL;
                p.choice = (NetModeChoice){ .mode = NETWORK_NAT, .refused = c->network_mode != NETWORK_AUTO };
                r = str_printf(&p.choice.reason, "%s runs %s, and cannot be asked for a bridge: %s",
                               netowner_to_string(p.owner), p.uplink, reason);
                if (r < 0)
                        return r;
        }
        *ret = p;
        p = (BridgePlan){};
        return 0;
}
