/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Netmode and netowner: what is made on which machine, and whose its network is. */

#include "netmode.h"
#include "netowner.h"
#include "strv.h"
#include "tests/netrecord.h"
#include "tests/tree.h"

enum { ETHER = 1, PPP = 512 };

typedef struct Row {
        NetModeFacts f; /* what is left out is a card with a router in its network */
        NetworkMode mode;
        bool change, refused;
        const char *bridge;
        const char *reason; /* part of it */
} Row;

#define AUTO    .wish = NETWORK_AUTO
#define BRIDGED .wish = NETWORK_BRIDGED
#define ROUTED  .wish = NETWORK_ROUTED
#define NAT     .wish = NETWORK_NAT

static const Row rows[] = {
        /* The plain cases. */
        { { AUTO }, NETWORK_BRIDGED, true, false, "br0", "eth0 is a network interface that can be bridged" },
        { { BRIDGED }, NETWORK_BRIDGED, true, false, "br0", "can be bridged" },
        { { ROUTED }, NETWORK_ROUTED, true, false, "br0", "Mode=routed" },
        { { NAT }, NETWORK_NAT, false, false, NULL, "Mode=nat" },
        { { AUTO, .uplink_kind = "bond" }, NETWORK_BRIDGED, true, false, "br0", "can be" },
        { { AUTO, .uplink_kind = "vlan" }, NETWORK_BRIDGED, true, false, "br0", "can be" },
        { { AUTO, .uplink_kind = "team" }, NETWORK_BRIDGED, true, false, "br0", "can be" },
        { { AUTO, .split = true }, NETWORK_BRIDGED, true, false, "br0", "IPv6 leaves by another" },
        { { AUTO, .bridge = "vmbr0" }, NETWORK_BRIDGED, true, false, "vmbr0", "can be" },

        /* There already. */
        { { AUTO, .uplink = "br0", .uplink_kind = "bridge", .has_ports = true, .taken = "bridge" },
          NETWORK_BRIDGED,
          false,
          false,
          "br0",
          "already" },
        { { AUTO, .uplink = "vmbr7", .uplink_kind = "bridge", .has_ports = true },
          NETWORK_BRIDGED,
          false,
          false,
          "vmbr7",
          "vmbr7 already" },
        { { BRIDGED, .uplink = "br0", .uplink_kind = "bridge", .has_ports = true, .taken = "bridge",
            .ours = true },
          NETWORK_BRIDGED,
          false,
          false,
          "br0",
          "already" },
        { { AUTO, .uplink = "br0", .uplink_kind = "bridge", .taken = "bridge" },
          NETWORK_NAT,
          false,
          false,
          NULL,
          "no port" },
        { { BRIDGED, .uplink = "docker0", .uplink_kind = "bridge" },
          NETWORK_NAT,
          false,
          true,
          NULL,
          "no port" },
        { { ROUTED, .taken = "bridge", .ours = true }, NETWORK_ROUTED, false, false, "br0", "Mode=routed" },
        { { AUTO, .taken = "bridge", .ours = true }, NETWORK_BRIDGED, true, false, "br0", "can be" },

        /* The name is somebody else's. */
        { { AUTO, .taken = "bridge" }, NETWORK_NAT, false, false, NULL, "br0 is taken by a bridge" },
        { { BRIDGED, .taken = "bridge" }, NETWORK_NAT, false, true, NULL, "taken" },
        { { ROUTED, .taken = "dummy" }, NETWORK_NAT, false, true, NULL, "taken by a dummy" },
        { { AUTO, .taken = "" }, NETWORK_NAT, false, false, NULL, "taken by a network card" },
        { { NAT, .taken = "bridge" }, NETWORK_NAT, false, false, NULL, "Mode=nat" },

        /* What cannot be a port. */
        { { AUTO, .wifi = true }, NETWORK_NAT, false, false, NULL, "Wi-Fi" },
        { { BRIDGED, .wifi = true }, NETWORK_NAT, false, true, NULL, "Wi-Fi" },
        { { BRIDGED, .wifi = true, .force = true }, NETWORK_NAT, false, true, NULL, "Wi-Fi" },
        { { ROUTED, .wifi = true }, NETWORK_ROUTED, true, false, "br0", "Mode=routed" },
        { { AUTO, .uplink_type = PPP }, NETWORK_NAT, false, false, NULL, "no Ethernet" },
        { { AUTO, .uplink_kind = "vxlan" }, NETWORK_NAT, false, false, NULL, "vxlan" },
        { { AUTO, .uplink_kind = "wireguard" }, NETWORK_NAT, false, false, NULL, "wireguard" },
        { { AUTO, .uplink_kind = "macvlan" }, NETWORK_NAT, false, false, NULL, "macvlan" },
        { { AUTO, .uplink_kind = "openvswitch" }, NETWORK_NAT, false, false, NULL, "openvswitch" },
        { { AUTO, .master = "vrf0" }, NETWORK_NAT, false, false, NULL, "belongs to vrf0" },
        { { AUTO, .network_root = true }, NETWORK_NAT, false, false, NULL, "root file system" },
        { { BRIDGED, .network_root = true, .force = true },
          NETWORK_NAT,
          false,
          true,
          NULL,
          "root file system" },
        { { AUTO, .many = true }, NETWORK_NAT, false, false, NULL, "several gateways" },
        { { AUTO, .uplink = "" }, NETWORK_NAT, false, false, NULL, "no default route" },
        { { ROUTED, .uplink = "" }, NETWORK_NAT, false, true, NULL, "no default route" },

        /* Hosters and clouds. */
        { { AUTO, .onlink = true }, NETWORK_ROUTED, true, false, "br0", "not in the uplink's own network" },
        { { BRIDGED, .onlink = true }, NETWORK_ROUTED, false, true, NULL, "--bridge-force" },
        { { BRIDGED, .onlink = true, .force = true }, NETWORK_BRIDGED, true, false, "br0", "can be" },
        { { AUTO, .onlink = true, .force = true }, NETWORK_ROUTED, true, false, "br0", "not in" },
        { { AUTO, .onlink = true, .taken = "bridge", .ours = true },
          NETWORK_ROUTED,
          false,
          false,
          "br0",
          "not in" },
        { { AUTO, .hoster = "Hetzner" }, NETWORK_ROUTED, true, false, "br0", "hoster" },
        { { BRIDGED, .hoster = "Hetzner" }, NETWORK_BRIDGED, true, false, "br0", "can be" },
        { { AUTO, .cloud = "Amazon EC2" }, NETWORK_NAT, false, false, NULL, "Amazon EC2" },
        { { AUTO, .cloud = "Hetzner Cloud", .onlink = true, .hoster = "Hetzner" },
          NETWORK_NAT,
          false,
          false,
          NULL,
          "Hetzner Cloud" },
        { { BRIDGED, .cloud = "Amazon EC2" }, NETWORK_BRIDGED, true, false, "br0", "can be" },
        { { ROUTED, .cloud = "Amazon EC2" }, NETWORK_ROUTED, true, false, "br0", "Mode=routed" },

        /* Nobody's network. */
        { { AUTO, .no_owner = "it is so" }, NETWORK_NAT, false, false, NULL, "who runs eth0: it is so" },
        { { BRIDGED, .no_owner = "it is so" }, NETWORK_NAT, false, true, NULL, "it is so" },
        { { ROUTED, .no_owner = "it is so" }, NETWORK_NAT, false, true, NULL, "it is so" },
        { { AUTO, .uplink = "br0", .uplink_kind = "bridge", .has_ports = true, .no_owner = "it is so" },
          NETWORK_BRIDGED,
          false,
          false,
          "br0",
          "already" },
};

TEST(choices) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Row *row = &rows[i];
                _cleanup_(netmode_done) NetModeChoice c = {};
                NetModeFacts f = row->f;

                f.bridge = f.bridge ?: "br0";
                f.uplink = f.uplink ? (*f.uplink ? f.uplink : NULL) : "eth0";
                f.uplink_kind = f.uplink_kind ?: "";
                f.uplink_type = f.uplink_type ?: ETHER;
                ASSERT_EQ(netmode_choose(&f, &c), 0);
                if (c.mode != row->mode || c.change != row->change || c.refused != row->refused ||
                    !streq_ptr(c.bridge, row->bridge) || !strstr(c.reason, row->reason))
                        tap_stop(EXIT_FAILURE, __LINE__,
                                 "row %zu (%s): mode %d change %d refused %d bridge %s: %s", i, row->reason,
                                 c.mode, c.change, c.refused, strna(c.bridge), c.reason);
        }
}

TEST(facts_of_recorded_states) {
        static const struct {
                const char *record, *want;
        } table[] = {
                { "plain", "eth0  0000" },        { "onlink", "eth0  0001" },
                { "bridged", "br0 bridge 1000" }, { "two-gateways", "eth0  0010" },
                { "ipv6-only", "eth0  0000" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(netstate_done) NetState s = {};
                NetModeFacts f = {};
                char text[128];

                netrecord_load(table[i].record, &s);
                netmode_from_state(&s, "br0", NULL, &f);
                (void) snprintf(text, sizeof(text), "%s %s %d%d%d%d", strna(f.uplink),
                                streq(f.uplink_kind, "veth") ? "" : f.uplink_kind, f.has_ports, f.split,
                                f.many, f.onlink);
                ASSERT_STREQ(text, table[i].want);
                ASSERT_EQ(f.uplink_type, ETHER);
                ASSERT(streq_ptr(f.taken, i == 2 ? "bridge" : NULL));
                ASSERT(!f.master);
        }
}

TEST(uplink_by_name) {
        _cleanup_(netstate_done) NetState s = {};
        NetModeFacts f = {};

        netrecord_load("bridged", &s);
        netmode_from_state(&s, "br1", "eth0", &f);
        ASSERT_STREQ(f.uplink, "eth0");
        ASSERT_STREQ(f.master, "br0");
        ASSERT(!f.taken);
        f = (NetModeFacts){};
        netmode_from_state(&s, "br1", "eth9", &f);
        ASSERT(!f.uplink);
}

TEST(clouds_and_hosters) {
        int root = tree_new();

        ASSERT(!netmode_cloud(root) && !netmode_hoster(root));
        tree_put("/sys/class/dmi/id/sys_vendor", "ASRockRack\n");
        tree_put("/run/cloud-init/cloud-id", "nocloud\n");
        tree_put("/etc/resolv.conf", "search x\nnameserver 192.0.2.1\n");
        ASSERT(!netmode_cloud(root) && !netmode_hoster(root));
        tree_put("/run/cloud-init/cloud-id", "aws-gov\n");
        ASSERT_STREQ(netmode_cloud(root), "Amazon EC2");
        tree_put("/sys/class/dmi/id/sys_vendor", "Hetzner\n");
        ASSERT_STREQ(netmode_cloud(root), "Hetzner Cloud");
        tree_put("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\nnameserver 185.12.64.2\n");
        ASSERT_STREQ(netmode_hoster(root), "Hetzner");
        tree_put("/run/systemd/resolve/resolv.conf", "# nameserver\n");
        ASSERT(!netmode_hoster(root));
        tree_put("/etc/resolv.conf", "nameserver 213.186.33.99");
        ASSERT_STREQ(netmode_hoster(root), "OVH");
}

TEST(wifi_and_network_root) {
        int root = tree_new();

        ASSERT(!netmode_is_wifi(root, "wlan0"));
        tree_put("/sys/class/net/wlan0/phy80211/index", "0\n");
        ASSERT(netmode_is_wifi(root, "wlan0") && !netmode_is_wifi(root, "eth0"));
        tree_put("/proc/cmdline", "root=/dev/sda1 ro\n");
        tree_put("/proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
        ASSERT(!netmode_has_network_root(root));
        tree_put("/proc/1/mountinfo", "1 0 0:1 / / rw - nfs4 server:/x rw\n");
        ASSERT(netmode_has_network_root(root));
        tree_put("/proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
        tree_put("/proc/cmdline", "root=/dev/sda1 netroot=iscsi:x\n");
        ASSERT(netmode_has_network_root(root));
}

/* Returns the owner's name, or the reason for none. */
static const char *owner(int root, NetOwnerFacts *f) {
        const char *reason = NULL;
        NetOwner o;

        netowner_done(f);
        ASSERT_EQ(netowner_look(root, 2, "eth0", f), 0);
        o = netowner_decide(f, &reason);
        return o == NETOWNER_NONE ? reason : netowner_to_string(o);
}

TEST(owner_is_networkd) {
        _cleanup_(netowner_done) NetOwnerFacts f = {};
        int root = tree_new();

        ASSERT(strstr(owner(root, &f), "none of"));
        tree_put("/run/systemd/netif/links/2", "ADMIN_STATE=unmanaged\n");
        ASSERT(strstr(owner(root, &f), "none of"));
        tree_put("/run/systemd/netif/links/3", "ADMIN_STATE=configured\nNETWORK_FILE=/x.network\n");
        ASSERT(strstr(owner(root, &f), "none of"));
        tree_put("/run/systemd/netif/links/2",
                 "# This is private data. Do not parse.\nADMIN_STATE=configured\n"
                 "NETWORK_FILE=/etc/systemd/network/20-wired.network\n");
        ASSERT_STREQ(owner(root, &f), "systemd-networkd");
        ASSERT_STREQ(f.networkd_file, "/etc/systemd/network/20-wired.network");
        tree_put("/run/systemd/netif/links/2",
                 "ADMIN_STATE=configuring\nNETWORK_FILE=/run/systemd/network/10-netplan-eth0.network\n");
        ASSERT_STREQ(owner(root, &f), "netplan");
}

TEST(owner_is_networkmanager) {
        _cleanup_(netowner_done) NetOwnerFacts f = {};
        int root = tree_new();

        tree_put("/run/NetworkManager/devices/2", "[device]\nmanaged=false\nconnection-uuid=u-1\n");
        ASSERT(strstr(owner(root, &f), "none of"));
        tree_put("/run/NetworkManager/devices/2", "[device]\nmanaged=true\n");
        ASSERT(strstr(owner(root, &f), "none of"));
        tree_put("/run/NetworkManager/devices/2",
                 "[device]\nmanaged=true\nconnection-uuid=u-1\nnm-owned=0\n");
        ASSERT_STREQ(owner(root, &f), "NetworkManager");
        ASSERT(!f.nm_file);
        tree_put("/etc/NetworkManager/system-connections/a.nmconnection", "[connection]\nuuid=u-0\n");
        tree_put("/run/NetworkManager/system-connections/b.nmconnection",
                 "[x]\nuuid=u-1\n[connection]\nuuid=u-1\n");
        ASSERT_STREQ(owner(root, &f), "NetworkManager");
        ASSERT_STREQ(f.nm_file, "/run/NetworkManager/system-connections/b.nmconnection");
        tree_put("/run/systemd/netif/links/2", "ADMIN_STATE=configured\nNETWORK_FILE=/x\n");
        ASSERT(strstr(owner(root, &f), "more than one"));
}

TEST(owner_is_ifupdown) {
        _cleanup_(netowner_done) NetOwnerFacts f = {};
        int root = tree_new();

        tree_put("/etc/network/interfaces", "auto lo\niface lo inet loopback\niface eth0.5 inet manual\n");
        tree_put("/run/network/ifstate", "lo=lo\neth0=\n");
        ASSERT(strstr(owner(root, &f), "none of"));
        tree_put("/run/network/ifstate", "lo=lo\neth0=eth0\n");
        ASSERT(strstr(owner(root, &f), "not found"));
        tree_put("/etc/network/interfaces.d/eth0",
                 "#iface eth0 inet dhcp\n  iface\teth0 inet static\naddress x\n");
        ASSERT_STREQ(owner(root, &f), "ifupdown");
        ASSERT_STREQ(f.ifupdown_files[0], "/etc/network/interfaces.d/eth0");
        tree_put("/etc/network/interfaces", "iface eth0 inet6 auto\n");
        ASSERT(strstr(owner(root, &f), "more than one file"));
}

TEST(stanzas) {
        ASSERT(netowner_has_stanza("iface eth0 inet dhcp", "eth0"));
        ASSERT(netowner_has_stanza("\n\n iface  eth0\n", "eth0"));
        ASSERT(!netowner_has_stanza("iface eth00 inet dhcp\niface\neth0\n# iface eth0", "eth0"));
        ASSERT(!netowner_has_stanza("", "eth0"));
}
