/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Netfile: what each owner is asked for, by the files that he has. */

#include "netfile.h"
#include "netifupdown.h"
#include "netkeyfile.h"
#include "netnetworkd.h"
#include "tests/tree.h"

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const NetWish wish = { .bridge = "br0", .uplink = "eth0", .mac = mac, .mtu = 1500 };
static const NetWish routed = { .bridge = "br0",
                                .uplink = "eth0",
                                .mac = mac,
                                .mtu = 1500,
                                .routed = true,
                                .address = "192.0.2.5/32" };

#define HEAD "# Written by gpuvm-bridge(8): 'gpuvm-bridge revert' takes it back.\n"

/* The texts differ too much in length for one line of a test's report. */
static void same(const NetFile *f, const char *path, mode_t mode, const char *want) {
        ASSERT_STREQ(f->path, path);
        ASSERT_EQ(f->mode, mode);
        if (strcmp(f->text, want) != 0)
                fprintf(stderr, "--- %s is\n%s--- but should be\n%s", path, f->text, want);
        ASSERT(strcmp(f->text, want) == 0);
}

static void networkd(const NetWish *w, const char *current, NetFiles *ret) {
        _cleanup_free_ char *reason = NULL;

        ASSERT_EQ(netnetworkd_make(w, "10-netplan-eth0.network", current, ret, &reason), 0);
        ASSERT_EQ(ret->n, 3);
        ASSERT(!reason);
}

TEST(networkd_static) {
        static const char current[] = "[Match]\nPermanentMACAddress=52:54:00:12:34:56\nName=eth0\n\n"
                                      "[Link]\nMTUBytes=9000\nWakeOnLan=magic\n\n"
                                      "[Network]\nLinkLocalAddressing=ipv6\nAddress=192.0.2.10/24\n"
                                      "Address=2001:db8::10/64\nDNS=192.0.2.1\nVLAN=eth0.5\n; a comment\n"
                                      "[Route]\nDestination=0.0.0.0/0\nGateway=192.0.2.1\n\n"
                                      "[Route]\nGateway=fe80::1\nGatewayOnLink=yes\n\n"
                                      "[FairQueueing]\nPacketLimit=1\n";
        _cleanup_(netfiles_done) NetFiles f = {};
        NetWish w = wish;

        w.mtu = 9000;
        networkd(&w, current, &f);
        same(&f.items[0], "/etc/systemd/network/00-gpuvm-br0.netdev", 0644,
             HEAD "[NetDev]\nName=br0\nKind=bridge\nMACAddress=52:54:00:12:34:56\nMTUBytes=9000\n\n"
                  "[Bridge]\nSTP=no\nForwardDelaySec=0\n");
        same(&f.items[1], "/etc/systemd/network/00-gpuvm-br0.network", 0644,
             HEAD "[Match]\nName=br0\n\n[Link]\nMTUBytes=9000\n\n"
                  "[Network]\nLinkLocalAddressing=ipv6\nAddress=192.0.2.10/24\nAddress=2001:db8::10/64\n"
                  "DNS=192.0.2.1\n\n[Route]\nDestination=0.0.0.0/0\nGateway=192.0.2.1\n\n"
                  "[Route]\nGateway=fe80::1\nGatewayOnLink=yes\n");
        same(&f.items[2], "/etc/systemd/network/00-gpuvm-br0-port.network", 0644,
             HEAD "[Match]\nName=eth0\n\n[Network]\nBridge=br0\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\n"
                  "[Link]\nMTUBytes=9000\nWakeOnLan=magic\n\n[Network]\nVLAN=eth0.5\n\n"
                  "[FairQueueing]\nPacketLimit=1\n");
}

TEST(networkd_keeps_the_dhcp_identity) {
        static const char plain[] = "[Match]\nName=eth0\n[Network]\nDHCP=yes\n";
        static const struct {
                const char *current, *id, *want;
        } rows[] = {
                { plain, "ff0a0b0c0d00020000ab11",
                  "DHCP=yes\n\n[DHCPv4]\nIAID=168496141\n\n[DHCPv6]\nIAID=168496141\n" },
                { plain, "01525400123456", "DHCP=yes\n" },
                { plain, NULL, "DHCP=yes\n" },
                { plain, "ff0a", "DHCP=yes\n" },
                { plain, "ffxxxxxxxx0001", "DHCP=yes\n" },
                { "[Network]\nDHCP=yes\n[DHCPv4]\nIAID=7\n", "ff0a0b0c0d0002",
                  "DHCP=yes\n\n[DHCPv4]\nIAID=7\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(netfiles_done) NetFiles f = {};
                _cleanup_free_ char *want = NULL;
                NetWish w = wish;

                w.client_id = rows[i].id;
                networkd(&w, rows[i].current, &f);
                ASSERT_EQ(str_printf(&want, HEAD "[Match]\nName=br0\n\n[Network]\n%s", rows[i].want), 0);
                same(&f.items[1], "/etc/systemd/network/00-gpuvm-br0.network", 0644, want);
        }
}

TEST(networkd_refuses) {
        _cleanup_free_ char *first = NULL, *master = NULL;
        NetFiles f = {};

        ASSERT_EQ(netnetworkd_make(&wish, "00-eth0.network", "", &f, &first), NETFILE_REFUSED);
        ASSERT(strstr(first, "00-eth0.network"));
        ASSERT_EQ(netnetworkd_make(&wish, "10-x.network", "[Network]\nVRF=red\n", &f, &master),
                  NETFILE_REFUSED);
        ASSERT(strstr(master, "VRF=red"));
        ASSERT_EQ(f.n, 0);
}

TEST(networkd_routed) {
        _cleanup_(netfiles_done) NetFiles f = {};

        ASSERT_EQ(netnetworkd_make_routed(&routed, &f), 0);
        ASSERT_EQ(f.n, 2);
        same(&f.items[0], "/etc/systemd/network/00-gpuvm-br0.netdev", 0644,
             HEAD "[NetDev]\nName=br0\nKind=bridge\n\n[Bridge]\nSTP=no\nForwardDelaySec=0\n");
        same(&f.items[1], "/etc/systemd/network/00-gpuvm-br0.network", 0644,
             HEAD "[Match]\nName=br0\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nAddress=192.0.2.5/32\n"
                  "ConfigureWithoutCarrier=yes\nIPv6AcceptRA=no\nKeepConfiguration=static\n");
}

TEST(networkd_reads_dropins) {
        _cleanup_free_ char *text = NULL, *id = NULL;
        int root = tree_new();

        tree_put("/run/systemd/network/10-a.network", "[Match]\nName=eth0\n");
        tree_put("/run/systemd/network/10-a.network.d/b.conf", "[Network]\nDNS=hidden\n");
        tree_put("/usr/lib/systemd/network/10-a.network.d/a.conf", "[Network]\nDNS=first\n");
        tree_put("/etc/systemd/network/10-a.network.d/b.conf", "[Network]\nDNS=second\n");
        tree_put("/etc/systemd/network/10-a.network.d/c.txt", "[Network]\nDNS=no\n");
        ASSERT_EQ(netnetworkd_read(root, "/run/systemd/network/10-a.network", &text), 0);
        ASSERT_STREQ(text, "[Match]\nName=eth0\n\n[Network]\nDNS=first\n\n[Network]\nDNS=second\n");
        tree_put("/run/systemd/netif/leases/2", "ADDRESS=192.0.2.7\nCLIENTID=ff0102\n");
        ASSERT_EQ(netnetworkd_client_id(root, 2, &id), 0);
        ASSERT_STREQ(id, "ff0102");
        free(TAKE_PTR(id));
        ASSERT_EQ(netnetworkd_client_id(root, 3, &id), 0);
        ASSERT(!id);
}

#define BRIDGE_UUID "67707576-6d00-4000-8000-525400123456"
#define PORT_UUID   "67707576-6d01-4000-8000-525400123456"

TEST(keyfile_static) {
        static const char current[] =
                        "[connection]\nid=Office\nuuid=11111111-1111-4111-8111-111111111111\n"
                        "type=ethernet\nzone=home\ninterface-name=eth0\nautoconnect-priority=5\n\n"
                        "[ethernet]\nwake-on-lan=64\n\n[802-1x]\neap=tls;\n\n"
                        "[ipv4]\naddress1=192.0.2.10/24,192.0.2.1\ndns=192.0.2.1;\nmethod=manual\n\n"
                        "[ipv6]\naddr-gen-mode=eui64\nmethod=auto\n\n[proxy]\nmethod=1\n";
        _cleanup_(netfiles_done) NetFiles f = {};
        _cleanup_free_ char *reason = NULL;

        ASSERT_EQ(netkeyfile_make(&wish, current, &f, &reason), 0);
        ASSERT_EQ(f.n, 2);
        same(&f.items[0], "/etc/NetworkManager/system-connections/gpuvm-br0.nmconnection", 0600,
             HEAD "[connection]\nid=gpuvm-br0\nuuid=" BRIDGE_UUID "\ntype=bridge\ninterface-name=br0\n"
                  "autoconnect=true\nautoconnect-slaves=1\nzone=home\n\n[bridge]\nstp=false\n\n"
                  "[ethernet]\ncloned-mac-address=52:54:00:12:34:56\nmtu=1500\n\n"
                  "[ipv4]\naddress1=192.0.2.10/24,192.0.2.1\ndns=192.0.2.1;\nmethod=manual\n\n"
                  "[ipv6]\naddr-gen-mode=eui64\nmethod=auto\n\n[proxy]\nmethod=1\n");
        same(&f.items[1], "/etc/NetworkManager/system-connections/gpuvm-br0-port.nmconnection", 0600,
             HEAD "[connection]\nid=gpuvm-br0-port\nuuid=" PORT_UUID "\ntype=ethernet\ninterface-name=eth0\n"
                  "autoconnect=true\nautoconnect-priority=999\nmaster=" BRIDGE_UUID "\nslave-type=bridge\n\n"
                  "[ethernet]\nwake-on-lan=64\n\n[802-1x]\neap=tls;\n");
}

TEST(keyfile_made_up) {
        _cleanup_(netfiles_done) NetFiles f = {};
        _cleanup_free_ char *reason = NULL;

        ASSERT_EQ(netkeyfile_make(&wish, NULL, &f, &reason), 0);
        ASSERT(endswith(f.items[0].text, "mtu=1500\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"));
        ASSERT(strstr(f.items[1].text, "\ntype=ethernet\n") &&
               endswith(f.items[1].text, "slave-type=bridge\n"));
}

TEST(keyfile_refuses) {
        static const struct {
                const char *text, *reason;
        } rows[] = {
                { "[connection]\ntype=bond\n", "type bond" },
                { "[connection]\ntype=ethernet\nmaster=bond0\n", "master=bond0" },
                { "[connection]\ntype=ethernet\ncontroller=br1\nmaster=br1\n", "controller=br1" },
                { "[connection]\ntype=ethernet\nautoconnect-priority=999\n", "highest" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *reason = NULL;
                NetFiles f = {};

                ASSERT_EQ(netkeyfile_make(&wish, rows[i].text, &f, &reason), NETFILE_REFUSED);
                ASSERT(strstr(reason, rows[i].reason));
        }
}

TEST(keyfile_routed) {
        _cleanup_(netfiles_done) NetFiles f = {};

        ASSERT_EQ(netkeyfile_make_routed(&routed, &f), 0);
        ASSERT_EQ(f.n, 1);
        ASSERT(!strstr(f.items[0].text, "cloned-mac-address"));
        ASSERT(endswith(f.items[0].text,
                        "\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/32\nnever-default=true\n\n"
                        "[ipv6]\nmethod=link-local\n"));
}

#define INTERFACES "/etc/network/interfaces"
#define MOVED                                                                                       \
        "# gpuvm-bridge(8) made br0 of eth0; 'gpuvm-bridge revert' takes it back.\nauto eth0 br0\n" \
        "iface eth0 inet manual\n"
#define MADE                                                                                                          \
        "    pre-up ip link add name br0 address 52:54:00:12:34:56 type bridge stp_state 0 forward_delay 0 || true\n" \
        "    pre-up ip link set dev eth0 master br0\n"
#define DOWN "    post-down ip link delete dev br0 || true\n"

static void ifupdown(const char *current, const char *want) {
        _cleanup_(netfiles_done) NetFiles f = {};
        _cleanup_free_ char *reason = NULL;

        ASSERT_EQ(netifupdown_make(&wish, INTERFACES, 0640, current, &f, &reason), 0);
        ASSERT_EQ(f.n, 1);
        same(&f.items[0], INTERFACES, 0640, want);
}

TEST(ifupdown_dhcp) {
        ifupdown("source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\n# The primary one\n"
                 "allow-hotplug eth0\niface eth0 inet dhcp\n",
                 "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\n# The primary one\n" MOVED
                 "\niface br0 inet dhcp\n" MADE DOWN);
}

/* As a hoster's installer writes it. */
TEST(ifupdown_two_families) {
        ifupdown("auto  lo eth0 eth1\niface lo inet loopback\niface eth0 inet static\n  address 192.0.2.10\n"
                 "  netmask 24\n  gateway 192.0.2.1\n  mtu 1400\n  hwaddress ether 52:54:00:12:34:56\n"
                 "  up ip route add 198.51.100.0/24 via 192.0.2.2 dev eth0\n  up ip route add 203.0.113.0/24 dev veth0\n  up ethtool -K eth0 tso off\n"
                 "  post-up logger $IFACE\n\niface eth0 inet6 static\n  address 2001:db8::10/64\n\n"
                 "iface eth1 inet manual\n  up ip link set eth0 up\n",
                 "auto lo eth1\niface lo inet loopback\n" MOVED "    mtu 1400\n"
                 "    hwaddress ether 52:54:00:12:34:56\n    up ethtool -K eth0 tso off\n\n"
                 "iface br0 inet static\n" MADE
                 "  address 192.0.2.10\n  netmask 24\n  gateway 192.0.2.1\n  mtu 1400\n"
                 "  up ip route add 198.51.100.0/24 via 192.0.2.2 dev br0\n  up ip route add 203.0.113.0/24 dev veth0\n  post-up logger $IFACE\n\n"
                 "iface br0 inet6 static\n" DOWN "  address 2001:db8::10/64\n\n"
                 "iface eth1 inet manual\n  up ip link set eth0 up\n");
}

TEST(ifupdown_bond_and_vlan) {
        ifupdown("auto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n\tbond-slaves e1 e2\n\tbond_mode 4\n"
                 "iface eth0.5 inet manual\n\tvlan-raw-device eth0\n",
                 MOVED "    bond-slaves e1 e2\n    bond_mode 4\n\niface br0 inet static\n" MADE DOWN
                       "\taddress 192.0.2.10/24\niface eth0.5 inet manual\n\tvlan-raw-device eth0\n");
}

TEST(ifupdown_refuses) {
        static const char *const rows[] = {
                "iface eth0 inet ppp\n",
                "iface eth0 inet dhcp inherits base\n",
                "iface eth0 inet static\n address 192.0.2.1 \\\n",
                "iface eth0 inet dhcp\n bridge_ports none\n",
                "iface eth0 inet dhcp\n wpa-conf /x\n",
                "iface eth0 inet dhcp\n up /opt/firewall eth0\n",
                "iface eth0 inet dhcp\n description eth0\n",
                "iface eth0 inet dhcp\niface eth0:1 inet static\n",
                "iface eth0 inet dhcp\nmapping eth0\n script /x\n",
                "iface eth0 inet dhcp\nno-auto-down eth0\n",
                "iface eth1 inet dhcp\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *reason = NULL;
                NetFiles f = {};

                if (netifupdown_make(&wish, INTERFACES, 0644, rows[i], &f, &reason) != NETFILE_REFUSED)
                        tap_stop(EXIT_FAILURE, __LINE__, "'%s' was not refused", rows[i]);
                ASSERT(reason);
        }
}

TEST(ifupdown_routed) {
        _cleanup_free_ char *reason = NULL;
        _cleanup_(netfiles_done) NetFiles f = {};

        ASSERT_EQ(netifupdown_make_routed(&routed, "auto lo\n", &f, &reason), NETFILE_REFUSED);
        ASSERT_EQ(netifupdown_make_routed(&routed, "source /etc/network/interfaces.d/*\n", &f, &reason), 0);
        same(&f.items[0], "/etc/network/interfaces.d/gpuvm-br0", 0644,
             HEAD "auto br0\niface br0 inet static\n    address 192.0.2.5/32\n"
                  "    pre-up ip link add name br0 type bridge stp_state 0 forward_delay 0 || true\n" DOWN);
}

TEST(words) {
        ASSERT(netfile_is_one_of("b", "a b c") && netfile_is_one_of("a", "a") &&
               netfile_is_one_of("c", "bc c"));
        ASSERT(!netfile_is_one_of("b", "ab bc") && !netfile_is_one_of("", "a b") &&
               !netfile_is_one_of("x", ""));
}
