/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>

#include "bridge.h"
#include "confvalid.h"
#include "fs.h"
#include "virtlib.h"
#include "virtroute.h"

enum { GAPS_MAX = 16 }; /* in a record; a name may have some hundred bytes */

void virtroutes_done(VirtRoutes *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->gaps[i].machine);
        free(l->gaps);
        *l = (VirtRoutes){};
}

bool virtroute_applies(int root, const HostNet *net) {
        return net->mode == NETWORK_ROUTED && fs_exists(root, BRIDGE_KEPT_AT) > 0;
}

static int add(VirtRoutes *l, const char *machine, const char *address, const char *tap, bool route,
               bool proxy) {
        RouteGap *t = reallocarray(l->gaps, l->n + 1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        l->gaps = t;
        t += l->n;
        *t = (RouteGap){ .machine = strdup(machine), .route = route, .proxy = proxy };
        if (!t->machine)
                return -ENOMEM;
        (void) snprintf(t->address, sizeof(t->address), "%s", address);
        (void) snprintf(t->tap, sizeof(t->tap), "%s", tap);
        l->n++;
        return 0;
}

/* One that has gone since it was listed wants none. */
static int look_at(Virt *v, virDomainPtr d, const HostNet *net, const NetLink *uplink, VirtRoutes *l) {
        _cleanup_free_ char *xml = lv.virDomainGetXMLDesc(d, 0);
        bool route = false, proxy = false;
        char tap[IF_NAMESIZE];
        Route want = {};
        int r;

        if (!xml) {
                r = virtlib_failed(v);
                return r == -ENOENT ? 0 : r;
        }
        r = route_find_tap(xml, net->bridge, tap, want.address);
        if (r != ROUTE_WANTED)
                return r == -EBADMSG ? 0 : MIN(r, 0);
        (void) snprintf(want.bridge, sizeof(want.bridge), "%s", net->bridge);
        (void) snprintf(want.uplink, sizeof(want.uplink), "%s", uplink ? uplink->name : "");
        r = route_look(&want, &route, &proxy);
        if (r < 0)
                return r;
        l->wanted++;
        return route && proxy ? 0
                              : add(l, lv.virDomainGetName(d), net_address_to_string(AF_INET, want.address),
                                    tap, route, proxy);
}

static int look_at_all(Virt *v, const HostNet *net, const NetLink *uplink, VirtRoutes *l) {
        virDomainPtr *domains = NULL;
        int n, r = 0;

        n = lv.virConnectListAllDomains(v->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        if (n < 0)
                return virtlib_failed(v);
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = look_at(v, domains[i], net, uplink, l);
                (void) lv.virDomainFree(domains[i]);
        }
        free(domains);
        return r;
}

int virtroute_look(Virt *v, const HostNet *net, const char *machine, VirtRoutes *ret) {
        _cleanup_(virtroutes_done) VirtRoutes l = { .known = true };
        _cleanup_(netstate_done) NetState now = {};
        _cleanup_domain_ virDomainPtr d = NULL;
        const NetLink *uplink;
        int r = netstate_read(&now);

        if (r >= 0 && machine)
                r = virtlib_look_up(v, machine, &d);
        if (r < 0)
                return r;
        uplink = route_uplink(&now, net->uplink);
        r = machine ? look_at(v, d, net, uplink, &l) : look_at_all(v, net, uplink, &l);
        if (r < 0)
                return r;
        *ret = l;
        l = (VirtRoutes){};
        return 0;
}

static json_object *gap_to_json(const RouteGap *g) {
        json_object *o = json_object_new_object();

        if (json_add_text(o, "machine", g->machine) < 0 || json_add_text(o, "address", g->address) < 0 ||
            json_add_text(o, "interface", g->tap) < 0 ||
            json_add(o, "route", json_object_new_boolean(g->route)) < 0 ||
            json_add(o, "proxy", json_object_new_boolean(g->proxy)) < 0) {
                (void) json_object_put(o);
                return NULL;
        }
        return o;
}

int virtroute_to_json(const VirtRoutes *l, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object(), *gaps = json_object_new_array();

        for (size_t i = 0; i < l->n && i < GAPS_MAX; i++)
                if (json_append(gaps, gap_to_json(&l->gaps[i])) < 0)
                        return -ENOMEM;
        if (json_add(o, "wanted", json_object_new_int64(l->wanted)) < 0 ||
            json_add(o, "gaps", TAKE_PTR(gaps)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

static bool flag(json_object *o, const char *key) {
        return json_object_get_boolean(json_member(o, key, json_type_boolean));
}

/* What is no address and no interface is not put into a command. */
static int gap_from_json(json_object *o, VirtRoutes *l) {
        const char *address = json_text(o, "address"), *tap = json_text(o, "interface");
        uint8_t bytes[4];

        if (inet_pton(AF_INET, address, bytes) != 1 || !confvalid_interface(tap))
                return 0;
        return add(l, json_text(o, "machine"), address, tap, flag(o, "route"), flag(o, "proxy"));
}

int virtroute_from_json(json_object *o, VirtRoutes *ret) {
        int64_t wanted = json_object_get_int64(json_member(o, "wanted", json_type_int));
        _cleanup_(virtroutes_done) VirtRoutes l = {
                .known = json_member(o, "wanted", json_type_int) != NULL,
                .wanted = (unsigned) MAX(MIN(wanted, INT64_C(1000000)), INT64_C(0)),
        };

        for (size_t i = 0; i < json_length(o, "gaps"); i++)
                if (gap_from_json(json_item(o, "gaps", i), &l) < 0)
                        return -ENOMEM;
        *ret = l;
        l = (VirtRoutes){};
        return 0;
}

static int judge_gap(const RouteGap *g, const char *check, Findings *ret) {
        const char *lacks = g->route ? "the host does not answer for it"
                        : g->proxy   ? "the host has no route to it"
                                     : "the host has no route to it, and does not answer for it";
        _cleanup_free_ char *remedy = NULL;
        int r;

        r = str_printf(&remedy,
                       "Have its unit make it again; 'journalctl -u gpuvm-route@%s' tells why it was not there",
                       g->tap);
        if (r >= 0)
                r = findings_add(ret, FINDING_FAIL, check, g->machine, remedy, "is not reached at %s: %s",
                                 g->address, lacks);
        return r < 0 ? r : findings_fix(ret, "sudo systemctl restart gpuvm-route@%s.service", g->tap);
}

int virtroute_judge(const VirtRoutes *l, const char *check, Findings *ret) {
        int r = 0;

        for (size_t i = 0; i < l->n && r >= 0; i++)
                r = judge_gap(&l->gaps[i], check, ret);
        return r;
}
