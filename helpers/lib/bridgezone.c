/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridgezone.h"
#include "bridgefilter.h"
#include "child.h"
#include "firewalld.h"
#include "fs.h"
#include "strv.h"

#define OFFLINE_TOOL "/usr/bin/firewall-offline-cmd"

enum { LOCK_TIMEOUT_SEC = 20, TOOL_TIMEOUT_SEC = 30 };

/* What firewalld says of one interface. */
typedef struct Binding {
        const char *interface;
        char *now, *lasting; /* zones; NULL: bound to none */
} Binding;

typedef struct Look {
        Binding uplink, bridge;
        char *zone; /* where the bridge belongs */
        bool forwards;
        bool apart;  /* a routed bridge, and somebody has bound it and the uplink to two zones */
        bool needed; /* it is not the same without a binding */
} Look;

static void look_done(Look *l) {
        free(l->uplink.now);
        free(l->uplink.lasting);
        free(l->bridge.now);
        free(l->bridge.lasting);
        free(l->zone);
}

/* Returns 1, or 0 if firewalld does not run. */
static int connect_running(int root, Bus **ret) {
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (!fs_is_host(root))
                return 0;
        r = bus_open(&b);
        if (r >= 0)
                r = firewalld_is_running(b);
        if (r > 0)
                *ret = TAKE_PTR(b);
        else if (r < 0)
                log_debug("Nobody can be asked for firewalld: %s", strerror(-r));
        return r > 0;
}

static int look_one(Bus *b, const char *interface, Binding *ret) {
        int r;

        ret->interface = interface;
        r = firewalld_zone_of(b, interface, false, &ret->now);
        if (r >= 0)
                r = firewalld_zone_of(b, interface, true, &ret->lasting);
        return MIN(r, 0);
}

static int look(Bus *b, int root, const BridgeState *s, Look *ret) {
        int r;

        r = look_one(b, s->uplink, &ret->uplink);
        if (r >= 0)
                r = look_one(b, s->bridge, &ret->bridge);
        if (r < 0)
                return r;
        if (ret->bridge.now || ret->uplink.now) {
                ret->zone = strdup(ret->bridge.now ?: ret->uplink.now);
                r = ret->zone ? 0 : -ENOMEM;
        } else
                r = firewalld_default_zone(b, &ret->zone);
        if (r >= 0)
                r = firewalld_zone_forwards(b, ret->zone);
        if (r < 0)
                return r;
        ret->apart = s->routed && ret->uplink.now && !streq(ret->uplink.now, ret->zone);
        ret->forwards = r > 0 && !ret->apart;
        ret->needed = s->routed || ret->uplink.lasting || bridgefilter_sees_frames(root);
        return 0;
}

/* NetworkManager binds its interfaces each time they come up, and again when firewalld has loaded its files.
 */
static bool is_bound(const BridgeState *s, const Binding *i) {
        return i->now && (i->lasting || s->owner == NETOWNER_NETWORKMANAGER);
}

int bridgezone_follow(Phase *p, const BridgeState *s) {
        _cleanup_(look_done) Look l = {};
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (s->routed || s->owner == NETOWNER_NETWORKMANAGER || connect_running(p->root, &b) == 0)
                return 0;
        r = look(b, p->root, s, &l);
        if (r >= 0 && (!l.uplink.now || l.bridge.now))
                return 0;
        if (r >= 0)
                r = firewalld_bind(b, l.zone, s->bridge, false);
        return r < 0 ? phase_fail(p, r, "See 'firewall-cmd --state'; nothing was changed",
                                  "firewalld does not take %s into the zone of %s: %s", s->bridge, s->uplink,
                                  bus_message(b))
                     : 0;
}

/* On disk before it is made, unless the bridge was taken back meanwhile: -ESTALE. */
static int keep_zone(Phase *p, BridgeState *s, const char *zone, bool uplink) {
        _cleanup_(bridge_done) BridgeState now = {};
        _cleanup_close_ int fd = bridge_lock(p->root, LOCK_TIMEOUT_SEC * USEC_PER_SEC);
        int r;

        r = fd < 0 ? fd : bridge_load(p->root, &now);
        if (r >= 0 && !bridge_is_kept(&now, s->bridge))
                r = -ESTALE;
        if (r < 0)
                return r;
        s->zone_uplink |= uplink;
        r = free_and_strdup(&s->zone, zone);
        return r < 0 ? r : bridge_save(p->root, s);
}

static int bind_one(Phase *p, Bus *b, const char *zone, const Binding *i) {
        int r, k;

        r = i->now ? 0 : firewalld_bind(b, zone, i->interface, false);
        if (r < 0)
                return r;
        k = i->lasting ? 0 : firewalld_bind(b, zone, i->interface, true);
        return k < 0 ? k : r || k;
}

/* What is the administrator's to decide. */
static void tell(Phase *p, const BridgeState *s, const Look *l) {
        if (l->forwards || (!s->routed && !bridgefilter_sees_frames(p->root)))
                return;
        if (l->apart)
                phase_note(p,
                           "firewalld has %s in zone '%s' and %s in zone '%s': VMs reach nobody unless a policy of "
                           "its own says so (firewalld.policies(5))",
                           s->bridge, l->zone, s->uplink, l->uplink.now);
        else
                phase_note(p,
                           "firewalld's zone '%s' forwards nothing, so VMs on %s reach nobody: 'firewall-cmd "
                           "--permanent --zone=%s --add-forward' and 'firewall-cmd --reload' let them",
                           l->zone, s->bridge, l->zone);
}

static int announce(Phase *p, const BridgeState *s, const Look *l, bool bridge, bool uplink) {
        int r = 1;

        if (bridge)
                r = phase_change(p, "bind", s->bridge, "to firewalld's zone '%s', where it is anyway",
                                 l->zone);
        if (uplink && r > 0)
                r = phase_change(p, "bind", s->uplink, "to firewalld's zone '%s', where it is anyway",
                                 l->zone);
        return r;
}

int bridgezone_open(Phase *p, BridgeState *s) {
        _cleanup_(look_done) Look l = {};
        _cleanup_bus_ Bus *b = NULL;
        bool bridge, uplink;
        int r;

        if (connect_running(p->root, &b) == 0)
                return 0;
        r = look(b, p->root, s, &l);
        if (r < 0 || !l.needed)
                return r;
        bridge = !is_bound(s, &l.bridge);
        uplink = s->routed && !l.apart && !is_bound(s, &l.uplink);
        tell(p, s, &l);
        if (!bridge && !uplink)
                return 0;
        r = announce(p, s, &l, bridge, uplink);
        if (r > 0)
                r = keep_zone(p, s, l.zone, uplink);
        if (r >= 0 && bridge)
                r = bind_one(p, b, l.zone, &l.bridge);
        if (r >= 0 && uplink)
                r = bind_one(p, b, l.zone, &l.uplink);
        return r < 0 ? r : 1;
}

/* Without the daemon: its files. */
static void unbind_offline(Phase *p, const BridgeState *s, const char *interface) {
        _cleanup_free_ char *zone = NULL, *option = NULL;
        int r;

        if (str_printf(&zone, "--zone=%s", s->zone) < 0 ||
            str_printf(&option, "--remove-interface=%s", interface) < 0)
                return;
        r = child_run(&(const Child){ PHASE_CHILD(p),
                                      .argv = (const char *const[]){ OFFLINE_TOOL, zone, option, NULL },
                                      .timeout_usec = TOOL_TIMEOUT_SEC * USEC_PER_SEC });
        if (r != 0 && r != -ENOENT)
                phase_note(p, "%s stays in firewalld's zone '%s': '%s %s %s' takes it out", interface,
                           s->zone, OFFLINE_TOOL, zone, option);
}

static void unbind(Phase *p, Bus *b, const BridgeState *s, const char *interface) {
        _cleanup_free_ char *lasting = NULL;
        int r;

        r = s->zone ? firewalld_unbind(b, s->zone, interface, true) : 0;
        if (r >= 0)
                r = firewalld_zone_of(b, interface, true, &lasting);
        /* What an administrator has bound stays. */
        if (r == 0)
                r = firewalld_unbind(b, "", interface, false);
        if (r < 0)
                phase_note(p, "firewalld keeps %s in its zone: %s", interface, bus_message(b));
}

void bridgezone_close(Phase *p, const BridgeState *s) {
        _cleanup_bus_ Bus *b = NULL;

        if (!s->zone && s->owner == NETOWNER_NETWORKMANAGER)
                return;
        if (connect_running(p->root, &b) == 0) {
                if (s->zone)
                        unbind_offline(p, s, s->bridge);
                if (s->zone && s->zone_uplink)
                        unbind_offline(p, s, s->uplink);
                return;
        }
        unbind(p, b, s, s->bridge);
        if (s->zone_uplink)
                unbind(p, b, s, s->uplink);
        if (s->zone)
                firewalld_tidy(b, p->root, s->zone);
}

int bridgezone_look(int root, const BridgeState *s) {
        _cleanup_(look_done) Look l = {};
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (connect_running(root, &b) == 0)
                return 1;
        r = look(b, root, s, &l);
        if (r < 0)
                return r;
        return !l.needed || (l.forwards && is_bound(s, &l.bridge) && (!s->routed || is_bound(s, &l.uplink)));
}
