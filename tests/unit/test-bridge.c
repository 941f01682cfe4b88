/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bridge and netproof: what is on disk while the network changes, how it is put back, and what counts as
 * well. */

#include "bridge.h"
#include "ledger.h"
#include "netproof.h"
#include "strv.h"
#include "tests/tree.h"
#include "undo.h"

#include <linux/neighbour.h>

#define BOOT       "11111111-1111-4111-8111-111111111111"
#define OTHER_BOOT "22222222-2222-4222-8222-222222222222"
#define NETDEV     "/etc/systemd/network/00-gpuvm-br0.netdev"
#define INTERFACES "/etc/network/interfaces"

static char *const files[] = { (char *) NETDEV, (char *) INTERFACES, NULL };

static BridgeState state(BridgeStage stage) {
        return (BridgeState){ .stage = stage,
                              .owner = NETOWNER_IFUPDOWN,
                              .boot_id = (char *) BOOT,
                              .uplink = (char *) "eth0",
                              .bridge = (char *) "br0",
                              .files = (char **) files };
}

TEST(state_comes_back) {
        for (int stage = BRIDGE_ARMED; stage <= BRIDGE_KEPT; stage++)
                for (int owner = NETOWNER_NETWORKMANAGER; owner <= NETOWNER_IFUPDOWN; owner++) {
                        BridgeState s = state((BridgeStage) stage);
                        _cleanup_(bridge_done) BridgeState again = {};
                        _cleanup_free_ char *text = NULL;

                        s.owner = (NetOwner) owner;
                        s.routed = owner == NETOWNER_NETPLAN;
                        s.profile = owner == NETOWNER_NETWORKMANAGER ? (char *) OTHER_BOOT : NULL;
                        s.zone = owner == NETOWNER_NETWORKD || s.routed ? (char *) "public" : NULL;
                        s.zone_uplink = s.routed;
                        ASSERT_EQ(bridge_format(&s, &text), 0);
                        ASSERT_EQ(bridge_parse(text, strlen(text), &again), 0);
                        ASSERT_EQ(again.stage, s.stage);
                        ASSERT_EQ(again.owner, s.owner);
                        ASSERT_EQ(again.routed, s.routed);
                        ASSERT_STREQ(again.boot_id, BOOT);
                        ASSERT_STREQ(again.uplink, "eth0");
                        ASSERT_STREQ(again.bridge, "br0");
                        ASSERT(streq_ptr(again.profile, s.profile));
                        ASSERT(streq_ptr(again.zone, s.zone));
                        ASSERT_EQ(again.zone_uplink, s.zone_uplink);
                        ASSERT_EQ(strv_length(again.files), 2);
                        ASSERT_STREQ(again.files[1], INTERFACES);
                        ASSERT_EQ(bridge_is_kept(&again, "br0"), stage == BRIDGE_KEPT);
                        ASSERT(!bridge_is_kept(&again, "br1"));
                }
}

#define TOP    "gpuvm-bridge 1\nboot " BOOT "\n"
#define MIDDLE "owner networkd\nmode bridged\nforwarding no\nuplink eth0\nbridge br0\nprofile -\n"

TEST(state_is_strict) {
        static const char *const bad[] = {
                "",
                TOP "stage armed\n" MIDDLE "end\n",
                TOP "stage armed\n" MIDDLE "file " NETDEV "\nend",
                TOP "stage armed\n" MIDDLE "file " NETDEV "\n",
                TOP "stage arm\n" MIDDLE "file " NETDEV "\nend\n",
                TOP "stage armed\n" MIDDLE "file /etc/passwd\nend\n",
                TOP "stage armed\n" MIDDLE "file /etc/systemd/network/../../passwd\nend\n",
                TOP "stage armed\n" MIDDLE "file /etc/network/interfaces.d/./x\nend\n",
                TOP "stage armed\n" MIDDLE "file " NETDEV "\nfile " NETDEV "\nend\n",
                TOP
                "stage armed\nowner none\nmode bridged\nforwarding no\nuplink eth0\nbridge br0\nprofile -\nfile " NETDEV
                "\nend\n",
                TOP
                "stage armed\nowner netplan\nmode nat\nforwarding no\nuplink eth0\nbridge br0\nprofile -\nfile " NETDEV
                "\nend\n",
                TOP
                "stage armed\nowner netplan\nmode routed\nforwarding no\nuplink -x\nbridge br0\nprofile -\nfile " NETDEV
                "\nend\n",
                TOP
                "stage armed\nowner netplan\nmode routed\nforwarding no\nuplink eth0\nbridge br 0\nprofile -\nfile " NETDEV
                "\nend\n",
                TOP
                "stage armed\nowner netplan\nmode routed\nforwarding no\nuplink eth0\nbridge br0\nprofile x\nfile " NETDEV
                "\nend\n",
                TOP "stage armed\n" MIDDLE "zone \nfile " NETDEV "\nend\n",
                TOP "stage armed\n" MIDDLE "zone a/b\nfile " NETDEV "\nend\n",
                TOP "stage armed\n" MIDDLE "zone a uplink x\nfile " NETDEV "\nend\n",
                TOP "stage armed\n" MIDDLE "zone a\nzone b\nfile " NETDEV "\nend\n",
                TOP "stage armed\n" MIDDLE "zone a\nend\n",
                "gpuvm-bridge 1\nboot 1\nstage armed\n" MIDDLE "file " NETDEV "\nend\n",
        };
        BridgeState s = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (bridge_parse(bad[i], strlen(bad[i]), &s) != -EBADMSG)
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu is taken", i);
        ASSERT_EQ(bridge_parse(TOP "stage armed\n" MIDDLE "file " NETDEV "\nend\n",
                               strlen(TOP "stage armed\n" MIDDLE "file " NETDEV "\nend\n"), &s),
                  0);
        bridge_done(&s);
}

TEST(stages_go_on_unless_taken_over) {
        int root = tree_new();
        BridgeState s = state(BRIDGE_ARMED), other;

        ASSERT_EQ(bridge_advance(root, &s, BRIDGE_ARMED, BRIDGE_CHANGING), -ESTALE); /* it is gone */
        ASSERT_EQ(bridge_save(root, &s), 0);
        ASSERT_EQ(bridge_advance(root, &s, BRIDGE_ARMED, BRIDGE_CHANGING), 0);
        ASSERT_EQ(s.stage, BRIDGE_CHANGING);
        ASSERT_EQ(bridge_advance(root, &s, BRIDGE_CHANGING, BRIDGE_CHANGED), 0);
        other = s;
        other.stage = BRIDGE_REVERTING;
        ASSERT_EQ(bridge_save(root, &other), 0);
        ASSERT_EQ(bridge_advance(root, &s, BRIDGE_CHANGED, BRIDGE_KEPT), -ESTALE);
        other.stage = BRIDGE_KEPT; /* confirmed */
        ASSERT_EQ(bridge_save(root, &other), 0);
        ASSERT_EQ(fs_exists(root, BRIDGE_PENDING), 0); /* what the next boot looks for */
        ASSERT_EQ(fs_exists(root, BRIDGE_KEPT_AT), 1);
        ASSERT_EQ(bridge_advance(root, &s, BRIDGE_CHANGED, BRIDGE_KEPT), 0);
        s.stage = BRIDGE_CHANGED;
        s.boot_id = (char *) OTHER_BOOT;
        ASSERT_EQ(bridge_advance(root, &s, BRIDGE_CHANGED, BRIDGE_KEPT), -ESTALE);
        ASSERT_EQ(s.stage, BRIDGE_CHANGED);
}

TEST(one_holds_the_lock) {
        int root = tree_new();
        _cleanup_close_ int a = bridge_lock(root, 0);

        ASSERT(a >= 0);
        ASSERT_EQ(bridge_lock(root, 60 * USEC_PER_MSEC), -ETIMEDOUT);
        a = safe_close(a);
        a = bridge_lock(root, 0);
        ASSERT(a >= 0);
}

static void write_both(int root) {
        _cleanup_(undo_freep) Undo *u = NULL;

        ASSERT_EQ(undo_open(root, BRIDGE_STEP, &u), 0);
        ASSERT_EQ(undo_write_file(u, NETDEV, "new\n", 4, 0644), 1);
        ASSERT_EQ(undo_write_file(u, INTERFACES, "new\n", 4, 0600), 1);
}

static void expect_old(int root) {
        _cleanup_(ledger_done) Ledger l = {};
        _cleanup_free_ char *text = NULL;
        struct stat st;

        ASSERT_EQ(fs_exists(root, NETDEV), 0);
        ASSERT_EQ(fs_read(root, INTERFACES, FS_ATTR_MAX, &text, NULL), 0);
        ASSERT_STREQ(text, "old\n");
        ASSERT_EQ(fs_stat(root, INTERFACES, &st), 0);
        ASSERT_EQ(st.st_mode & 07777, 0640);
        ASSERT_EQ(ledger_load(root, &l), 0);
        for (size_t i = 0; i < l.n; i++)
                ASSERT(!streq(l.records[i].kind, "file") && !streq(l.records[i].kind, "wrote"));
}

TEST(files_go_back) {
        BridgeState s = state(BRIDGE_CHANGED);
        const char *path = NULL;
        int root = tree_new();

        ASSERT_EQ(fs_write_atomic(root, INTERFACES, "old\n", 4, 0640), 0);
        ASSERT_EQ(bridge_restore(root, &s, &path), 0); /* before anything was written */
        for (int i = 0; i < 2; i++) {
                write_both(root);
                ASSERT_EQ(bridge_restore(root, &s, &path), 0);
                expect_old(root);
                /* What an administrator writes between two changes is what the next one goes back to. */
                ASSERT_EQ(bridge_restore(root, &s, &path), 0);
                expect_old(root);
        }
}

/* Of a write that was cut off before anything was changed. */
TEST(leftovers_go) {
        BridgeState s = state(BRIDGE_ARMED);
        _cleanup_free_ char *text = NULL;
        int root = tree_new();

        ASSERT_EQ(bridge_sweep(root, &s), 0); /* not even their directories are there */
        tree_put(INTERFACES, "old\n");
        tree_put(NETDEV, "somebody's\n");
        tree_put("/etc/network/.interfaces.gpuvm-new", "ol");
        ASSERT_EQ(bridge_sweep(root, &s), 0);
        ASSERT_EQ(fs_exists(root, "/etc/network/.interfaces.gpuvm-new"), 0);
        ASSERT_EQ(fs_exists(root, NETDEV), 1);
        ASSERT_EQ(fs_read(root, INTERFACES, FS_ATTR_MAX, &text, NULL), 0);
        ASSERT_STREQ(text, "old\n");
}

/* A record that the disk has lost keeps nobody off the network. */
TEST(files_go_back_without_their_record) {
        BridgeState s = state(BRIDGE_CHANGED);
        _cleanup_strv_ char **names = NULL;
        const char *path = NULL;
        int root = tree_new();

        ASSERT_EQ(fs_write_atomic(root, INTERFACES, "old\n", 4, 0640), 0);
        write_both(root);
        ASSERT_EQ(fs_list(root, LEDGER_DIR, &names), 0);
        STRV_FOREACH(n, names)
                if (startswith(*n, "000001"))
                        tree_put(LEDGER_DIR "/000001-" BRIDGE_STEP, "damaged");
        ASSERT_EQ(bridge_restore(root, &s, &path), 0);
        ASSERT_EQ(fs_exists(root, NETDEV), 0);
}

/* A machine whose eth0 or br0 has an address, a gateway and a neighbour. */
typedef struct Machine {
        NetLink links[2];
        NetAddress addresses[2];
        NetRoute routes[2];
        NetNeighbour neighbours[2];
        NetState s;
} Machine;

static const uint8_t own[16] = { 192, 0, 2, 10 }, gateway[16] = { 192, 0, 2, 1 },
                     own6[16] = { 0x20, 1, [15] = 10 }, gateway6[16] = { 0xfe, 0x80, [15] = 1 };

static void machine(Machine *m, int on) {
        *m = (Machine){ .links = { { .index = 2, .name = "eth0", .flags = IFF_UP | IFF_RUNNING },
                                   { .index = 7, .name = "br0", .flags = IFF_UP | IFF_RUNNING } } };
        for (int i = 0; i < 2; i++) {
                int family = i ? AF_INET6 : AF_INET;

                m->addresses[i] = (NetAddress){ .link = on, .family = family };
                m->routes[i] = (NetRoute){ .link = on,
                                           .family = family,
                                           .gateway_family = family,
                                           .has_gateway = true };
                m->neighbours[i] = (NetNeighbour){ .link = on, .family = family, .state = NUD_REACHABLE };
                memcpy(m->addresses[i].bytes, i ? own6 : own, 16);
                memcpy(m->routes[i].gateway, i ? gateway6 : gateway, 16);
                memcpy(m->neighbours[i].bytes, i ? gateway6 : gateway, 16);
        }
        m->s = (NetState){ m->links, m->addresses, m->routes, m->neighbours, 2, 2, 2, 2 };
}

static const char *judge(const Machine *before, const Machine *now, const NetPeers *peers,
                         const NetPeers *peers_now) {
        static const NetPeers none = {};
        const NetProof p = { &before->s, &now->s, peers ?: &none, peers_now ?: &none, "eth0", "br0" };
        const char *missing = "";

        ASSERT_EQ(netproof_judge(&p, &missing), *missing != '\0');
        return missing;
}

TEST(proof_holds) {
        Machine before, now;

        machine(&before, 2);
        machine(&now, 7);
        ASSERT_STREQ(judge(&before, &now, NULL, NULL), "");
        before.s.n_routes = before.s.n_addresses = 1; /* IPv6 is more than before */
        ASSERT_STREQ(judge(&before, &now, NULL, NULL), "");
        machine(&before, 2);
        before.addresses[1].dynamic = true;
        now.addresses[1].bytes[15] = 99; /* SLAAC made another */
        ASSERT_STREQ(judge(&before, &now, NULL, NULL), "");
        before.routes[1].link = now.routes[1].link = 3; /* IPv6 leaves elsewhere, and did */
        ASSERT_STREQ(judge(&before, &now, NULL, NULL), "");
}

#define LACKS(text, ...)                                              \
        do {                                                          \
                machine(&before, 2);                                  \
                machine(&now, 7);                                     \
                __VA_ARGS__;                                          \
                ASSERT_STREQ(judge(&before, &now, NULL, NULL), text); \
        } while (0)

TEST(proof_lacks) {
        Machine before, now;

        LACKS("there is no br0", now.s.n_links = 1);
        LACKS("br0 has no carrier", now.links[1].flags = IFF_UP);
        LACKS("br0 does not have the address 192.0.2.10", now.addresses[0].link = 2);
        LACKS("br0 does not have the address 192.0.2.10", now.addresses[0].bytes[3] = 11);
        LACKS("br0 does not have the address 2001::a", now.s.n_addresses = 1);
        LACKS("IPv4's default route does not leave by br0", now.routes[0].link = 2);
        LACKS("IPv4's default route does not leave by br0", now.routes[0].prefix = 1);
        LACKS("IPv4's default route has another gateway than before", now.routes[0].gateway[3] = 2);
        LACKS("IPv4's gateway 192.0.2.1 does not answer", now.neighbours[0].state = NUD_INCOMPLETE);
        LACKS("IPv4's gateway 192.0.2.1 does not answer", now.neighbours[0].state = NUD_STALE);
        LACKS("IPv4's gateway 192.0.2.1 does not answer", now.neighbours[0].link = 2);
        LACKS("IPv6's default route does not leave by br0", now.s.n_routes = 1);
        LACKS("IPv6's gateway fe80::1 does not answer", now.s.n_neighbours = 1);
}

TEST(proof_asks_those_logged_in) {
        NetPeer was = { .cookie = 1, .acked = 5 }, is = was;
        const NetPeers peers = { &was, 1 }, now_peers = { &is, 1 }, none = {};
        Machine before, now;

        machine(&before, 2);
        machine(&now, 7);
        ASSERT_STREQ(judge(&before, &now, &peers, &now_peers), "");
        is.unacked = 1;
        is.retransmits = 5;
        ASSERT(strstr(judge(&before, &now, &peers, &now_peers), "arrives"));
        ASSERT(strstr(judge(&before, &now, &peers, &none), "gone"));
}
