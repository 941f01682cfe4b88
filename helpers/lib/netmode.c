/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netmode.h"
#include "cmdline.h"
#include "fs.h"
#include "proc.h"
#include "strv.h"

#include <linux/if_arp.h>
#include <stdarg.h>

void netmode_done(NetModeChoice *c) {
        free(c->reason);
        *c = (NetModeChoice){};
}

static int choose(NetModeChoice *c, NetworkMode mode, const char *format, ...) _printf_(3, 4);

static int choose(NetModeChoice *c, NetworkMode mode, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&c->reason, format, ap);
        va_end(ap);
        if (n < 0) {
                c->reason = NULL;
                return -ENOMEM;
        }
        c->mode = mode;
        return 0;
}

static bool can_be_port(const char *kind) {
        static const char *const kinds[] = { "", "bond", "team", "vlan", "veth" };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (streq(kind, kinds[i]))
                        return true;
        return false;
}

/* Why no bridge can be made that has the uplink as its port, whoever asks for it. */
static int find_obstacle(const NetModeFacts *f, NetModeChoice *c) {
        if (f->wifi)
                return choose(c, NETWORK_NAT, "%s is a Wi-Fi interface, and those cannot be bridged",
                              f->uplink);
        if (f->uplink_type != ARPHRD_ETHER)
                return choose(c, NETWORK_NAT, "%s is no Ethernet interface", f->uplink);
        if (f->master)
                return choose(c, NETWORK_NAT, "%s belongs to %s already", f->uplink, f->master);
        if (!can_be_port(f->uplink_kind))
                return choose(c, NETWORK_NAT, "%s is a %s interface, which is not put into a bridge",
                              f->uplink, f->uplink_kind);
        if (f->network_root)
                return choose(c, NETWORK_NAT,
                              "the root file system comes by the network, which must not stop for a moment");
        if (f->many)
                return choose(c, NETWORK_NAT, "the default route has several gateways at once");
        return 0;
}

/* What stands in the way of any bridge of ours. */
static int find_common_obstacle(const NetModeFacts *f, NetModeChoice *c) {
        if (!f->uplink)
                return choose(c, NETWORK_NAT, "there is no default route");
        if (f->taken && !f->ours)
                return choose(c, NETWORK_NAT, "the name %s is taken by a %s that is not gpuvm's", f->bridge,
                              *f->taken ? f->taken : "network card");
        if (f->no_owner)
                return choose(c, NETWORK_NAT, "nobody is known who runs %s: %s", f->uplink, f->no_owner);
        return 0;
}

/* The default route leaves by a bridge: nothing is to be made. */
static int take_present(const NetModeFacts *f, NetModeChoice *c) {
        int r;

        if (!f->has_ports)
                return choose(c, NETWORK_NAT, "the default route leaves by the bridge %s, which has no port",
                              f->uplink);
        r = choose(c, NETWORK_BRIDGED, "the default route leaves by the bridge %s already", f->uplink);
        c->bridge = f->uplink;
        return r;
}

static int choose_routed(const NetModeFacts *f, NetModeChoice *c, const char *because) {
        int r = find_common_obstacle(f, c);

        if (r < 0 || c->reason)
                return r;
        r = choose(c, NETWORK_ROUTED, "%s", because);
        c->bridge = f->bridge;
        c->change = !f->ours;
        return r;
}

/* Where a bridge could be made, but would be of no use: what auto does, and what takes force. */
static int choose_auto(const NetModeFacts *f, NetModeChoice *c) {
        if (f->cloud)
                return choose(c, NETWORK_NAT,
                              "this is a virtual machine of %s, where only its own MAC address "
                              "is let through",
                              f->cloud);
        if (f->onlink)
                return choose_routed(f, c,
                                     "the gateway is not in the uplink's own network, as hosters do that let "
                                     "one MAC address through");
        if (f->hoster)
                return choose_routed(f, c, "the network is of a hoster that lets one MAC address through");
        return 0;
}

static int choose_bridged(const NetModeFacts *f, NetModeChoice *c) {
        int r;

        r = find_common_obstacle(f, c);
        if (r >= 0 && !c->reason)
                r = find_obstacle(f, c);
        if (r >= 0 && !c->reason && f->wish == NETWORK_BRIDGED && f->onlink && !f->force)
                r = choose(c, NETWORK_ROUTED,
                           "the gateway is not in the uplink's own network; the uplink becomes a port by "
                           "--bridge-force only");
        if (r >= 0 && !c->reason && f->wish == NETWORK_AUTO)
                r = choose_auto(f, c);
        if (r < 0 || c->reason)
                return r;
        r = choose(c, NETWORK_BRIDGED, "%s is a network interface that can be bridged%s", f->uplink,
                   f->split ? "; IPv6 leaves by another one and stays there" : "");
        c->bridge = f->bridge;
        c->change = true;
        return r;
}

int netmode_choose(const NetModeFacts *f, NetModeChoice *ret) {
        _cleanup_(netmode_done) NetModeChoice c = {};
        int r;

        if (f->wish == NETWORK_NAT)
                r = choose(&c, NETWORK_NAT, "Mode=nat");
        else if (f->wish == NETWORK_ROUTED)
                r = choose_routed(f, &c, "Mode=routed");
        else if (f->uplink && streq(f->uplink_kind, "bridge"))
                r = take_present(f, &c);
        else
                r = choose_bridged(f, &c);
        if (r < 0)
                return r;
        c.refused = f->wish != NETWORK_AUTO && f->wish != c.mode;
        *ret = c;
        c = (NetModeChoice){};
        return 0;
}

static const NetLink *find_uplink(const NetState *s, const char *name, const NetRoute *v4,
                                  const NetRoute *v6) {
        if (name)
                return netstate_named(s, name);
        return v4 || v6 ? netstate_link(s, (v4 ?: v6)->link) : NULL;
}

void netmode_from_state(const NetState *s, const char *bridge, const char *uplink, NetModeFacts *f) {
        const NetRoute *v4 = netstate_default(s, AF_INET), *v6 = netstate_default(s, AF_INET6);
        const NetLink *taken = netstate_named(s, bridge), *l = find_uplink(s, uplink, v4, v6), *master;

        f->bridge = bridge;
        f->taken = taken ? taken->kind : NULL;
        if (!l)
                return;
        master = l->master > 0 ? netstate_link(s, l->master) : NULL;
        f->uplink = l->name;
        f->uplink_kind = l->kind;
        f->uplink_type = l->type;
        f->has_ports = netstate_has_ports(s, l->index);
        f->master = l->master > 0 ? (master ? master->name : "another interface") : NULL;
        f->many = (v4 && v4->many) || (v6 && v6->many);
        f->split = v4 && v6 && v4->link != v6->link;
        /* IPv6's gateways are neighbours by nature; what a hoster does shows in IPv4. */
        f->onlink = v4 ? netstate_gateway_is_onlink(s, v4) : v6 && netstate_gateway_is_onlink(s, v6);
}

/* By what firmware and cloud-init say; the words are compared from their beginning. */
static const struct {
        const char *path, *word, *name;
} clouds[] = {
        { "/sys/class/dmi/id/sys_vendor", "Amazon EC2", "Amazon EC2" },
        { "/sys/class/dmi/id/product_name", "Google Compute Engine", "Google Compute Engine" },
        /* What Azure has on each machine and Hyper-V elsewhere has not: ds-identify of cloud-init. */
        { "/sys/class/dmi/id/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "Microsoft Azure" },
        { "/sys/class/dmi/id/chassis_asset_tag", "OracleCloud.com", "Oracle Cloud" },
        { "/sys/class/dmi/id/sys_vendor", "Alibaba Cloud", "Alibaba Cloud" },
        { "/sys/class/dmi/id/sys_vendor", "DigitalOcean", "DigitalOcean" },
        { "/sys/class/dmi/id/sys_vendor", "Hetzner", "Hetzner Cloud" },
        { "/sys/class/dmi/id/sys_vendor", "OpenStack Foundation", "an OpenStack cloud" },
        { "/sys/class/dmi/id/product_name", "OpenStack", "an OpenStack cloud" },
        { "/sys/class/dmi/id/sys_vendor", "Scaleway", "Scaleway" },
        { "/sys/class/dmi/id/sys_vendor", "Tencent Cloud", "Tencent Cloud" },
        { "/sys/class/dmi/id/sys_vendor", "UpCloud", "UpCloud" },
        { "/sys/class/dmi/id/sys_vendor", "Vultr", "Vultr" },
        { "/sys/class/dmi/id/sys_vendor", "Akamai", "Akamai" },
        { "/sys/class/dmi/id/sys_vendor", "Linode", "Akamai" },
        { "/sys/class/dmi/id/sys_vendor", "Exoscale", "Exoscale" },
        /* Not none, nocloud, configdrive and maas: those are anybody's machines. */
        { "/run/cloud-init/cloud-id", "aws", "Amazon EC2" },
        { "/run/cloud-init/cloud-id", "azure", "Microsoft Azure" },
        { "/run/cloud-init/cloud-id", "gce", "Google Compute Engine" },
        { "/run/cloud-init/cloud-id", "oracle", "Oracle Cloud" },
        { "/run/cloud-init/cloud-id", "openstack", "an OpenStack cloud" },
        { "/run/cloud-init/cloud-id", "hetzner", "Hetzner Cloud" },
        { "/run/cloud-init/cloud-id", "digitalocean", "DigitalOcean" },
        { "/run/cloud-init/cloud-id", "vultr", "Vultr" },
};

const char *netmode_cloud(int root) {
        for (size_t i = 0; i < ELEMENTSOF(clouds); i++) {
                _cleanup_free_ char *line = NULL;

                if (fs_read_line(root, clouds[i].path, &line) >= 0 && startswith(line, clouds[i].word))
                        return clouds[i].name;
        }
        return NULL;
}

/* The name servers that the installers of these put into each machine. */
static const struct {
        const char *address, *name;
} hosters[] = {
        { "185.12.64.1", "Hetzner" },
        { "185.12.64.2", "Hetzner" },
        { "2a01:4ff:ff00::add:1", "Hetzner" },
        { "2a01:4ff:ff00::add:2", "Hetzner" },
        { "213.186.33.99", "OVH" },
        { "2001:41d0:3:163::1", "OVH" },
};

static const char *hoster_of(const char *address) {
        for (size_t i = 0; i < ELEMENTSOF(hosters); i++)
                if (streq(address, hosters[i].address))
                        return hosters[i].name;
        return NULL;
}

const char *netmode_hoster(int root) {
        static const char *const files[] = { "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_strv_ char **words = NULL;
                const char *name = NULL;

                if (fs_read(root, files[i], FS_ATTR_MAX, &text, NULL) < 0 ||
                    strv_split(text, " \t\n", &words) < 0)
                        continue;
                for (char **w = words; !name && w && w[0] && w[1]; w++)
                        name = streq(w[0], "nameserver") ? hoster_of(w[1]) : NULL;
                if (name)
                        return name;
        }
        return NULL;
}

bool netmode_is_wifi(int root, const char *interface) {
        static const char *const marks[] = { "wireless", "phy80211" };

        for (size_t i = 0; i < ELEMENTSOF(marks); i++) {
                _cleanup_free_ char *path = NULL;

                if (str_printf(&path, "/sys/class/net/%s/%s", interface, marks[i]) >= 0 &&
                    fs_exists(root, path) > 0)
                        return true;
        }
        return false;
}

static bool is_network_type(const char *type) {
        static const char *const types[] = { "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs" };

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (streq(type, types[i]))
                        return true;
        return false;
}

bool netmode_has_network_root(int root) {
        static const char *const words[] = { "nfsroot",           "netroot",          "rd.iscsi.target.name",
                                             "iscsi_target_name", "rd.nvmf.discover", "nbdroot" };
        _cleanup_(proc_mounts_done) ProcMounts m = {};
        _cleanup_strv_ char **l = NULL;
        const ProcMount *top;

        if (proc_mounts_read(root, &m) >= 0) {
                top = proc_mounts_find(&m, "/");
                if (top && is_network_type(top->type))
                        return true;
        }
        if (cmdline_read(root, &l) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (cmdline_get(l, words[i]))
                        return true;
        return false;
}
